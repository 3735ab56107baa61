//! Accounts: a page of a list, and one with all that is known of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::{Cursor, expiry, hex, serial};
use crate::feed::Session;
use crate::gate::{Entry, Position};
use crate::jwt::{self, AccountJwt, Registered};
use crate::key::AccountKey;
use crate::node::{self, AccountDetail, AccountState, HeadState, ListedAccount, Propagation, listed_name};

/// A page of accounts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountList {
    /// In the order of their keys' 32 bytes. There may be none, and still more to come.
    pub accounts: Vec<AccountSummary>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whatever changed up to here is in the page.
    pub position: JournalPosition,
}

/// A position in the order of changes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JournalPosition {
    /// The session of the journal, 32 hexadecimal digits.
    pub session: String,
    /// The serial of the last change.
    pub serial: u64,
}

/// An account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountSummary {
    /// Its public key.
    pub key: String,
    /// The first 256 bytes of its name; null if its JWT is not stored.
    pub name: Option<String>,
    /// `live`, `expired`, `withheld`, `deleted` or `removed`.
    pub state: Cow<'static, str>,
    /// The operator key that signed its newest JWT; null if it never had one here.
    pub issuer: Option<String>,
    /// When that JWT was issued, unix seconds.
    pub iat: Option<i64>,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// The serial of the change that made the state; null if it is not known.
    pub serial: Option<u64>,
    /// When this server committed that change, unix milliseconds.
    pub changed_at: Option<i64>,
    /// The path on which it came to this server.
    pub via: Option<Cow<'static, str>>,
}

/// All that is known of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountPage {
    /// As in a list.
    #[serde(flatten)]
    pub account: AccountSummary,
    /// The entity tag of the JWT at `/jwt/v1/accounts/<key>`; missing if it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits: which version it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// SHA-256 of the JWT, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The claims of its newest JWT, also if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub claims: Option<Value>,
    /// The deletion, if it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<AccountDeletion>,
    /// What is known of the way of the newest change to nats-servers and replicas: on a primary with NATS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Propagation>,
}

/// The request that deleted an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountDeletion {
    /// When it was signed, unix seconds. JWTs that were issued up to then do not come back.
    pub iat: i64,
    /// The operator key that signed it; missing if the request is not stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

impl AccountList {
    /// A piece of a list as it is shown.
    pub fn of(page: node::AccountPage) -> Self {
        Self {
            accounts: page.accounts.into_iter().map(AccountSummary::of).collect(),
            next: page.next.map(|key| Cursor::Accounts.after(key.raw())),
            position: JournalPosition::of(page.position),
        }
    }
}

impl JournalPosition {
    /// A position as it is shown.
    pub fn of(position: Position) -> Self {
        Self { session: Session(position.session).to_string(), serial: position.serial }
    }
}

impl AccountSummary {
    /// An account in a folder of JWT files: of its changes, nothing is known.
    pub fn of_file(entry: &Entry, state: AccountState) -> Self {
        Self::of_claims(&jwt::glance(entry.token()).unwrap_or_default(), state.label())
    }

    /// An account that was deleted, in a folder of JWT files.
    pub fn of_deleted_file(key: &AccountKey, name: Option<String>) -> Self {
        let nothing =
            Self::of_claims(&Registered { sub: key.text(), ..Registered::default() }, AccountState::Deleted.label());
        Self { name, issuer: None, iat: None, ..nothing }
    }

    fn of_claims(claims: &Registered, state: &'static str) -> Self {
        Self {
            key: claims.sub.clone(),
            name: Some(listed_name(&claims.name)),
            state: state.into(),
            issuer: Some(claims.iss.clone()),
            iat: Some(claims.iat),
            exp: expiry(claims.exp),
            serial: None,
            changed_at: None,
            via: None,
        }
    }

    /// An account of a list as it is shown.
    pub fn of(ListedAccount { head, state, name }: ListedAccount) -> Self {
        let (version, change) = (head.version.as_ref(), head.change);
        Self {
            key: head.key.text(),
            name,
            state: state.label().into(),
            issuer: version.map(|version| version.issuer.text()),
            iat: version.map(|version| version.iat),
            exp: version.and_then(|version| expiry(version.exp)),
            serial: change.and_then(|change| serial(change.serial)),
            changed_at: change.map(|change| change.at),
            via: change.map(|change| change.via.label().into()),
        }
    }
}

impl AccountPage {
    /// An account in a folder of JWT files.
    pub fn of_file(entry: &Entry, state: AccountState) -> Self {
        Self {
            etag: state.is_served().then(|| String::from_utf8_lossy(entry.etag()).into_owned()),
            identity: Some(hex(entry.identity())),
            digest: Some(hex(entry.digest())),
            claims: jwt::plain(entry.text()).ok(),
            ..Self::bare(AccountSummary::of_file(entry, state))
        }
    }

    /// What a JWT says that a person gave.
    pub fn of_given(token: &str, jwt: &AccountJwt) -> Self {
        Self {
            identity: Some(hex(&Sha256::digest(jwt.signing_input(token)))),
            digest: Some(hex(&Sha256::digest(token))),
            claims: jwt::plain(token).ok(),
            ..Self::bare(AccountSummary::of_claims(&jwt.claims, "file"))
        }
    }

    /// An account of which nothing else is known.
    pub const fn bare(account: AccountSummary) -> Self {
        Self { account, etag: None, identity: None, digest: None, claims: None, deleted: None, delivery: None }
    }

    /// An account as it is shown.
    pub fn of(AccountDetail { listed, entry, tombstone }: AccountDetail) -> Self {
        let served = entry.as_ref().filter(|_| listed.state.is_served());
        let deleted = match listed.head.state {
            HeadState::Deleted(iat) => Some(AccountDeletion {
                iat,
                issuer: tombstone.as_ref().map(|request| request.issuer().text()),
                identity: tombstone.as_ref().map(|request| hex(request.identity())),
            }),
            HeadState::Live | HeadState::Removed => None,
        };
        Self {
            etag: served.map(|entry| String::from_utf8_lossy(entry.etag()).into_owned()),
            identity: entry.as_ref().map(|entry| hex(entry.identity())),
            digest: entry.as_ref().map(|entry| hex(entry.digest())),
            claims: entry.as_ref().and_then(|entry| jwt::plain(entry.text()).ok()),
            deleted,
            delivery: None,
            account: AccountSummary::of(listed),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_answers_is_read_back_as_it_was() {
        let list = json!({
            "accounts": [
                { "key": "A", "name": null, "state": "live", "issuer": null, "iat": null, "serial": null, "changed_at": null, "via": null },
                { "key": "B", "name": "b", "state": "new", "issuer": "O", "iat": 1, "exp": 2, "serial": 3, "changed_at": 4, "via": "post" },
            ],
            "next": "x",
            "position": { "session": "5c", "serial": 7 },
        });
        let read: AccountList = serde_json::from_value(list.clone()).expect("a list");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), list);
        let page = json!({
            "key": "B", "name": "b", "state": "deleted", "issuer": "O", "iat": 1, "serial": 3, "changed_at": 4, "via": "post",
            "etag": "\"e\"", "identity": "i", "digest": "d", "claims": { "nats": { "data": 18_446_744_073_709_551_615_u64, "x": 1.5 } },
            "deleted": { "iat": 5 },
            "delivery": {
                "account": "B", "serial": 3, "iat": 1, "identity": "i", "committed_at": 4, "announced_at": null, "complete": false,
                "compared_at": 5, "note": "n",
                "servers": [
                    { "id": "1", "name": "n1", "outcome": "updated", "after_ms": 0.5, "compared_at": null },
                    {
                        "id": "2", "name": "n2", "outcome": "behind", "after_ms": 2.0, "compared_at": 6, "error": "e",
                        "runs": { "iat": 1, "identity": "i" }, "reason": "deleted", "missing_imports": ["a.>"],
                        "connections_left": 4, "not_live": ["limits.conn"],
                    },
                ],
                "silent": [{ "id": "3", "name": "n3" }],
                "replicas_behind": [{ "id": "4", "name": "eu", "serial": 2, "heard_at": 9, "below": ["eu-1"] }],
            },
        });
        let read: AccountPage = serde_json::from_value(page.clone()).expect("a page");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), page);
    }
}
