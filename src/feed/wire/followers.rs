//! The JSON form of what a follower reports about itself, and of the list of those that did.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::is_name;
use crate::feed::{Chain, Head, Session, parse_hex};

/// The largest report that is read, in bytes.
pub const MAX_REPORT: usize = 8 << 10;
/// Replicas that a report names at most.
pub const MAX_NAMED: usize = 16;
/// Serials are at most this, because SQLite counts with signed numbers.
const MAX_SERIAL: u64 = i64::MAX as u64;

/// A follower's report to its upstream, as sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FollowerReport {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its process, 16 hexadecimal digits of its own choice.
    pub run: String,
    /// The number of this report among those of the process.
    pub seq: u64,
    /// Its name.
    pub name: String,
    /// Its mode: `cache` or `mirror`.
    pub mode: String,
    /// The version of its program.
    pub version: String,
    /// Whether the id outlives the process.
    #[serde(default)]
    pub lasting: bool,
    /// Whether it is about to stop, or reports to another server from now on.
    #[serde(default)]
    pub leaving: bool,
    /// The session that it follows, 32 hexadecimal digits. Missing, like the next two: it follows none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The position up to which everything that it serves without asking is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// The chain value there, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Its own followers, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<Lowest>,
}

/// A follower's report about its own followers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowest {
    /// The lowest position among them, in the session of the report.
    pub serial: u64,
    /// The chain value there, 64 hexadecimal digits.
    pub chain: String,
    /// How many they are.
    pub known: u64,
    /// Some that lag the follower itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Named>,
    /// How many more of those there are.
    #[serde(default)]
    pub more: u64,
    /// The lowest position that one of them had for longer than 2 seconds, or for an unknown time, since the previous report. Missing: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacked: Option<u64>,
}

/// A replica by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A report that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The follower's id.
    pub id: [u8; 16],
    /// Its process.
    pub run: [u8; 8],
    /// The number of the report among those of the process.
    pub seq: u64,
    /// Its name.
    pub name: String,
    /// Its mode: `cache` or `mirror`.
    pub mode: String,
    /// The version of its program.
    pub version: String,
    /// Whether the id outlives the process.
    pub is_lasting: bool,
    /// Whether it reports here for the last time.
    pub is_leaving: bool,
    /// The position up to which everything that it serves without asking is current.
    pub position: Option<Head>,
    /// Its own followers.
    pub below: Option<Below>,
}

/// The followers of a follower.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Below {
    /// The lowest position among them; `None`: it follows no session yet.
    pub lowest: Option<Head>,
    /// How many they are.
    pub known: u64,
    /// Some that lag the follower itself.
    pub behind: Vec<Named>,
    /// How many more of those there are.
    pub more: u64,
    /// The lowest position that one of them had for longer than 2 seconds, or for an unknown time, since the previous report.
    pub lacked: Option<u64>,
}

/// A report that is not of this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {expected} is expected")]
pub struct ReportError {
    member: &'static str,
    expected: &'static str,
}

impl FollowerReport {
    /// Parses the report.
    pub fn parse(self) -> Result<Confirmation, ReportError> {
        let bad = |member, expected| ReportError { member, expected };
        let id = parse_hex(&self.id).ok_or(bad("id", "a text of 32 hexadecimal digits"))?;
        let run = parse_hex(&self.run).ok_or(bad("run", "a text of 16 hexadecimal digits"))?;
        if !is_name(&self.name) {
            return Err(bad("name", "a text of 1 to 64 characters on one line"));
        }
        if !is_word(&self.mode, 16) {
            return Err(bad("mode", "cache or mirror"));
        }
        if !is_word(&self.version, 64) {
            return Err(bad("version", "a text of 1 to 64 visible ASCII characters"));
        }
        let position = match (self.session, self.serial, self.chain) {
            (None, None, None) => None,
            (Some(session), Some(serial), Some(chain)) => Some(Head {
                session: Session::parse(&session).ok_or(bad("session", "a text of 32 hexadecimal digits"))?,
                serial: Some(serial).filter(|serial| *serial <= MAX_SERIAL).ok_or(bad("serial", "a serial"))?,
                chain: Chain::parse(&chain).ok_or(bad("chain", "a text of 64 hexadecimal digits"))?,
            }),
            _ => return Err(bad("session, serial, chain", "all of them or none")),
        };
        let below = self.lowest.map(|lowest| lowest.parse(position.map(|position| position.session))).transpose()?;
        Ok(Confirmation {
            id,
            run,
            seq: self.seq,
            name: self.name,
            mode: self.mode,
            version: self.version,
            is_lasting: self.lasting,
            is_leaving: self.leaving,
            position,
            below,
        })
    }
}

impl Lowest {
    fn parse(self, session: Option<Session>) -> Result<Below, ReportError> {
        let bad = |member, expected| ReportError { member, expected };
        let chain = Chain::parse(&self.chain).ok_or(bad("lowest.chain", "a text of 64 hexadecimal digits"))?;
        if self.serial > MAX_SERIAL {
            return Err(bad("lowest.serial", "a serial"));
        }
        let is_named = |named: &Named| parse_hex::<16>(&named.id).is_some() && is_name(&named.name);
        if self.behind.len() > MAX_NAMED || !self.behind.iter().all(is_named) {
            return Err(bad("lowest.behind", "a list of at most 16 replicas, each with its id and its name,"));
        }
        if [self.known, self.more, self.lacked.unwrap_or(0)].iter().any(|number| *number > MAX_SERIAL) {
            return Err(bad("lowest.known, lowest.more, lowest.lacked", "a number"));
        }
        let lowest = session.map(|session| Head { session, serial: self.serial, chain });
        Ok(Below { lowest, known: self.known, behind: self.behind, more: self.more, lacked: self.lacked })
    }
}

impl From<Confirmation> for FollowerReport {
    fn from(said: Confirmation) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let lowest = said.below.map(|below| {
            let (serial, chain) = below.lowest.map_or((0, Chain::default()), |lowest| (lowest.serial, lowest.chain));
            Lowest {
                serial,
                chain: chain.to_string(),
                known: below.known,
                behind: below.behind,
                more: below.more,
                lacked: below.lacked,
            }
        });
        Self {
            id: hex(&said.id),
            run: hex(&said.run),
            seq: said.seq,
            name: said.name,
            mode: said.mode,
            version: said.version,
            lasting: said.is_lasting,
            leaving: said.is_leaving,
            session: said.position.map(|position| position.session.to_string()),
            serial: said.position.map(|position| position.serial),
            chain: said.position.map(|position| position.chain.to_string()),
            lowest,
        }
    }
}

/// Whether a text is one word of visible ASCII characters.
fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The replicas that a server knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FollowersPage {
    /// The session of the history that this server has, 32 hexadecimal digits; `null`: it has none yet.
    pub session: Option<String>,
    /// Where this server is in it.
    pub serial: u64,
    /// The serial up to which all that count are current; `null`: none counts.
    pub lowest: Option<u64>,
    /// Those that count and have every change that is more than 2 seconds old.
    pub in_sync: u64,
    /// Those that count and lack one.
    pub behind: u64,
    /// Those that count and were not heard for 10 seconds.
    pub silent: u64,
    /// Reports that were rejected since the start because there was no room.
    pub refused: u64,
    /// In the order of their names.
    pub followers: Vec<FollowerStatus>,
}

/// A replica that is known.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FollowerStatus {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its mode: `cache` or `mirror`.
    pub mode: String,
    /// The version of its program.
    pub version: String,
    /// The IP address of its last report.
    pub address: String,
    /// `in_sync`, `behind`, `silent` or `left`.
    pub state: String,
    /// Whether it is on the history of this server.
    pub session_ok: bool,
    /// The position of it and its followers; 0 if it has another history.
    pub serial: u64,
    /// The number of changes that it lags.
    pub behind_by: u64,
    /// When it was last heard, unix milliseconds.
    pub heard_at: i64,
    /// Whether it said goodbye.
    pub leaving: bool,
    /// The number of its followers.
    pub below: u64,
    /// Some followers that lag.
    pub behind: Vec<Named>,
    /// How many more of those there are.
    pub more: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> FollowerReport {
        let text = format!(
            r#"{{"id": "{}", "run": "00112233445566ff", "seq": 7, "name": "leaf", "mode": "cache", "version": "2.0.0",
                "session": "{}", "serial": 3, "chain": "{}", "later": {{"more": 1}},
                "lowest": {{"serial": 2, "chain": "{}", "known": 2, "lacked": 1, "behind": [{{"id": "{}", "name": "x"}}]}}}}"#,
            "0a".repeat(16),
            "0b".repeat(16),
            "0c".repeat(32),
            "0d".repeat(32),
            "0e".repeat(16)
        );
        serde_json::from_str(&text).expect("a report")
    }

    #[test]
    fn what_is_written_is_read_back_and_what_a_later_version_adds_is_passed_over() {
        let said = report().parse().expect("of this format");
        assert_eq!((said.id, said.run, said.seq), ([10; 16], [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff], 7));
        let position = Head { session: Session([11; 16]), serial: 3, chain: Chain([12; 32]) };
        assert_eq!(said.position, Some(position));
        let below = said.below.clone().expect("replicas behind it");
        assert_eq!(below.lowest, Some(Head { serial: 2, chain: Chain([13; 32]), ..position }));
        assert_eq!((below.known, below.behind.len(), below.more, below.lacked), (2, 1, 0, Some(1)));
        assert!(!said.is_lasting && !said.is_leaving);
        assert_eq!(FollowerReport::from(said.clone()).parse(), Ok(said));
        let none =
            FollowerReport { session: None, serial: None, chain: None, ..report() }.parse().expect("of this format");
        assert_eq!((none.position, none.below.and_then(|below| below.lowest)), (None, None));
    }

    #[test]
    fn what_is_not_of_this_format_is_named() {
        type Edit = fn(&mut FollowerReport);
        let edits: &[(&str, Edit)] = &[
            ("id", |report| report.id.truncate(31)),
            ("id", |report| report.id.push_str("00")),
            ("run", |report| report.run.clear()),
            ("name", |report| report.name.clear()),
            ("name", |report| report.name = "x".repeat(65)),
            ("name", |report| report.name = "a\nb".into()),
            ("mode", |report| report.mode = "a cache".into()),
            ("version", |report| report.version = "v".repeat(65)),
            ("session, serial, chain", |report| report.chain = None),
            ("session, serial, chain", |report| report.session = None),
            ("session", |report| report.session = Some("zz".repeat(16))),
            ("serial", |report| report.serial = Some(u64::MAX)),
            ("chain", |report| report.chain = Some("0c".repeat(31))),
            ("lowest.serial", |report| lowest(report).serial = u64::MAX),
            ("lowest.chain", |report| lowest(report).chain.clear()),
            ("lowest.known, ", |report| lowest(report).known = u64::MAX),
            ("lowest.behind", |report| lowest(report).behind[0].id.clear()),
            ("lowest.behind", |report| lowest(report).behind[0].name = "\u{7}".into()),
            ("lowest.behind", |report| {
                let named = lowest(report).behind[0].clone();
                lowest(report).behind = vec![named; MAX_NAMED + 1];
            }),
        ];
        for (member, edit) in edits {
            let mut report = report();
            edit(&mut report);
            let error = report.parse().expect_err(member).to_string();
            assert!(error.starts_with(member), "{member}: {error}");
        }
    }

    fn lowest(report: &mut FollowerReport) -> &mut Lowest {
        report.lowest.as_mut().expect("there")
    }

    #[test]
    fn the_largest_report_has_room() {
        // No character of a name takes more bytes in JSON.
        let name = "\u{10ffff}".repeat(64);
        let named = Named { id: "0e".repeat(16), name: name.clone() };
        let mut report = FollowerReport { name, version: "v".repeat(64), serial: Some(MAX_SERIAL), ..report() };
        *lowest(&mut report) = Lowest {
            behind: vec![named; MAX_NAMED],
            more: MAX_SERIAL,
            lacked: Some(MAX_SERIAL),
            ..lowest(&mut report).clone()
        };
        let text = serde_json::to_vec(&report).expect("JSON");
        assert!(text.len() < MAX_REPORT && report.parse().is_ok(), "{}", text.len());
    }
}
