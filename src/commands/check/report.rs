//! The verdict on one token for people.

use std::io::{self, Write};

use serde::Serialize;

use super::super::shown::printable;
use super::verdict::{CheckQuestion, CheckVerdict, judge};
use crate::calendar::utc_date;
use crate::jwt::{GenericJwt, NotAJwt, OperatorJwt, belongs};
use crate::key::{Kind, PublicKey};

/// How far ahead `iat` may be, in seconds: a clock that is off by more is taken for a mistake.
const MAX_AHEAD: i64 = 3600;

/// What can be said about one token.
#[derive(Debug)]
pub(super) struct CheckReport {
    pub(super) verdict: CheckVerdict,
    /// Why the token would be refused.
    pub(super) refusal: Option<String>,
    operator: Option<String>,
}

/// The line for programs.
#[derive(Debug, Serialize)]
pub(super) struct CheckLine<'r> {
    #[serde(flatten)]
    verdict: &'r CheckVerdict,
    /// Whether it would be accepted.
    accepted: bool,
    /// Why not.
    reason: Option<&'r str>,
}

impl CheckReport {
    /// What is there is no JWT.
    pub(super) fn not_a_jwt(name: &str, found: &NotAJwt) -> Self {
        let verdict = CheckVerdict { id: name.to_owned(), decode: found.to_string(), ..CheckVerdict::default() };
        Self { refusal: Some(verdict.decode.clone()), verdict, operator: None }
    }

    /// The report for programs.
    pub(super) fn line(&self) -> CheckLine<'_> {
        CheckLine { verdict: &self.verdict, accepted: self.refusal.is_none(), reason: self.refusal.as_deref() }
    }

    /// Looks at a bare token. `name` says where it is from; `operator` is the one to ask about trust, and its text.
    pub(super) fn new(name: &str, token: &str, operator: Option<&(OperatorJwt, String)>, now: i64) -> Self {
        // Requests, such as the one to delete accounts, are generic claims, which can be decoded only as such.
        let typed = judge(&question(name, "any", token, operator), now);
        let generic = typed.decode != "ok" && GenericJwt::decode(token).is_ok_and(|jwt| jwt.accounts().is_some());
        let mut verdict = if generic { judge(&question(name, "generic", token, operator), now) } else { typed };
        if generic {
            verdict.kind = "delete request".to_owned();
        }
        let refusal = refusal(&verdict, now);
        let operator = operator.map(|(jwt, _)| format!("{} {}", jwt.claims.sub, jwt.claims.name));
        Self { verdict, refusal, operator }
    }

    /// Writes the report, a line for each thing that is known.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let verdict = &self.verdict;
        if verdict.decode == "ok" {
            writeln!(out, "{}: {} JWT, version {}", printable(&verdict.id), verdict.kind, verdict.version)?;
            writeln!(out, "  key:      {}", printable(&verdict.sub))?;
            writeln!(out, "  name:     {}", printable(&verdict.name))?;
            writeln!(out, "  issuer:   {}", printable(&verdict.iss))?;
            writeln!(out, "  issued:   {}", date(verdict.iat, "unknown"))?;
            writeln!(out, "  expires:  {}", date(verdict.exp, "never"))?;
            if verdict.nbf != 0 {
                writeln!(out, "  starts:   {}", date(verdict.nbf, ""))?;
            }
            if !verdict.hash_id.is_empty() {
                writeln!(out, "  hash id:  {}", verdict.hash_id)?;
            }
            self.write_trust(out)?;
            for issue in &verdict.issues {
                let grade = match (issue.blocking, issue.time_check) {
                    (true, _) => "error:   ",
                    (false, true) => "time:    ",
                    (false, false) => "warning: ",
                };
                writeln!(out, "  {grade} {}", printable(&issue.text))?;
            }
        } else {
            writeln!(out, "{}: no valid token", printable(&verdict.id))?;
        }
        if matches!(verdict.kind.as_str(), "activation" | "operator") {
            writeln!(out, "  {}", belongs(&verdict.kind))?;
        }
        match &self.refusal {
            // For an activation no operator is asked.
            None if self.operator.is_none() && verdict.kind != "activation" => {
                writeln!(out, "  would be accepted if the operator signed it: no operator was given (-operator)")
            }
            None => writeln!(out, "  would be accepted"),
            Some(reason) => writeln!(out, "  would be rejected because {}", printable(reason)),
        }
    }

    fn write_trust(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(operator) = &self.operator else { return Ok(()) };
        let trust = match (self.verdict.did_sign, self.verdict.kind.as_str()) {
            (_, "activation") => "not asked: the account that exports vouches for an activation, not the operator",
            (Some(true), _) => "signed by",
            _ => "not signed by",
        };
        writeln!(out, "  operator: {trust} {}", printable(operator))
    }
}

fn question(name: &str, kind: &str, token: &str, operator: Option<&(OperatorJwt, String)>) -> CheckQuestion {
    CheckQuestion {
        id: name.to_owned(),
        kind: kind.to_owned(),
        token: token.to_owned(),
        operator: operator.map(|(_, text)| text.clone()).unwrap_or_default(),
        ..CheckQuestion::default()
    }
}

/// Why a push of this token would be rejected, judged without the server's store.
fn refusal(verdict: &CheckVerdict, now: i64) -> Option<String> {
    if verdict.decode != "ok" {
        return Some(verdict.decode.clone());
    }
    let wanted = match verdict.kind.as_str() {
        "account" | "activation" => Kind::Account,
        "operator" | "delete request" => Kind::Operator,
        other => return Some(belongs(other).to_owned()),
    };
    // The library lets an activation be for anyone, and a request be about anything.
    if matches!(verdict.kind.as_str(), "account" | "operator")
        && let Err(error) = PublicKey::parse_kind(&verdict.sub, wanted)
    {
        return Some(format!("its subject is {error}"));
    }
    if let Some(issue) = verdict.issues.iter().find(|issue| issue.blocking || issue.time_check) {
        return Some(issue.text.clone());
    }
    if verdict.iat > now.saturating_add(MAX_AHEAD) {
        return Some("it was issued more than an hour ahead of this machine's clock".to_owned());
    }
    if verdict.did_sign == Some(false) && verdict.kind != "activation" {
        return Some(format!("the operator did not sign it: {} is none of its keys", verdict.iss));
    }
    None
}

fn date(seconds: i64, absent: &str) -> String {
    if seconds == 0 { absent.to_owned() } else { format!("{} ({seconds})", utc_date(seconds)) }
}
