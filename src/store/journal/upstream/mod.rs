//! What comes from upstream: the changes of its feed, the differences that a comparison finds, its answers, and what is
//! served before it has ordered it.
//!
//! All of it ends in this folder, in the writer's transaction. A head holds what is served and what rejects older versions;
//! it only moves forward ([`Held`](crate::gate::Held)). What upstream ordered is the same, or stands next to it
//! ([`Ordered`](super::head::Ordered)): then the head is an *overlay*. The log, its chain and the digest tree hold what upstream ordered,
//! never an overlay.

mod answered;
mod begin;
mod compared;
mod early;
mod fed;
mod ordered;
mod tail;
mod touched;

use std::fmt;
use std::sync::Arc;

use super::transaction::Transaction;
use super::write::{CommitError, Outcome};
pub use early::{Early, EarlyWay, KnownCopy, Ruling, rule};
pub use ordered::UpstreamState;
pub(super) use touched::{Touched, TouchedNow};

use crate::feed::wire::Item;
use crate::feed::{Chain, Head, Subject};
use crate::gate::{Activation, Digest, Entry, Identity, Position, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::{AccountKey, PublicKey};

/// A write on a replica.
#[derive(Debug, Clone)]
pub enum UpstreamWrite {
    /// The feed continues from this position, and nothing leads to it from the one before. A comparison begins.
    Begin(Head),
    /// One change of the feed.
    Fed(Box<Fed>),
    /// What a comparison found. What the feed has brought since counts more.
    Compared(Compared),
    /// The comparison ended: what is held is what upstream had.
    Level {
        /// The order that was compared, of [`JournalReader::era`](super::JournalReader::era). Another one that has begun since is
        /// not level.
        era: u64,
        /// Whether every key that upstream has is known.
        is_whole: bool,
    },
    /// Another comparison begins, at the same position.
    CompareAgain,
    /// Upstream has stood where this replica is for so long that no place after it is under way: up to this one, they are lost.
    StoodStill(u64),
    /// The comparison does not mention these accounts, which [`JournalReader::unmentioned`](super::JournalReader::unmentioned) found.
    Unmentioned(Vec<Subject>),
    /// An answer of upstream about one account.
    Answered(Answered),
    /// What upstream did not give.
    Early(Early),
    /// A delete request that upstream accepted, and has not ordered yet.
    DeletedEarly(Arc<Tombstone>),
    /// The texts of these accounts left the cache.
    Evict(Vec<AccountKey>),
    /// When the primary was last heard, unix milliseconds.
    Heard(i64),
}

/// A change of the feed, which continues the chain.
#[derive(Debug, Clone)]
pub struct Fed {
    /// The change as it came, to be passed on.
    pub item: Arc<Item>,
    /// The chain value after it.
    pub chain: Chain,
    /// SHA-256 of its body, as it entered the chain.
    pub digest: Digest,
    /// What it does.
    pub content: FedContent,
}

/// What a change of the feed does, after the gate.
#[derive(Debug, Clone)]
pub enum FedContent {
    /// An account gets this JWT.
    Put(Arc<Entry>),
    /// The text of an account's version is gone, because a later change replaced it.
    Superseded(AccountKey),
    /// A request deletes the accounts that it names.
    Delete(Arc<Tombstone>),
    /// An account left a read-only folder, in this version if upstream says which.
    Removed(AccountKey, Option<Identity>),
    /// An activation that is to be stored.
    Activation(Arc<Activation>),
    /// An activation of which only the identity is known, or nothing.
    OtherActivation(HashId, Option<Identity>),
    /// An activation has expired.
    Forgotten(HashId),
    /// The operator's JWT, of this identity. The chain of operator JWTs is judged elsewhere.
    Operator(PublicKey, Identity),
    /// The gate rejected a change of these accounts, so upstream may have something newer.
    Rejected(Vec<AccountKey>),
    /// Nothing that this version knows.
    Unknown,
}

/// A difference that a comparison found.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The position of upstream when it said so. In another session than the one that is followed, it says nothing.
    pub as_of: Position,
    /// The place of the change upstream, in the same session; 0: unknown.
    pub serial: u64,
    /// What upstream has.
    pub content: ComparedContent,
}

/// What upstream has, after the gate.
#[derive(Debug, Clone)]
pub enum ComparedContent {
    /// This JWT.
    Put(Arc<Entry>),
    /// This request has deleted these accounts.
    Delete(Arc<Tombstone>, Vec<AccountKey>),
    /// An account left a read-only folder.
    Removed {
        /// The account.
        key: AccountKey,
        /// Which version left; `None`: upstream does not say.
        identity: Option<Identity>,
        /// SHA-256 of its text.
        digest: Digest,
    },
    /// Nothing.
    Nothing(Subject),
    /// A state with this leaf, whose text was not asked for.
    Leaf(Subject, crate::feed::digest::Leaf),
    /// An activation that is to be stored.
    Activation(Arc<Activation>),
    /// An activation has expired.
    Forgotten(HashId),
    /// The operator's JWT, of this identity, as it came.
    Operator(PublicKey, Identity, Arc<Item>),
    /// Something newer of these accounts that the gate rejected.
    Rejected(Vec<AccountKey>),
    /// The same as here.
    Same(Subject),
}

/// An answer of upstream about an account.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The account.
    pub key: AccountKey,
    /// What it said.
    pub content: AnsweredContent,
    /// The order in the store when the request began, of [`JournalReader::era`](super::JournalReader::era). In another one, the
    /// answer may be about the order before.
    pub era: u64,
    /// Whether the server that is followed gave it, and confirms it.
    pub is_followed: bool,
    /// Whether the feed was live when the request began, and is now.
    pub was_live: bool,
    /// Whether a primary gave it.
    pub is_of_primary: bool,
    /// Whether nothing has happened to the account since the request began, nor to the feed.
    pub is_undisturbed: Still,
    /// Whether the account did not leave the primary's read-only folder since the request began.
    pub is_kept: Still,
}

/// What upstream answered.
#[derive(Debug, Clone)]
pub enum AnsweredContent {
    /// This JWT, at this place, on this path.
    Put(Arc<Entry>, Option<Position>, Via),
    /// What is held.
    Unchanged,
    /// Nothing.
    Absent {
        /// Whether a comparison can tell what became of what was there.
        is_comparable: bool,
    },
}

/// A question that is answered when the write has its turn.
#[derive(Clone)]
pub struct Still(Arc<dyn Fn() -> bool + Send + Sync>);

impl Still {
    /// A question.
    pub fn new(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// A question with a known answer.
    pub fn always(answer: bool) -> Self {
        Self::new(move || answer)
    }

    pub(super) fn ask(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Still")
    }
}

impl Transaction<'_> {
    /// Applies what comes from upstream. The outer error means that the whole transaction has failed.
    pub(super) fn upstream(&mut self, write: &UpstreamWrite) -> rusqlite::Result<Result<Outcome, CommitError>> {
        match write {
            UpstreamWrite::Begin(head) => self.begin_order(*head).map(Ok),
            UpstreamWrite::Fed(fed) => self.fed(fed),
            UpstreamWrite::Compared(compared) => self.compared(compared),
            UpstreamWrite::Level { era, is_whole } => Ok(Ok(self.level(*era, *is_whole))),
            UpstreamWrite::CompareAgain => Ok(Ok(self.compare_again())),
            UpstreamWrite::StoodStill(reach) => self.stood_still(*reach).map(Ok),
            UpstreamWrite::Unmentioned(keys) => self.doubt_unmentioned(keys).map(Ok),
            UpstreamWrite::Answered(answer) => self.answered(answer),
            UpstreamWrite::Early(early) => self.early(early),
            UpstreamWrite::DeletedEarly(tombstone) => self.deleted_early(tombstone).map(Ok),
            UpstreamWrite::Evict(keys) => self.evict(keys).map(|()| Ok(Outcome::Kept)),
            UpstreamWrite::Heard(at) => {
                self.connection.prepare_cached("UPDATE meta SET heard = ?1")?.execute([at])?;
                self.repaired.set(true);
                Ok(Ok(Outcome::Kept))
            }
        }
    }
}
