//! What the answers come to: which states are a reason for an alarm.
//!
//! The checks are those of the servers. What is added here is what no server sees alone. `docs/status.md` has the rules as a table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answers::{CheckAnswer, PositionAnswer, Role, StatusAnswer, UpstreamAnswer};
use super::ask::Answers;
use super::told::Told;

/// Checks of which a warning is a reason for an alarm. Other warnings are about the future, or about what an operator chose.
const ALARMS: [&str; 5] = ["in_sync", "ahead", "nats", "nats_servers", "replicas"];

/// How a server is, or all of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Well,
    Degraded,
    /// Something answers that is no account server, or is too old.
    Foreign,
    Unreachable,
}

impl State {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Degraded => "degraded",
            Self::Foreign => "foreign",
            Self::Unreachable => "unreachable",
        }
    }

    pub(super) const fn exit_status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Degraded => 1,
            Self::Foreign | Self::Unreachable => 2,
        }
    }
}

/// Why something is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    #[serde(skip)]
    pub(super) state: State,
    /// The code of a check of the API, or one of this command.
    pub(super) code: Told,
    pub(super) detail: Told,
}

impl Reason {
    pub(super) fn new(state: State, code: &str, detail: &str) -> Self {
        Self { state, code: Told::of(code), detail: Told::of(detail) }
    }

    /// The state that several reasons make.
    pub(super) fn worst<'r>(reasons: impl IntoIterator<Item = &'r Self>) -> State {
        reasons.into_iter().map(|reason| reason.state).max().unwrap_or(State::Well)
    }
}

impl StatusAnswer {
    /// The position that this replica has and has not confirmed yet, if it follows its upstream.
    pub(super) fn unconfirmed(&self) -> Option<PositionAnswer> {
        let follows = self.upstream.as_ref().is_some_and(|upstream| upstream.following);
        let is_late = |check: &CheckAnswer| check.code.text() == "in_sync" && check.status.text() == "warning";
        self.position.clone().filter(|_| follows && self.checks.iter().any(is_late))
    }

    /// Whether it follows, and everything up to a position is confirmed.
    pub(super) fn has_confirmed(&self, due: &PositionAnswer) -> bool {
        let same = self.position.as_ref().is_some_and(|position| position.session == due.session);
        let confirmed = |upstream: &UpstreamAnswer| {
            upstream.following && upstream.confirmed.is_some_and(|confirmed| confirmed >= due.serial)
        };
        same && self.upstream.as_ref().is_some_and(confirmed)
    }
}

/// Why one server is not well.
pub(super) fn of_one(answers: &Answers) -> Vec<Reason> {
    let is_reason = |check: &&CheckAnswer| match (check.status.text(), check.code.text()) {
        ("fail", _) => true,
        ("warning", "in_sync") => !answers.keeps_up,
        ("warning", code) => ALARMS.contains(&code),
        _ => false,
    };
    let checks = answers.status.checks.iter().filter(is_reason);
    let unread = [answers.replicas.as_ref().err(), answers.fleet.as_ref().and_then(|fleet| fleet.as_ref().err())];
    checks
        .map(|check| Reason { state: State::Degraded, code: check.code.clone(), detail: check.detail.clone() })
        .chain(unread.into_iter().flatten().map(|why| Reason::new(State::Degraded, "list", why.text())))
        .collect()
}

/// Why servers that are well do not belong together. Each one with its URL, as it is shown.
pub(super) fn of_all(servers: &[(&str, &Answers)]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |code, detail: String| reasons.push(Reason::new(State::Degraded, code, &detail));
    let by = |value: fn(&Answers) -> Option<&Told>, role: Option<Role>| {
        let mut found = BTreeMap::<&Told, Vec<&str>>::new();
        for (url, answers) in servers {
            if role.is_none_or(|role| answers.status.role == role)
                && let Some(value) = value(answers)
            {
                found.entry(value).or_default().push(url);
            }
        }
        found
    };
    let operators = by(|answers| answers.status.operator.as_ref(), None);
    if operators.len() > 1 {
        add("several_operators", format!("the servers trust different operators: {}", listed(&operators)));
    }
    let writers = by(|answers| answers.status.writable.then_some(&answers.process), Some(Role::Primary));
    if writers.len() > 1 {
        let urls: Vec<_> = writers.values().flatten().copied().collect();
        add("several_primaries", format!("several primaries accept changes: {}; stop all but one", urls.join(", ")));
    }
    let session: fn(&Answers) -> Option<&Told> =
        |answers| answers.status.position.as_ref().map(|position| &position.session);
    let (of_primaries, of_replicas) = (by(session, Some(Role::Primary)), by(session, Some(Role::Replica)));
    if of_primaries.is_empty() && of_replicas.len() > 1 {
        add("other_session", format!("the replicas follow different primaries: {}", listed(&of_replicas)));
    }
    for (session, urls) in &of_replicas {
        if !of_primaries.is_empty() && !of_primaries.contains_key(*session) {
            let detail = format!("{} follows another session than {}", urls.join(", "), listed(&of_primaries));
            add("other_session", detail);
        }
    }
    reasons
}

/// Values, and the servers that have each.
fn listed(found: &BTreeMap<&Told, Vec<&str>>) -> String {
    found.iter().map(|(value, urls)| format!("{value} at {}", urls.join(", "))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::answers::ReplicasAnswer;
    use super::*;

    const PAGE: &str = include_str!("../../../docs/status.md");

    fn answers(status: serde_json::Value) -> Answers {
        let status = serde_json::from_value(status).expect("a status");
        let (process, replicas) = (Told::of("p"), Ok(ReplicasAnswer::default()));
        Answers { process, status, keeps_up: false, replicas, fleet: None }
    }

    #[test]
    fn a_failure_is_a_reason_and_a_warning_is_one_only_of_some_checks() {
        for (code, status, keeps_up, is_reason) in [
            ("operator_expiry", "fail", false, true),
            ("something_new", "fail", false, true),
            ("operator_expiry", "warning", false, false),
            ("something_new", "warning", false, false),
            ("nats", "warning", false, true),
            ("nats", "skip", false, false),
            ("in_sync", "warning", false, true),
            ("in_sync", "warning", true, false),
            ("replicas", "warning", true, true),
            ("replicas", "pass", false, false),
        ] {
            let check = serde_json::json!({ "code": code, "status": status, "detail": "d" });
            let mut answers = answers(serde_json::json!({ "role": "primary", "version": "2", "checks": [check] }));
            answers.keeps_up = keeps_up;
            let expected: Vec<_> = is_reason.then(|| Reason::new(State::Degraded, code, "d")).into_iter().collect();
            assert_eq!(of_one(&answers), expected, "{code} {status}");
        }
    }

    #[test]
    fn changes_on_their_way_are_confirmed_in_the_same_session_only() {
        let status = |session: &str, serial: u64, confirmed: u64, following: bool| {
            let verdict = if serial == confirmed { "pass" } else { "warning" };
            answers(serde_json::json!({
                "role": "replica", "version": "2",
                "checks": [{ "code": "in_sync", "status": verdict, "detail": "d" }],
                "position": { "session": session, "serial": serial },
                "upstream": { "following": following, "confirmed": confirmed },
            }))
            .status
        };
        let due = status("s", 9, 7, true).unconfirmed().expect("due");
        assert_eq!((due.serial, status("s", 9, 9, true).unconfirmed()), (9, None));
        assert_eq!(status("s", 9, 7, false).unconfirmed(), None, "nothing is on its way to one that does not follow");
        for (later, is_confirmed) in [
            (status("s", 20, 9, true), true),
            (status("s", 20, 8, true), false),
            (status("s", 20, 19, false), false),
            (status("t", 20, 19, true), false),
        ] {
            assert_eq!(later.has_confirmed(&due), is_confirmed, "{later:?}");
        }
    }

    #[test]
    fn the_page_has_every_code() {
        let own =
            ["list", "several_primaries", "several_operators", "other_session", "unreachable", "foreign", "too_old"];
        for code in ALARMS.iter().chain(&own) {
            assert!(PAGE.contains(&format!("`{code}`")), "{code} is not on the page");
        }
    }
}
