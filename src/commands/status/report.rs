//! One look, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::answers::{CheckAnswer, FleetAnswer, NatsServer, Replica, ReplicasAnswer, Role, StatusAnswer};
use super::ask::Answers;
use super::judge::{self, Reason, State};
use super::ranked::{Ranked, Worst};
use super::table;
use super::told::Told;
use crate::commands::shown::Paint;

/// Everything that there is to say.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) state: State,
    /// When it was made, unix milliseconds.
    pub(super) at: i64,
    /// Why the servers do not belong together.
    reasons: Vec<Reason>,
    servers: Vec<ServerReport>,
}

/// One server.
#[derive(Debug, Serialize)]
struct ServerReport {
    url: String,
    state: State,
    reasons: Vec<Reason>,
    #[serde(flatten)]
    known: Option<Known>,
}

/// What is known of a server that answered.
#[derive(Debug, Serialize)]
struct Known {
    status: StatusAnswer,
    #[serde(serialize_with = "json_list")]
    replicas: Worst<Replica>,
    #[serde(serialize_with = "json_list")]
    nats_servers: Worst<NatsServer>,
    /// Why the nats-servers are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    nats_servers_note: Option<Told>,
}

impl Report {
    /// What all servers answered, each with its URL as it is shown.
    pub(super) fn new(asked: Vec<(String, Result<Answers, Reason>)>, at: i64) -> Self {
        let answered: Vec<_> =
            asked.iter().filter_map(|(url, answers)| Some((&**url, answers.as_ref().ok()?))).collect();
        let reasons = judge::of_all(&answered);
        let servers: Vec<_> = asked.into_iter().map(|(url, answers)| ServerReport::new(url, answers)).collect();
        let state = Reason::worst(servers.iter().flat_map(|server| &server.reasons).chain(&reasons));
        Self { state, at, reasons, servers }
    }

    /// A document for programs; in one line, if more will follow.
    pub(super) fn write_json(&self, is_one_of_many: bool, out: &mut dyn Write) -> io::Result<()> {
        if is_one_of_many {
            serde_json::to_writer(&mut *out, self)?;
        } else {
            serde_json::to_writer_pretty(&mut *out, self)?;
        }
        writeln!(out)
    }

    /// Lines for people.
    pub(super) fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        for server in &self.servers {
            server.write(paint, out)?;
            writeln!(out)?;
        }
        for Reason { code, detail, .. } in &self.reasons {
            writeln!(out, "{}  {code}: {detail}", paint.text(Paint::RED, "FAIL"))?;
        }
        let state = self.state.painted(paint);
        let well = self.servers.iter().filter(|server| server.state == State::Well).count();
        match self.servers.len() {
            1 => writeln!(out, "{state}"),
            count => writeln!(out, "{state}: {well} of {count} servers {} well", if well == 1 { "is" } else { "are" }),
        }
    }
}

impl ServerReport {
    fn new(url: String, answers: Result<Answers, Reason>) -> Self {
        match answers {
            Ok(answers) => {
                let reasons = judge::of_one(&answers);
                Self { url, state: Reason::worst(&reasons), reasons, known: Some(Known::of(answers)) }
            }
            Err(reason) => Self { url, state: reason.state, reasons: vec![reason], known: None },
        }
    }

    fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        let (url, state) = (paint.text(Paint::BOLD, &self.url), self.state.painted(paint));
        let codes: Vec<_> = self.reasons.iter().map(|reason| reason.code.text()).collect();
        let Some(known) = &self.known else {
            let details: Vec<_> = self.reasons.iter().map(|reason| reason.detail.text()).collect();
            return writeln!(out, "{url}  {state}: {}", details.join("; "));
        };
        let separator = if codes.is_empty() { "" } else { ": " };
        writeln!(out, "{url}  {}  {state}{separator}{}", known.status.called(), codes.join(", "))?;
        known.write(paint, out)?;
        for reason in self.reasons.iter().filter(|reason| !known.has_check(reason)) {
            writeln!(out, "  {}  {:<18}  {}", paint.text(Paint::RED, "FAIL   "), reason.code, reason.detail)?;
        }
        Ok(())
    }
}

impl Known {
    fn of(answers: Answers) -> Self {
        let fleet = answers.fleet.and_then(Result::ok);
        Self {
            status: answers.status,
            replicas: answers.replicas.map(|ReplicasAnswer { followers }| followers).unwrap_or_default(),
            nats_servers: fleet.as_ref().map(FleetAnswer::all).unwrap_or_default(),
            nats_servers_note: fleet.and_then(|fleet| fleet.note),
        }
    }

    fn has_check(&self, reason: &Reason) -> bool {
        self.status.checks.iter().any(|check| check.code == reason.code && check.detail == reason.detail)
    }

    fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "  {}\n", self.status.summary())?;
        for check in &self.status.checks {
            check.write(paint, out)?;
        }
        let head = ["replica", "mode", "version", "address", "state", "serial", "behind by"];
        table::write(&self.replicas, head, Replica::cells, paint, out)?;
        let head = ["nats-server", "version", "state", "accounts behind", "note"];
        table::write(&self.nats_servers, head, NatsServer::cells, paint, out)
    }
}

impl State {
    fn painted(self, paint: Paint) -> String {
        let style = match self {
            Self::Well => Paint::GREEN,
            Self::Degraded => Paint::YELLOW,
            Self::Foreign | Self::Unreachable => Paint::RED,
        };
        paint.text(style, self.label())
    }
}

impl StatusAnswer {
    /// Its role and version.
    fn called(&self) -> String {
        let role = match (self.role, &self.mode) {
            (Role::Primary, _) => "primary".to_owned(),
            (Role::Replica, Some(mode)) => format!("replica ({mode})"),
            (Role::Replica, None) => "replica".to_owned(),
        };
        format!("{role} {}", self.version)
    }

    /// Where it is, and how much it has.
    fn summary(&self) -> String {
        let mut parts = vec![match &self.position {
            Some(position) => format!("serial {} of session {:.8}…", position.serial, position.session),
            None => "no serial yet".to_owned(),
        }];
        parts.extend(self.counts.accounts.map(|accounts| format!("{accounts} accounts")));
        parts.extend(self.counts.withheld.filter(|count| *count > 0).map(|count| format!("{count} withheld")));
        parts.extend(self.upstream.as_ref().map(|upstream| format!("upstream {}", upstream.url)));
        parts.join(", ")
    }
}

impl CheckAnswer {
    fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        let label = match self.status.text() {
            "pass" => paint.text(Paint::GREEN, "pass   "),
            "fail" => paint.text(Paint::RED, "FAIL   "),
            "warning" => paint.text(Paint::YELLOW, "warning"),
            other => format!("{other:<7}"),
        };
        writeln!(out, "  {label}  {:<18}  {}", self.code, self.detail)
    }
}

impl Replica {
    fn cells(&self) -> [String; 7] {
        let text = Told::to_string;
        [
            text(&self.name),
            text(&self.mode),
            text(&self.version),
            text(&self.address),
            text(&self.state),
            self.serial.to_string(),
            self.behind_by.to_string(),
        ]
    }
}

impl NatsServer {
    fn cells(&self) -> [String; 5] {
        let mut notes = Vec::new();
        notes.extend(self.unknown.as_ref().map(Told::to_string));
        notes.extend(self.gone_for.map(|seconds| format!("gone for {seconds} s")));
        if !self.cannot_unload.is_empty() {
            notes.push(format!("{} accounts cannot be unloaded", self.cannot_unload.len()));
        }
        if self.operator.as_ref().is_some_and(|operator| !operator.current) {
            notes.push("runs another operator JWT until its next reload".to_owned());
        }
        let state = if self.gone_for.is_some() { "silent".to_owned() } else { self.state.to_string() };
        [self.name.to_string(), self.version.to_string(), state, self.accounts_behind.to_string(), notes.join("; ")]
    }
}

/// The entries that are shown, and how many more there are.
fn json_list<T: Ranked + Serialize, S: serde::Serializer>(list: &Worst<T>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Listed<'l, T> {
        list: Vec<&'l T>,
        more: usize,
    }
    Listed { list: list.shown(), more: list.more() }.serialize(serializer)
}
