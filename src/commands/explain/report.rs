//! The answer of `explain`, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::fleet::{Decision, Fleet};
use super::given::GivenUser;
use super::judge::Judgement;
use super::knowledge::Knowledge;
use super::names::account_key;
use super::summary::Summary;
use crate::calendar::{period, utc_time};
use crate::commands::checks::{Check, Status, Verdict};
use crate::commands::shown::{Paint, called, json, printable};

/// Everything that there is to say.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What becomes of the user.
    pub(super) verdict: Verdict,
    /// The check that decides, unless the user is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Check>,
    /// The server or folder that was asked.
    place: String,
    user: Subject,
    account: Subject,
    checks: Vec<Check>,
    /// What each nats-server decides; empty if that is not known.
    nats_servers: Vec<Decision>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    nats_servers_unknown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Summary>,
    #[serde(skip)]
    now: i64,
}

/// The user, or its account. Times are unix seconds; 0: never, or not known.
#[derive(Debug, Default, Serialize)]
struct Subject {
    key: String,
    name: String,
    iat: i64,
    exp: i64,
}

impl Report {
    pub(super) fn new(
        user: &GivenUser,
        knowledge: &Knowledge,
        judgement: Judgement,
        nats_servers: Vec<Decision>,
        now: i64,
    ) -> Self {
        let account = judgement.account.as_ref();
        let scoped = account.is_some_and(|account| account.body.signing_keys.scope(&user.jwt.claims.iss).is_some());
        let claims = &user.jwt.claims;
        // If a nats-server decides otherwise, there is not one answer.
        let differs = nats_servers.iter().find(|decision| decision.check.status == Status::Unknown);
        let verdict = if differs.is_some() { Verdict::Unsure } else { judgement.verdict };
        Self {
            verdict,
            reason: differs.map(|decision| &decision.check).or_else(|| judgement.decisive()).cloned(),
            place: knowledge.place.clone(),
            user: Subject { key: claims.sub.clone(), name: claims.name.clone(), iat: claims.iat, exp: claims.exp },
            account: Subject {
                key: account_key(&user.jwt).to_owned(),
                name: account.map(|account| account.claims.name.clone()).unwrap_or_default(),
                iat: account.map_or(0, |account| account.claims.iat),
                exp: account.map_or(0, |account| account.claims.exp),
            },
            permissions: Some(Summary::of(&judgement, scoped)),
            checks: judgement.checks,
            nats_servers,
            nats_servers_unknown: match &knowledge.fleet {
                Fleet::Unknown(why) => Some(why.clone()),
                Fleet::Known(_) => None,
            },
            now,
        }
    }

    /// About a JWT that every nats-server refuses, whatever its account is.
    pub(super) fn of_no_user(why: String, now: i64) -> Self {
        let check =
            Check::fail("user_jwt", why, "give the client the whole JWT, or new credentials: nsc generate creds");
        Self {
            verdict: Verdict::Refused,
            reason: Some(check.clone()),
            place: "nothing".to_owned(),
            user: Subject::default(),
            account: Subject::default(),
            checks: vec![check],
            nats_servers: Vec::new(),
            nats_servers_unknown: None,
            permissions: None,
            now,
        }
    }

    /// One document for programs.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", json(self, true)?)
    }

    /// Lines for people.
    pub(super) fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "user     {}", self.user.shown(self.now))?;
        writeln!(out, "account  {}", self.account.shown(self.now))?;
        writeln!(out, "asked    {}\n", printable(&self.place))?;
        for check in self.checks.iter().chain(self.nats_servers.iter().map(|decision| &decision.check)) {
            check.write(paint, out)?;
        }
        if let Some(why) = &self.nats_servers_unknown {
            writeln!(out, "{}", printable(why))?;
        }
        writeln!(out)?;
        if self.verdict == Verdict::Accepted {
            for line in self.permissions.iter().flat_map(Summary::lines) {
                writeln!(out, "{line}")?;
            }
            writeln!(out)?;
        }
        let style = match self.verdict {
            Verdict::Accepted => Paint::GREEN,
            Verdict::Refused => Paint::RED,
            Verdict::Unsure => Paint::YELLOW,
        };
        let verdict = paint.text(style, self.verdict.label());
        match &self.reason {
            None => writeln!(out, "{verdict}"),
            Some(check) => writeln!(out, "{verdict}: {}", printable(&check.text)),
        }
    }
}

impl Subject {
    fn shown(&self, now: i64) -> String {
        if self.key.is_empty() {
            return "unknown".to_owned();
        }
        let called = called(&self.name, &self.key);
        match self.iat {
            0 => called,
            iat => format!("{called}, issued {}, {} ago", utc_time(iat), period(now, iat)),
        }
    }
}
