//! `check --url`: what a running server would make of these tokens. They are judged there, and not stored.

use std::fs::File;
use std::io::{self, Read, Write};

use bytes::Bytes;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::asked::{Problem, unexpected};
use super::super::shown::{called, json, printable};
use super::{CheckArgs, complain, read_bytes};
use crate::calendar::utc_time;
use crate::jwt::{MAX_TOKEN_BYTES, given};
use crate::upstream::remote::{RemoteServer, text};

/// The largest report, in bytes: 1000 differences and 1000 effects.
const REPORT: usize = 16 << 20;

/// What came of one file, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It would be accepted, and nothing would break.
    Good,
    /// It would be rejected, or something would break.
    Bad,
    /// That cannot be told.
    Unknown,
}

/// What is shown of a report.
#[derive(Debug, Deserialize)]
struct Report {
    kind: String,
    key: Option<String>,
    name: Option<String>,
    verdict: String,
    code: Option<String>,
    text: Vec<String>,
    warnings: Vec<String>,
    order: Option<Order>,
    diff: Option<Diff>,
    effects: Vec<Effect>,
    more: u64,
    complete: bool,
}

#[derive(Debug, Deserialize)]
struct Order {
    decision: String,
    stored: Option<Stored>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    serial: Option<u64>,
    iat: i64,
}

#[derive(Debug, Deserialize)]
struct Diff {
    text: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Effect {
    breaks: bool,
    text: String,
}

/// Asks about each file, and prints what comes of it.
pub(super) async fn run(
    remote: &RemoteServer,
    args: &CheckArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
) -> io::Result<Fate> {
    let mut worst = Fate::Good;
    for file in &args.files {
        let bytes = match if file == "-" { read_bytes(&mut *stdin) } else { File::open(file).and_then(read_bytes) } {
            Ok(bytes) => bytes,
            Err(error) => {
                complain(&format!("cannot read {file}: {error}"));
                worst = Fate::Unknown;
                continue;
            }
        };
        let (fate, answer) = ask(remote, bytes).await;
        match (args.json, answer) {
            (true, answer) => writeln!(stdout, "{}", json(&line(file, answer), false)?)?,
            (false, Ok((report, _))) => show(file, &report, stdout)?,
            (false, Err(why)) if fate == Fate::Unknown => complain(&format!("cannot check {file}: {why}")),
            (false, Err(why)) => writeln!(stdout, "{}: would be rejected: {}", printable(file), printable(&why))?,
        }
        worst = worst.max(fate);
    }
    stdout.flush()?;
    Ok(worst)
}

/// The line for programs: the report, or why there is none.
fn line(file: &str, answer: Result<(Report, Map<String, Value>), String>) -> Map<String, Value> {
    let said = answer.map_or_else(|why| Map::from_iter([("error".to_owned(), why.into())]), |(_, said)| said);
    std::iter::once(("file".to_owned(), file.into())).chain(said).collect()
}

/// What a server says of a file, and whether that is good. The error says why there is no report.
async fn ask(remote: &RemoteServer, bytes: Vec<u8>) -> (Fate, Result<(Report, Map<String, Value>), String>) {
    // A private key goes nowhere.
    if let Err(found) = given(&bytes)
        && found.is_private()
    {
        return (Fate::Bad, Err(found.to_string()));
    }
    if bytes.len() > MAX_TOKEN_BYTES {
        return (Fate::Bad, Err(format!("it has {} bytes; a JWT has at most {MAX_TOKEN_BYTES}", bytes.len())));
    }
    let body = Bytes::from(bytes);
    let unknown = |why: String| (Fate::Unknown, Err(why));
    let sent = remote.send(|client| client.post(remote.root("api/v1/check")).body(body.clone())).await;
    let reply = match sent {
        Ok(reply) => reply,
        Err(why) => return unknown(why),
    };
    match reply.status() {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
            let said = text(reply, REPORT).await;
            return match said.map(|said| serde_json::from_str::<Problem>(&said)) {
                Ok(Ok(problem)) if matches!(&*problem.code, "no_jwt" | "bad_kind" | "private_key") => {
                    (Fate::Bad, Err(problem.detail))
                }
                Ok(Ok(problem)) => unknown(format!("{} says: {}", remote.shown(), problem.detail)),
                Ok(Err(_)) => unknown(format!("{} is no account server, or an older one", remote.shown())),
                Err(why) => unknown(why),
            };
        }
        _ => return unknown(unexpected(remote, reply).await),
    }
    let read = text(reply, REPORT).await.and_then(|said| {
        let read = || Ok::<_, serde_json::Error>((serde_json::from_str(&said)?, serde_json::from_str(&said)?));
        read().map_err(|error| error.to_string())
    });
    match read {
        Ok((report, said)) => (Report::fate(&report), Ok((report, said))),
        Err(why) => unknown(format!("{} answers something else than a report: {why}", remote.shown())),
    }
}

impl Report {
    fn fate(&self) -> Fate {
        match &*self.verdict {
            "rejected" => Fate::Bad,
            "accepted" if self.effects.iter().any(|effect| effect.breaks) => Fate::Bad,
            "accepted" if self.complete => Fate::Good,
            _ => Fate::Unknown,
        }
    }

    /// The verdict in words.
    fn told(&self) -> String {
        let stored = self.order.as_ref().and_then(|order| order.stored.as_ref()).map(|stored| {
            let serial = stored.serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
            format!("{}{serial}", utc_time(stored.iat))
        });
        match (&*self.verdict, self.order.as_ref().map(|order| &*order.decision), stored) {
            ("accepted", Some("same"), _) => "would be accepted; it is stored already".to_owned(),
            ("accepted", Some("newer"), Some(stored)) => {
                format!("would be accepted; it replaces the version of {stored}")
            }
            ("accepted", ..) => "would be accepted".to_owned(),
            ("rejected", ..) => format!("would be rejected ({})", self.code.as_deref().unwrap_or("unknown")),
            _ => "is for the signing service to decide".to_owned(),
        }
    }
}

fn show(file: &str, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let what = report.kind.replace('_', " ");
    let about = called(report.name.as_deref().unwrap_or_default(), report.key.as_deref().unwrap_or_default());
    let about = if about.is_empty() { what } else { format!("{what} {about}") };
    writeln!(out, "{}: {about} {}", printable(file), report.told())?;
    let mut lines = |title: &str, texts: &[String]| -> io::Result<()> {
        texts.iter().try_for_each(|text| writeln!(out, "  {title:<9}{}", printable(text)))
    };
    let effects = |breaks: bool| -> Vec<String> {
        report.effects.iter().filter(|effect| effect.breaks == breaks).map(|effect| effect.text.clone()).collect()
    };
    lines("because", &report.text)?;
    lines("warning", &report.warnings)?;
    lines("changes", report.diff.as_ref().map_or(&[], |diff| &diff.text))?;
    lines("breaks", &effects(true))?;
    lines("soon", &effects(false))?;
    if report.more > 0 {
        lines("breaks", &[format!("and {} more", report.more)])?;
    }
    if !report.complete {
        lines("unknown", &["not all accounts could be looked at in time: more may break".to_owned()])?;
    }
    Ok(())
}
