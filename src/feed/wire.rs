//! The JSON form of changes, as `GET /jwt/v1/changes` answers and a follower reads. Format version 2.

mod ahead;
mod digests;
mod followers;
mod leaf;
mod operator;
mod server_name;
mod upstream;

pub use ahead::{Ahead, AheadPage};
pub use digests::{AskError, BACKGROUND, DigestAnswer, DigestAsk, DigestPage};
pub use followers::{
    Below, Confirmation, FollowerReport, FollowerStatus, FollowersPage, Lowest, MAX_NAMED, MAX_REPORT, Named,
    ReportError,
};
pub use operator::OperatorPage;
use operator::texts;
use serde::{Deserialize, Serialize};
pub use server_name::{LONGEST_NAME, MAX_HOPS, NAME_PREFIX, SERVER_HEADER, UPSTREAM_HEADER, names, new_name};
pub use upstream::{UpstreamChange, UpstreamContent};

use super::{Chain, Change, Content, Head, Operation, Session, Subject, SubjectKind};
use crate::gate::{Digest, Position};

/// The header that requests a JWT's position (with any value), and that answers with it.
pub const POSITION_HEADER: &str = "nas-position";

/// The header by which a replica says how many seconds ago its primary was last heard.
pub const PRIMARY_AGE_HEADER: &str = "nas-primary-age";

/// The header by which a replica tells a follower that the feed, as it passes it on, says when the answer changes.
pub const CONFIRMED_HEADER: &str = "nas-confirmed";

/// Writes a position as `<session>/<serial>`.
pub fn position_text(position: &Position) -> String {
    format!("{}/{}", Session(position.session), position.serial)
}

/// Reads `<session>/<serial>`.
pub fn parse_position(text: &str) -> Option<Position> {
    let (session, serial) = text.split_once('/')?;
    Some(Position { session: Session::parse(session)?.0, serial: serial.parse().ok()? })
}

/// A long-poll answer, or the first event of a stream: the journal's position, and changes in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The journal's session, 32 hexadecimal digits.
    pub session: String,
    /// The serial of the last change in this answer; without changes, of the requested position.
    pub serial: u64,
    /// The chain value after that change, 64 hexadecimal digits.
    pub chain: String,
    /// The journal's position at the time of the answer.
    pub head: u64,
    /// The lowest serial from which a follower can continue.
    pub floor: u64,
    /// Milliseconds since the primary was last known to stand at `head`; 0: this is the primary.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub age: u64,
    /// The replicas between the primary and the follower, the nearest one last, each by a name that it chose itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// The changes after the position asked for.
    #[serde(default)]
    pub changes: Vec<Item>,
}

/// One change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Item {
    /// Its place in the order.
    pub serial: u64,
    /// The chain value after it.
    pub chain: String,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// The kind of the key: `account`, `operator` or `activation`.
    pub kind: String,
    /// `put`, `delete` or `remove`; in the answer of a comparison also `none`.
    pub op: String,
    /// The account of a put or a remove, the operator's identity key, or the activation's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The JWT of a put, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// The accounts of a delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The operator-signed request of a delete, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Instead of `jwt`, for a version that a later change replaced, or that left: SHA-256 of its text, 64 hexadecimal
    /// digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Of an account's remove: which version left, as SHA-256 of its signed part, 64 hexadecimal digits. Earlier
    /// builds do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Of the operator's put: the operator JWTs in force, oldest first; the last one is `jwt`. Since format 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

impl From<&Change> for Item {
    fn from(change: &Change) -> Self {
        let of = |subject: Subject, op: &str| Self {
            key: Some(subject.text()),
            ..Self::new(change.serial, change.chain.to_string(), change.at, subject.kind(), op)
        };
        let past = |subject: Subject, op: &str, digest: &Digest| Self {
            digest: Some(data_encoding::HEXLOWER.encode(digest)),
            ..of(subject, op)
        };
        match &change.content {
            Content::Put(entry) => {
                Self { jwt: Some(entry.text().to_owned()), ..of(Subject::Account(*entry.key()), "put") }
            }
            Content::Delete(tombstone) => Self {
                keys: tombstone.keys().iter().map(|key| key.text()).collect(),
                request: Some(String::from_utf8_lossy(tombstone.request()).into_owned()),
                ..Self::new(change.serial, change.chain.to_string(), change.at, SubjectKind::Account, "delete")
            },
            Content::Operator(chain) => Self {
                jwt: Some(chain.in_force().text().to_owned()),
                links: texts(chain),
                ..of(Subject::Operator(*chain.in_force().identity()), "put")
            },
            Content::Activation(activation) => {
                Self { jwt: Some(activation.text().to_owned()), ..of(Subject::Activation(*activation.id()), "put") }
            }
            Content::Passed(item) => Self::clone(item),
            Content::PastActivation { id, digest } => past(Subject::Activation(*id), "put", digest),
            Content::Forgotten { id, digest } => past(Subject::Activation(*id), "remove", digest),
            Content::Superseded { key, digest } => past(Subject::Account(*key), "put", digest),
            Content::Removed { key, digest, identity } => Self {
                identity: identity.map(|identity| data_encoding::HEXLOWER.encode(&identity)),
                ..past(Subject::Account(*key), "remove", digest)
            },
        }
    }
}

impl Item {
    /// Says that a key has no state at a position. That is no change.
    pub fn nothing(at: &Head, key: &Subject) -> Self {
        Self { key: Some(key.text()), ..Self::new(at.serial, at.chain.to_string(), 0, key.kind(), "none") }
    }

    /// A change that says no more than its operation yet.
    fn new(serial: u64, chain: String, at: i64, kind: SubjectKind, op: &str) -> Self {
        Self {
            serial,
            chain,
            at,
            kind: kind.name().into(),
            op: op.into(),
            key: None,
            jwt: None,
            keys: Vec::new(),
            request: None,
            digest: None,
            identity: None,
            links: Vec::new(),
        }
    }

    /// All memory that it takes, because upstream decides how much there is; bytes.
    pub fn weight(&self) -> usize {
        let Self { chain, kind, op, key, jwt, keys, request, digest, identity, links, serial: _, at: _ } = self;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
        let given =
            text(key) + text(jwt) + text(request) + text(digest) + text(identity) + chain.len() + kind.len() + op.len();
        given + texts(keys) + texts(links)
    }

    /// The operation and the digest of the body, as they enter the chain. `None`: not of this format.
    pub fn link(&self) -> Option<(Operation, [u8; 32])> {
        use sha2::{Digest as _, Sha256};
        let (operation, body) = match (self.op.as_str(), &self.jwt, &self.request, &self.digest) {
            ("put", Some(jwt), None, None) => (Operation::Put, Sha256::digest(jwt.as_bytes()).into()),
            ("put", None, None, Some(digest)) => (Operation::Put, super::parse_hex(digest)?),
            ("remove", None, None, Some(digest)) => (Operation::Remove, super::parse_hex(digest)?),
            ("delete", None, Some(request), None) => (Operation::Delete, Sha256::digest(request.as_bytes()).into()),
            _ => return None,
        };
        Some((operation, body))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Page {
    /// A primary's answer to a follower at `at`, with the later changes.
    pub fn new(at: Head, head: u64, changes: Vec<Item>) -> Self {
        let last = changes.last().map(|last| (last.serial, last.chain.clone()));
        let (serial, chain) = last.unwrap_or_else(|| (at.serial, at.chain.to_string()));
        Self { session: at.session.to_string(), serial, chain, head, floor: 0, age: 0, via: Vec::new(), changes }
    }

    /// The follower's position after this answer. `None`: not of this format.
    pub fn position(&self) -> Option<Head> {
        Some(Head { session: Session::parse(&self.session)?, serial: self.serial, chain: Chain::parse(&self.chain)? })
    }
}
