//! What nats-servers answer, as far as it matters here. Seen of 2.9.10, 2.10.26, 2.11.11, 2.12.8, 2.14.6 and 2.15.1.

use bytes::Bytes;
use serde::Deserialize;

use crate::node::Loaded;

/// The longest text of an import or an error that is shown, in characters.
const MAX_TEXT: usize = 256;
/// How many imports are named.
const MAX_IMPORTS: usize = 20;

/// The frame of each answer.
#[derive(Debug, Deserialize)]
pub(super) struct MonitorReply<T> {
    #[serde(default = "Option::default")]
    pub(super) data: Option<T>,
    #[serde(default)]
    pub(super) error: Option<MonitorError>,
}

/// An answer that is an error.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MonitorError {
    #[serde(default)]
    description: String,
}

impl MonitorError {
    /// Whether it says that the account is not loaded.
    pub(super) fn is_not_loaded(&self) -> bool {
        self.description.ends_with("does not exist")
    }

    /// What it says, shortened.
    pub(super) fn text(&self) -> String {
        short(&self.description)
    }
}

/// The accounts that are loaded.
#[derive(Debug, Deserialize)]
pub(in crate::nats) struct AccountList {
    #[serde(default)]
    pub(in crate::nats) accounts: Vec<String>,
}

/// The answer about one account.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    account_detail: AccountDetail,
}

#[derive(Debug, Deserialize)]
struct AccountDetail {
    #[serde(default)]
    jwt: String,
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    client_connections: u64,
    #[serde(default)]
    leafnode_connections: u64,
    #[serde(default)]
    update_time: String,
    #[serde(default)]
    imports: Option<Vec<Option<Effective>>>,
    #[serde(default)]
    decoded_jwt: Option<Decoded>,
}

/// An import that is in effect, or would be if its exporter allowed it. Of a service, 2.9 says in `to` what later
/// releases say in `subject`: the subject of the exporter.
#[derive(Debug, Deserialize)]
struct Effective {
    #[serde(default)]
    account: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    invalid: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Decoded {
    #[serde(default)]
    nats: Claims,
}

#[derive(Debug, Default, Deserialize)]
struct Claims {
    #[serde(default)]
    imports: Option<Vec<Option<Declared>>>,
}

#[derive(Debug, Deserialize)]
struct Declared {
    #[serde(default)]
    account: String,
    #[serde(default)]
    subject: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Detail {
    /// `None`: an account of the nats-server itself, without a JWT.
    pub(super) fn loaded(&self) -> Option<Loaded> {
        let AccountDetail { jwt, expired, complete, imports, decoded_jwt, .. } = &self.account_detail;
        if jwt.is_empty() {
            return None;
        }
        let effective = || imports.iter().flatten().flatten();
        let declared = decoded_jwt.iter().filter_map(|decoded| decoded.nats.imports.as_ref());
        let (mut missing, mut is_unresolved) = (Vec::new(), false);
        for import in declared.flatten().flatten() {
            let is_this = |one: &&Effective| {
                one.account == import.account && (one.subject == import.subject || one.to == import.subject)
            };
            let why = match effective().find(is_this) {
                Some(one) if one.invalid => "the exporter does not allow it",
                Some(_) => continue,
                // An import of an account that cannot be found makes the account incomplete.
                None if !*complete => {
                    is_unresolved = true;
                    "the exporter was not found"
                }
                None => "it is not in effect",
            };
            if missing.len() < MAX_IMPORTS {
                let Declared { account, subject, kind } = import;
                missing.push(short(&format!("{kind} {subject} from {account}: {why}")));
            }
        }
        Some(Loaded {
            token: Bytes::copy_from_slice(jwt.as_bytes()),
            is_expired: *expired,
            missing_imports: missing,
            connections: self.account_detail.client_connections + self.account_detail.leafnode_connections,
            applied_at: self.account_detail.update_time.clone(),
            is_unresolved,
        })
    }
}

/// One page of connections.
#[derive(Debug, Deserialize)]
pub(super) struct Connections {
    #[serde(default)]
    pub(super) connections: Option<Vec<ClientConnection>>,
}

/// A client's connection.
#[derive(Debug, Deserialize)]
pub(super) struct ClientConnection {
    pub(super) cid: u64,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub(super) start: String,
    /// The public key of the user.
    #[serde(default)]
    pub(super) authorized_user: String,
    /// The key that signed the user's JWT.
    #[serde(default)]
    pub(super) issuer_key: String,
    /// The user's JWT.
    #[serde(default)]
    pub(super) jwt: String,
}

/// The operators of a nats-server.
#[derive(Debug, Deserialize)]
pub(super) struct Operators {
    #[serde(default)]
    pub(super) trusted_operators_jwt: Vec<String>,
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(imports: &str, declared: &str, complete: bool) -> Loaded {
        let text = format!(
            r#"{{"server":{{}},"data":{{"server_id":"N","account_detail":{{"jwt":"a.b.c","expired":false,
                "complete":{complete},"imports":{imports},"decoded_jwt":{{"nats":{{"imports":{declared}}}}}}}}}}}"#
        );
        let envelope: MonitorReply<Detail> = serde_json::from_str(&text).expect("an answer");
        envelope.data.expect("data").loaded().expect("loaded")
    }

    #[test]
    fn declared_imports_are_compared_with_those_in_effect_in_every_release() {
        let declared = r#"[{"account":"AX","subject":"svc.a","type":"service","local_subject":"my.a"}]"#;
        let new = r#"[{"account":"AX","subject":"svc.a","local_subject":"my.a","to":"my.a","type":"service"}]"#;
        let old = r#"[{"account":"AX","subject":"my.a","to":"svc.a","type":"service"}]"#;
        for imports in [new, old] {
            assert_eq!(detail(imports, declared, true).missing_imports, [""; 0], "{imports}");
        }
        let missing = detail(r#"[{"account":"SYS","subject":"$SYS.X","to":"$SYS.X"}]"#, declared, false);
        assert_eq!(missing.missing_imports, ["service svc.a from AX: the exporter was not found"]);
        assert!(missing.is_unresolved);
        let invalid = new.replace(r#""to""#, r#""invalid":true,"to""#);
        let invalid = detail(&invalid, declared, true);
        assert_eq!(invalid.missing_imports, ["service svc.a from AX: the exporter does not allow it"]);
        assert!(!invalid.is_unresolved);
        assert!(detail("null", "null", true).missing_imports.is_empty());
    }

    #[test]
    fn an_account_that_is_not_loaded_is_told_from_other_errors() {
        let parse = |text: &str| serde_json::from_str::<MonitorReply<Detail>>(text).expect("an answer").error;
        let absent = r#"{"server":{},"data":null,"error":{"code":500,"description":"Account AX does not exist"}}"#;
        assert!(parse(absent).expect("an error").is_not_loaded());
        let other = r#"{"server":{},"error":{"code":400,"description":"invalid character"}}"#;
        assert!(!parse(other).expect("an error").is_not_loaded());
    }
}
