//! The form of a line: its number, the hash of the line before it, its time, and what it tells.
//!
//! A line begins with these three in this order and without blanks, so the chain can be verified without reading JSON.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::event::{Committed, Rejected, What};
use crate::calendar::rfc3339_millis;
use crate::excerpt::excerpt_of;
use crate::gate::Client;
use crate::key::seed;

/// The longest line that is read, in bytes: that of a delete request with as many keys as it has room for.
pub(super) const LONGEST: usize = 4 << 20;
/// The longest name that a line has, in bytes.
const MAX_NAME: usize = 256;
/// What precedes the first line of a chain.
pub(super) const NONE: [u8; 32] = [0; 32];

const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const TIME: &[u8] = b"\",\"time\":\"";

/// A line's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number; 0 before the first one.
    pub(super) seq: u64,
    /// SHA-256 of the line, without its end.
    pub(super) hash: [u8; 32],
}

impl Link {
    /// What precedes the first line.
    pub(super) const BEGINNING: Self = Self { seq: 0, hash: NONE };
}

/// What a line tells besides its place and time.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
struct Body<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// All of them, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    late: bool,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A line about the log itself.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// `began`, `broken`, `journal` or `resumed`.
    pub(super) note: &'static str,
    /// For people.
    pub(super) detail: String,
    /// The position after which the committed changes follow, if another one than before.
    pub(super) position: Option<([u8; 16], u64)>,
    /// Whether the chain begins here.
    pub(super) is_first: bool,
}

/// Lines that are not written yet.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) last: Link,
    /// Attempts that have no line, to be told by the next one.
    pub(super) lost: u64,
}

impl Lines {
    pub(super) const fn after(last: Link, lost: u64) -> Self {
        Self { bytes: Vec::new(), last, lost }
    }

    pub(super) fn note(&mut self, note: &Note, at: i64) {
        if note.is_first {
            self.last.hash = NONE;
        }
        let body = Body {
            outcome: "note",
            note: Some(note.note),
            detail: Some(&note.detail),
            session: note.position.map(|(session, _)| HEXLOWER.encode(&session)),
            serial: note.position.map(|(_, serial)| serial),
            ..Body::default()
        };
        self.push(at, body);
    }

    /// `sender`: with what the journal does not store. `is_late`: an earlier process committed it.
    pub(super) fn committed(&mut self, change: &Committed, sender: Option<&Client>, is_late: bool) {
        let body = Body {
            outcome: "committed",
            serial: Some(change.serial),
            via: Some(&change.via),
            client: change.client.as_ref().map(|client| &*client.address),
            late: is_late,
            ..Body::about(&change.what)
        };
        self.push(change.at, body.from(sender.or(change.client.as_ref())));
    }

    pub(super) fn rejected(&mut self, rejected: &Rejected) {
        let sender = rejected.sender.as_deref();
        let body = Body {
            outcome: "rejected",
            reason: Some(rejected.reason),
            via: Some(rejected.via),
            client: sender.map(|sender| &*sender.address),
            ..Body::about(&rejected.what)
        };
        self.push(rejected.at, body.from(sender));
    }

    fn push(&mut self, at: i64, mut body: Body<'_>) {
        body.lost = std::mem::take(&mut self.lost);
        let (start, seq) = (self.bytes.len(), self.last.seq + 1);
        let (prev, time) = (HEXLOWER.encode(&self.last.hash), rfc3339_millis(at));
        // Neither fails: the target is memory, and the body is plain data.
        let _ = write!(self.bytes, "{{\"seq\":{seq},\"prev\":\"{prev}\",\"time\":\"{time}\",");
        let rest = self.bytes.len();
        let _ = serde_json::to_writer(&mut self.bytes, &body);
        self.bytes.remove(rest);
        self.last = Link { seq, hash: Sha256::digest(&self.bytes[start..]).into() };
        self.bytes.push(b'\n');
    }
}

impl<'a> Body<'a> {
    fn about(what: &'a What) -> Self {
        Self {
            kind: Some(what.kind),
            op: Some(what.op),
            key: what.keys.first().map(String::as_str),
            keys: (what.keys.len() > 1).then_some(&what.keys[..]),
            account: what.account.as_deref(),
            name: what.name.as_deref().filter(|name| !name.is_empty()).map(shown),
            ..Self::default()
        }
    }

    fn from(mut self, sender: Option<&'a Client>) -> Self {
        self.tls = sender.and_then(|sender| sender.tls.as_deref()).map(shown);
        self.principal = sender.and_then(|sender| sender.principal.as_deref()).map(shown);
        self.request_id = sender.and_then(|sender| sender.request_id.as_deref());
        self
    }
}

/// Others choose such a text. It may be long, and even a private key.
fn shown(text: &str) -> String {
    seed::redact(&excerpt_of(text, MAX_NAME).part()).into_owned()
}

/// The number of a line, and the hash in it. `None`: it is no line of an audit log.
pub(super) fn place(line: &[u8]) -> Option<Link> {
    let rest = line.strip_prefix(SEQ)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let seq = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let (hash, rest) = rest[digits..].strip_prefix(PREV)?.split_at_checked(64)?;
    let mut link = Link { seq, hash: NONE };
    HEXLOWER.decode_mut(hash, &mut link.hash).ok()?;
    (rest.starts_with(TIME) && line.ends_with(b"}")).then_some(link)
}

/// The time in a line.
pub(super) fn time(line: &[u8]) -> Option<&str> {
    let at = line.windows(TIME.len()).take(256).position(|window| window == TIME)? + TIME.len();
    let length = line[at..].iter().take(64).position(|byte| *byte == b'"')?;
    std::str::from_utf8(&line[at..at + length]).ok()
}

/// The hash of a line.
pub(super) fn hash(line: &[u8]) -> [u8; 32] {
    Sha256::digest(line).into()
}

/// The position that a line leads to.
pub(super) fn position(line: &[u8], before: ([u8; 16], u64)) -> ([u8; 16], u64) {
    #[derive(serde::Deserialize)]
    struct Place {
        session: Option<String>,
        serial: Option<u64>,
    }
    let Ok(place) = serde_json::from_slice::<Place>(line) else { return before };
    let session = place.session.and_then(|text| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok());
    (session.unwrap_or(before.0), place.serial.unwrap_or(before.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str) -> Committed {
        Committed {
            serial: 7,
            at: 1_795_478_400_123,
            what: What {
                kind: "account",
                op: "put",
                keys: vec!["ADCC".into()],
                account: None,
                name: Some(name.into()),
            },
            via: "post".into(),
            client: Some(Client::at("192.0.2.1")),
        }
    }

    #[test]
    fn a_line_has_its_place_and_what_happened() {
        let mut lines = Lines::after(Link::BEGINNING, 2);
        let sender = Client { request_id: Some("r-1".into()), tls: Some("CN=a".into()), ..Client::at("192.0.2.1") };
        lines.committed(&change("a\"\nb"), Some(&sender), false);
        let text = String::from_utf8(lines.bytes.clone()).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            text,
            format!(
                "{{\"seq\":1,\"prev\":\"{zeros}\",\"time\":\"2026-11-24T00:00:00.123Z\",\"outcome\":\"committed\",\
                 \"serial\":7,\"kind\":\"account\",\"op\":\"put\",\"key\":\"ADCC\",\"name\":\"a\\\"\\nb\",\
                 \"via\":\"post\",\"client\":\"192.0.2.1\",\"tls\":\"CN=a\",\"request_id\":\"r-1\",\"lost\":2}}\n"
            )
        );
        let line = text.trim_end().as_bytes();
        assert_eq!((place(line), lines.lost), (Some(Link { seq: 1, hash: NONE }), 0));
        assert_eq!((time(line), lines.last.hash), (Some("2026-11-24T00:00:00.123Z"), hash(line)));
        assert_eq!(position(line, ([1; 16], 3)), ([1; 16], 7));
        lines.committed(&change(""), None, true);
        let second = String::from_utf8(lines.bytes.clone()).unwrap();
        let second = second.lines().nth(1).unwrap();
        assert_eq!(place(second.as_bytes()), Some(Link { seq: 2, hash: hash(line) }));
        assert!(second.contains("\"late\":true") && !second.contains("name"), "{second}");
    }

    #[test]
    fn a_private_key_in_a_name_is_not_shown() {
        let seed = crate::testkit::seed(&nkeys::KeyPair::new_account());
        let mut lines = Lines::after(Link::BEGINNING, 0);
        lines.committed(&change(&seed), None, false);
        assert!(!String::from_utf8(lines.bytes).unwrap().contains(&seed));
    }

    #[test]
    fn what_is_no_line_has_no_place() {
        let zeros = "0".repeat(64);
        for text in [
            String::new(),
            "{}".into(),
            format!("{{\"seq\":,\"prev\":\"{zeros}\",\"time\":\"x\"}}"),
            format!("{{\"seq\":1,\"prev\":\"{}\",\"time\":\"x\"}}", &zeros[1..]),
            format!("{{\"seq\":1,\"prev\":\"{}\",\"time\":\"x\"}}", zeros.replace('0', "g")),
            format!("{{\"seq\":99999999999999999999,\"prev\":\"{zeros}\",\"time\":\"x\"}}"),
            format!("{{\"seq\":1,\"prev\":\"{zeros}\",\"time\":\"x\""),
        ] {
            assert_eq!(place(text.as_bytes()), None, "{text}");
        }
    }
}
