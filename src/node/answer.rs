//! The answers to a look-up of an account or an activation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::gate::{Activation, Entry, Position, Standing};
use crate::key::{AccountKey, PublicKey};
use crate::store::journal::{AccountStatus, Stored, StoredVersion};
use crate::store::{JournalReader, StoreError};

/// An account JWT to serve.
#[derive(Debug, Clone)]
pub struct Answer {
    entry: Arc<Entry>,
    position: Option<Position>,
    stamp: Stamp,
}

/// How current a replica's copy was known to be when the answer was made. A primary's answers have the default.
///
/// It is a copy: what a replica learns later does not change it. Whatever makes a copy less current also moves the
/// account's [`Generation`](crate::generation::Generation), so a caller that compares the generation never relies on an outdated stamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The stretch of feed within which the copy is confirmed; 0 if none.
    pub stretch: u64,
    /// When upstream last confirmed the copy, in milliseconds of [`clock::uptime_millis`](crate::clock::uptime_millis).
    pub confirmed: i64,
    /// When upstream was last asked and answered something, likewise; 0: the next request asks it.
    pub checked: i64,
}

impl Stamp {
    /// Whether upstream was asked within a time-to-live before `now`.
    pub fn is_checked_within(&self, ttl: Duration, now: i64) -> bool {
        self.checked != 0 && u128::try_from(now - self.checked).is_ok_and(|age| age < ttl.as_millis())
    }
}

impl Answer {
    /// A JWT of the journal whose session is `session`.
    pub fn owned(stored: &Stored, session: [u8; 16]) -> Self {
        let position = Some(Position { session, serial: stored.serial });
        Self { entry: stored.entry.clone(), position, stamp: Stamp::default() }
    }

    /// A replica's copy. `position`: where the primary committed it, if that is known.
    pub const fn cached(entry: Arc<Entry>, position: Option<Position>, stamp: Stamp) -> Self {
        Self { entry, position, stamp }
    }

    /// The JWT.
    pub const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Where the primary committed it, if that is known.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// How current it was known to be.
    pub const fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// How old an answer is, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Since the primary last confirmed the entry, or since that was heard over NATS.
    pub entry: u64,
    /// Since the primary itself was last known to stand where this replica does; `None`: never.
    pub primary: Option<u64>,
}

/// What is found without waiting.
#[derive(Debug)]
pub enum Now {
    /// This JWT.
    Served(Answer),
    /// Nothing that can be served yet. [`Miss::Ask`] on a primary: [`Node::get`](super::Node::get) looks for it.
    Miss(Miss),
}

/// What to do about a key of which nothing is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is nothing.
    Absent,
    /// The long way finds out: it exists upstream, or the answer is on its way.
    Ask,
    /// Upstream is asked, although it is not known whether the key exists.
    AskUnknown {
        /// Without asking, the answer would be that there is nothing, as of the position of the feed.
        is_certain: bool,
    },
    /// Upstream cannot answer in time.
    Crowded,
}

/// What can be said at once to a nats-server that asks over NATS.
#[derive(Debug)]
pub enum LookupNow {
    /// This JWT.
    Served(Bytes),
    /// There is none that may be served.
    Absent,
    /// [`Node::lookup`](super::Node::lookup) finds out.
    Unsure,
}

/// The answer to a look-up of an activation.
#[derive(Debug, Clone)]
pub enum ActivationAnswer {
    /// Its account vouches for it now.
    Served(Arc<Activation>),
    /// It is stored, and may not be served; the text says why.
    Refused(String),
    /// There is none, or it has expired.
    Absent,
}

/// Why a JWT could not be looked up. Not the same as unknown.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The primary could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It is stored, and may not be served.
    #[error(transparent)]
    Withheld(#[from] Withheld),
    /// Not everything is stored here yet, for this reason.
    #[error("{0}")]
    NotYet(&'static str),
}

impl LookupError {
    /// Whether it passes by itself: what there is is still being imported, or compared with upstream.
    pub fn is_importing(&self) -> bool {
        match self {
            Self::Store(error) => error.is_importing(),
            Self::NotYet(_) => true,
            Self::Unavailable(_) | Self::Withheld(_) => false,
        }
    }

    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`].
    pub fn for_clients(&self) -> String {
        match self {
            Self::Store(error) => error.for_clients(),
            Self::Unavailable(_) | Self::Withheld(_) | Self::NotYet(_) => self.to_string(),
        }
    }
}

/// The primary could not be asked, and nothing is at hand.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the primary {primary} gave no usable answer: {reason}")]
pub struct Unavailable {
    primary: Arc<str>,
    reason: Arc<str>,
}

impl Unavailable {
    /// `primary`: its URL without credentials. `reason`: what is wrong.
    pub fn new(primary: &str, reason: &str) -> Self {
        Self { primary: primary.into(), reason: reason.into() }
    }
}

/// A stored JWT that was signed by a key for which the operator does not vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the JWT of account {account} is withheld: the operator's JWT does not list the key {issuer} that signed it; sign the \
     account again with a key that it lists, or list that key again"
)]
pub struct Withheld {
    /// The account.
    pub account: AccountKey,
    /// The key that signed its JWT.
    pub issuer: PublicKey,
}

/// What is known of an account's past.
#[derive(Debug, Clone)]
pub struct History {
    /// Its versions that are kept, oldest first.
    pub versions: Vec<StoredVersion>,
    /// Whether the last of them is served.
    pub is_live: bool,
    /// Whether the account is deleted.
    pub is_deleted: bool,
    /// The log of changes begins after this serial.
    pub begins_after: u64,
}

impl History {
    /// Reads the past of an account. `standing`: which keys count. Blocks for queries.
    pub fn read(journal: &JournalReader, standing: &Standing, key: &AccountKey) -> Result<Self, StoreError> {
        let status = journal.status(key)?;
        Ok(Self {
            versions: journal.versions(key)?,
            is_live: matches!(&status, AccountStatus::Live(stored) if standing.vouches(stored.entry.issuer())),
            is_deleted: matches!(status, AccountStatus::Deleted),
            begins_after: journal.floor(),
        })
    }
}

/// The text of one version of an account.
#[derive(Debug, Clone)]
pub enum OldText {
    /// It is kept.
    Kept(Vec<u8>),
    /// There is no such version, or its text is not kept.
    Unknown {
        /// The log of changes begins after this serial.
        begins_after: u64,
    },
}

impl OldText {
    /// Reads the text of one version of an account. Blocks for a query.
    pub fn read(journal: &JournalReader, key: &AccountKey, serial: u64) -> Result<Self, StoreError> {
        Ok(match journal.text_of(key, serial)? {
            Some(text) => Self::Kept(text),
            None => Self::Unknown { begins_after: journal.floor() },
        })
    }
}
