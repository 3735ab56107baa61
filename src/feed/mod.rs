//! The order of changes: what a primary committed, in which order, and how a follower names its position.
//!
//! A journal has a **session** (made when the journal is made, or restored) and gives each change the next **serial**.
//! Changes are **hash-chained**: each carries the SHA-256 of its predecessor's chain value and its own content. So
//! session, serial and chain value prove that a follower has this history. If a primary was restored from a backup and
//! got new changes, the chain shows it.
//!
//! This room neither stores nor sends changes. [`wire`] is their JSON form, and [`digest`] the tree that shows two
//! servers where they differ; both are specified in `docs/replication.md`. `examples/follow.rs` is a complete follower.
//!
//! ```
//! use nats_account_server::feed::{Chain, Operation};
//! use sha2::{Digest as _, Sha256};
//!
//! let body = |text: &str| Sha256::digest(text).into();
//! let after = |first: &str| Chain::default().next(1, Operation::Put, &body(first)).next(2, Operation::Put, &body("b"));
//! assert_eq!(after("a"), after("a"));
//! assert_ne!(after("a"), after("another history"), "the last value stands for all before it");
//! ```

pub mod digest;
mod fingerprint;
mod ring;
mod subject;
pub mod wire;

use std::fmt;
use std::sync::Arc;

pub use fingerprint::Fingerprint;
pub use ring::{Catchup, Link, Ring};
use sha2::{Digest as _, Sha256};
pub use subject::{Subject, SubjectKind};

use crate::gate::{Activation, Actor, Digest, Entry, Identity, OperatorChain, Position, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// Which journal a serial belongs to: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session(pub [u8; 16]);

impl Session {
    /// A new session.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Parses the hexadecimal form.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash over a whole history up to one change.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Parses the hexadecimal form.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// The chain value after one more change: SHA-256 of this value, the serial (8 bytes, big endian), one byte for the
    /// operation (`p`, `d` or `r`) and the SHA-256 of the change's body (the JWT, the delete request, or the removed
    /// JWT).
    pub fn next(&self, serial: u64, operation: Operation, body: &Digest) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(serial.to_be_bytes());
        hash.update([operation.tag()]);
        hash.update(body);
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The operation of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An account or the operator gets a JWT, or an activation is set.
    Put,
    /// Accounts are deleted.
    Delete,
    /// An account left the read-only folder that the primary serves, or an activation has expired and is forgotten.
    Remove,
}

impl Operation {
    /// The byte that enters the chain and the journal.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Put => b'p',
            Self::Delete => b'd',
            Self::Remove => b'r',
        }
    }

    /// The operation of an [`Operation::tag`].
    pub fn from_tag(tag: u8) -> Option<Self> {
        [Self::Put, Self::Delete, Self::Remove].into_iter().find(|operation| operation.tag() == tag)
    }
}

/// The position of a journal, or of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The journal.
    pub session: Session,
    /// The serial of its last change; 0 before the first.
    pub serial: u64,
    /// The chain value after that change.
    pub chain: Chain,
}

impl Head {
    /// Where a journal begins: before its first change.
    pub fn beginning(session: Session) -> Self {
        Self { session, serial: 0, chain: Chain::default() }
    }

    /// The position of a change of this journal.
    pub const fn position(&self, serial: u64) -> Position {
        Position { session: self.session.0, serial }
    }
}

/// One committed change.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its place in the order.
    pub serial: u64,
    /// The chain value after it.
    pub chain: Chain,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// The path on which it came.
    pub via: Via,
    /// The sender, to this server. Known only while the change is fresh, and it does not travel.
    pub actor: Actor,
    /// What it does.
    pub content: Content,
}

/// A change's operation, with its proof.
#[derive(Debug, Clone)]
pub enum Content {
    /// An account gets this JWT.
    Put(Arc<Entry>),
    /// The accounts that an operator-signed request names are deleted.
    Delete(Arc<Tombstone>),
    /// The operator's own JWT: the last link of the operator JWTs that are in force after the change.
    Operator(Arc<OperatorChain>),
    /// An activation.
    Activation(Arc<Activation>),
    /// An activation whose text is no longer stored, because it was replaced or has expired.
    PastActivation {
        /// Which.
        id: HashId,
        /// SHA-256 of the text.
        digest: Digest,
    },
    /// An activation that has expired and is forgotten.
    Forgotten {
        /// Which.
        id: HashId,
        /// SHA-256 of its text.
        digest: Digest,
    },
    /// A JWT whose text is no longer stored, because a later change replaced it. Its digest keeps the chain checkable.
    Superseded {
        /// The account.
        key: AccountKey,
        /// SHA-256 of the text.
        digest: Digest,
    },
    /// The account left a read-only folder. There is no proof of that, so a follower forgets only its copy. It still
    /// rejects older versions than those it has seen.
    Removed {
        /// The account.
        key: AccountKey,
        /// SHA-256 of the JWT that left.
        digest: Digest,
        /// Which version that is; `None`: this server does not know it.
        identity: Option<Identity>,
    },
    /// A change that this server cannot read, or that its gate rejected. It is passed on as it came.
    Passed(Arc<wire::Item>),
}

impl Change {
    /// The accounts that the change is about.
    pub fn keys(&self) -> &[AccountKey] {
        match &self.content {
            Content::Put(entry) => std::slice::from_ref(entry.key()),
            Content::Delete(tombstone) => tombstone.keys(),
            Content::Superseded { key, .. } | Content::Removed { key, .. } => std::slice::from_ref(key),
            Content::Operator(_)
            | Content::Activation(_)
            | Content::PastActivation { .. }
            | Content::Forgotten { .. }
            | Content::Passed(_) => &[],
        }
    }
}

impl Link for Change {
    fn serial(&self) -> u64 {
        self.serial
    }

    fn chain(&self) -> Chain {
        self.chain
    }

    fn weight(&self) -> usize {
        match &self.content {
            Content::Put(entry) => entry.token().len(),
            Content::Delete(tombstone) => tombstone.request().len(),
            Content::Operator(chain) => chain.bytes(),
            Content::Activation(activation) => activation.token().len(),
            Content::Passed(item) => item.weight(),
            Content::Superseded { .. }
            | Content::Removed { .. }
            | Content::PastActivation { .. }
            | Content::Forgotten { .. } => 0,
        }
    }
}
