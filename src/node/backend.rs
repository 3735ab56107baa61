//! What a role does: the port between the edges and the roles.
//!
//! [`Backend`] is what both roles do, each in its own way. What only a primary does is a [`Ledger`](super::Ledger), what only a
//! replica does an [`Upstream`](super::Upstream). The roles implement these traits, and nothing here knows the roles.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    Ages, Answer, Check, Digested, Feed, KeyList, LookupError, LookupNow, Miss, NoKeyList, Now, Whole, WriteError,
};
use crate::feed::Subject;
use crate::feed::digest::{Ask, Comparison, LeafPage, Prefix, View};
use crate::gate::operator::Way;
use crate::gate::{Judged, OperatorChange, Trust};
use crate::generation::Generation;
use crate::jwt::{Called, HashId};
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::store::journal::DiskFigures;
use crate::store::{Follower, FollowerChange, StoreError};

/// A role. The methods for reads that hit the cache do not wait, lock for long, or allocate.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// A JWT that can be served without waiting for anything.
    fn at_hand(&self, key: &AccountKey) -> Option<Answer>;

    /// What to say or do about an account for which [`Backend::at_hand`] has nothing. A primary reads its journal on the
    /// caller's thread while the journal answers quickly.
    fn look(&self, key: &AccountKey) -> Now;

    /// Moves whenever something happens to an account: an answer from before may no longer be right.
    fn generation(&self, key: &AccountKey) -> Generation;

    /// Whether an answer, if nothing happened to its account since, can be given again without asking upstream.
    fn is_fresh(&self, _answer: &Answer) -> bool {
        true
    }

    /// How old an answer is; `None` on a primary.
    fn ages(&self, _answer: &Answer) -> Option<Ages> {
        None
    }

    /// Whether the feed, as this server passes it on, says when an answer changes.
    fn is_confirmed(&self, _answer: &Answer) -> bool {
        true
    }

    /// The JWT of an account. `Ok(None)`: there is none.
    fn get<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Option<Answer>, LookupError>>;

    /// An account for people: with its name, if its JWT is at hand.
    fn called(&self, key: &AccountKey) -> Called;

    /// What can be said at once to a nats-server that asks over NATS.
    fn lookup_now(&self, key: &AccountKey) -> LookupNow;

    /// The JWT of an account for a nats-server that asks over NATS. `None`: there is none, or it cannot be told for certain.
    fn lookup<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Option<Bytes>>;

    /// What to do about an activation that is not at hand.
    fn miss_activation(&self, id: &HashId) -> Miss;

    /// The activation of a hash, whether or not its account vouches for it now.
    fn activation<'a>(&'a self, id: &'a HashId) -> BoxFuture<'a, Result<Option<Arc<Judged>>, LookupError>>;

    /// The order of changes that others can follow.
    fn feed(&self) -> Feed;

    /// A place of the digest tree, its root without a prefix.
    fn digests(&self, prefix: Option<Prefix>) -> BoxFuture<'_, Result<Digested<View>, StoreError>>;

    /// A page of the leaves under a prefix, or of all, that come after a key.
    fn leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
    ) -> BoxFuture<'_, Result<Digested<LeafPage>, StoreError>>;

    /// A piece of what is stored here and differs from what the asker holds.
    fn compare(&self, ask: Ask) -> BoxFuture<'_, Result<Digested<Comparison>, StoreError>>;

    /// Whether every account is stored here, and where it is read. May block for a query, on a mirror.
    fn whole(&self) -> Whole;

    /// The fingerprints of all keys that exist.
    fn key_list(&self) -> BoxFuture<'_, Result<KeyList, NoKeyList>>;

    /// The followers that an earlier process knew. Blocks for a query.
    fn followers(&self) -> Result<Vec<Follower>, StoreError>;

    /// Writes down what has changed of the followers.
    fn note_followers(&self, changes: Vec<FollowerChange>) -> BoxFuture<'_, ()>;

    /// The way by which a configured operator JWT comes in.
    fn operator_way(&self) -> Way;

    /// Brings another operator JWT into force, as a file has it. Says what it changed.
    fn set_operator(&self, trust: Arc<Trust>) -> BoxFuture<'_, Result<OperatorChange, WriteError>>;

    /// For people: a note on the operator's JWT.
    fn operator_note(&self) -> Option<String> {
        None
    }

    /// The lines of the readiness report about this role.
    fn checks(&self) -> Vec<Check>;

    /// Brings the gauges of this role up to date that are read from memory.
    fn measure(&self, metrics: &Metrics);

    /// The journal's files, as they are now. Blocks for a few system calls.
    fn disk_figures(&self) -> DiskFigures;
}
