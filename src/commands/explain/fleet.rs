//! What each nats-server runs of the account, and so what it does until it is repaired.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::given::GivenUser;
use super::judge::{AccountState, judge};
use super::remote::PastVersions;
use crate::calendar::utc_time;
use crate::commands::asked::{AskedListeners, json};
use crate::commands::checks::{Check, Verdict};
use crate::commands::shown::printable;
use crate::gate::Trust;
use crate::key::AccountKey;

/// The nats-servers, as the primary knows them.
#[derive(Debug)]
pub(super) enum Fleet {
    /// They are not known: why.
    Unknown(String),
    Known(Vec<NatsServer>),
}

/// A nats-server, and this account there.
#[derive(Debug, Default)]
pub(super) struct NatsServer {
    name: String,
    version: String,
    state: AccountThere,
    /// Whether it runs the operator JWT in force.
    has_operator: Option<bool>,
}

/// The account at a nats-server.
#[derive(Debug, Default)]
enum AccountThere {
    /// It runs what is stored, or has not loaded it and will ask.
    #[default]
    InSync,
    /// That cannot be told: why.
    Unknown(String),
    /// It runs this version, issued at that time, whose text may be gone.
    Runs { iat: i64, text: Option<String> },
}

/// What a nats-server does with the user, for programs and people.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    name: String,
    version: String,
    /// `in_sync`, `behind` or `unknown`.
    state: &'static str,
    /// The `iat` of the version that it runs, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<i64>,
    pub(super) verdict: Verdict,
    #[serde(flatten)]
    pub(super) check: Check,
}

/// Asks the primary. `Unknown`: the server is a replica, or compares nothing.
pub(super) async fn ask(asked: &AskedListeners, key: &AccountKey, history: &PastVersions) -> Result<Fleet, String> {
    let Some(report) = json::<ReportOfFleet>(&asked.api, "api/v1/servers").await? else {
        return Ok(Fleet::Unknown("the nats-servers are not known: only the primary compares them".to_owned()));
    };
    if !report.compared {
        let why = report.note.unwrap_or_else(|| "the primary does not compare them".to_owned());
        return Ok(Fleet::Unknown(format!("the nats-servers are not known: {}", printable(&why))));
    }
    let mut servers = Vec::new();
    for server in report.servers {
        let state = match server.difference(key) {
            Some(Ran { iat, identity }) => {
                AccountThere::Runs { iat: *iat, text: history.text_of(&asked.accounts, key, identity).await? }
            }
            None if server.state == "unknown" => AccountThere::Unknown(
                server.unknown.unwrap_or_else(|| "the primary has not compared all its accounts yet".to_owned()),
            ),
            None => AccountThere::InSync,
        };
        let has_operator = server.operator.map(|operator| operator.current);
        servers.push(NatsServer { name: server.name, version: server.version, state, has_operator });
    }
    Ok(Fleet::Known(servers))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportOfFleet {
    compared: bool,
    note: Option<String>,
    servers: Vec<ReportOfServer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportOfServer {
    name: String,
    version: String,
    state: String,
    unknown: Option<String>,
    operator: Option<ReportOfOperator>,
    behind: Vec<ReportOfAccount>,
    cannot_unload: Vec<ReportOfAccount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportOfOperator {
    current: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportOfAccount {
    account: String,
    runs: Option<Ran>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ran {
    iat: i64,
    identity: String,
}

impl ReportOfServer {
    /// What it runs of an account, if that is not what is stored.
    fn difference(&self, key: &AccountKey) -> Option<&Ran> {
        let key = key.text();
        self.behind.iter().chain(&self.cannot_unload).find(|listed| listed.account == key)?.runs.as_ref()
    }
}

impl NatsServer {
    /// What it does with the user, if `stored` is the verdict by what is stored.
    pub(super) fn decide(
        &self,
        user: &GivenUser,
        stored: Verdict,
        operator: Option<&Trust>,
        client: &Client,
    ) -> Decision {
        const CODE: &str = "nats_server";
        let who = format!("nats-server {} ({})", printable(&self.name), printable(&self.version));
        let (state, runs, verdict, check) = match &self.state {
            AccountThere::Unknown(why) => {
                let text = format!("{who}: it is not known what it runs: {}", printable(why));
                ("unknown", None, Verdict::Unsure, Check::warning(CODE, text))
            }
            AccountThere::InSync if self.has_operator == Some(false) => {
                let text = format!("{who} runs another version of the operator's JWT until its next reload or restart");
                ("in_sync", None, Verdict::Unsure, Check::warning(CODE, text))
            }
            AccountThere::InSync => {
                ("in_sync", None, stored, Check::pass(CODE, format!("{who} runs what is stored, or will ask for it")))
            }
            AccountThere::Runs { iat, text } => {
                let state = text.clone().map_or_else(
                    || AccountState::Unclear("its text is not stored any more".to_owned()),
                    AccountState::Stored,
                );
                let there = judge(&user.jwt, user.size, &state, operator, client);
                let verdict = there.verdict;
                let does = match (verdict, there.decisive()) {
                    (Verdict::Accepted, _) => "accepts the user".to_owned(),
                    (Verdict::Refused, Some(check)) => format!("refuses the user: {}", check.text),
                    _ => "may accept or refuse the user".to_owned(),
                };
                let text = format!("{who} runs the version of {} and {does}, until it is repaired", utc_time(*iat));
                let remedy = format!(
                    "see why it is behind: GET /api/v1/servers at the primary; restart {} if it stays",
                    printable(&self.name)
                );
                let check = if verdict == stored {
                    Check { remedy: Some(remedy), ..Check::warning(CODE, text) }
                } else {
                    Check::unknown(CODE, text, remedy)
                };
                ("behind", Some(*iat), verdict, check)
            }
        };
        Decision { name: printable(&self.name), version: printable(&self.version), state, runs, verdict, check }
    }
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::json;

    use super::super::client::ConnectionType;
    use super::*;
    use crate::commands::checks::Status;
    use crate::jwt::UserJwt;
    use crate::testkit::{self, sign, with};

    /// The user is revoked in what is stored. What nats-servers that are behind do is another matter.
    #[test]
    fn a_nats_server_decides_by_the_version_that_it_runs() {
        let (operator, account, pair) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let trust =
            Trust::from_operator_jwt(&sign(&testkit::operator(&operator, 1, &[]), &operator), 100).expect("trust");
        let token = sign(&testkit::user(&pair, 50), &account);
        let user = GivenUser { jwt: UserJwt::decode(&token).expect("a user"), size: token.len() };
        let client = Client { from: None, connection: ConnectionType::Standard, now: 100 };
        let older = sign(&testkit::account(&account, 40), &operator);
        let also_revoked = json!({ "nats": { "revocations": { "*": 60 } } });
        let also_revoked = sign(&with(testkit::account(&account, 41), also_revoked), &operator);
        let runs = |text: Option<&String>| AccountThere::Runs { iat: 40, text: text.cloned() };
        for (state, has_operator, verdict, status, shown) in [
            (AccountThere::InSync, Some(true), Verdict::Refused, Status::Pass, "in_sync"),
            (AccountThere::InSync, Some(false), Verdict::Unsure, Status::Warning, "in_sync"),
            (AccountThere::Unknown("x".to_owned()), None, Verdict::Unsure, Status::Warning, "unknown"),
            (runs(Some(&older)), None, Verdict::Accepted, Status::Unknown, "behind"),
            (runs(Some(&also_revoked)), None, Verdict::Refused, Status::Warning, "behind"),
            (runs(None), None, Verdict::Unsure, Status::Unknown, "behind"),
        ] {
            let server = NatsServer { name: "n1".to_owned(), version: "2.12.8".to_owned(), state, has_operator };
            let decision = server.decide(&user, Verdict::Refused, Some(&trust), &client);
            assert_eq!(
                (decision.verdict, decision.check.status, decision.state),
                (verdict, status, shown),
                "{server:?}"
            );
        }
    }
}
