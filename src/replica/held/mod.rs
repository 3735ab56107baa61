//! The copies that are at hand, and all that decides which of them may be served.
//!
//! Everything here passed the gate. Nothing here asks anybody: what upstream answers, sends or lets go of is applied by
//! other parts, through this one.

mod ahead;
mod answer;
mod apply;
mod judge;
mod restore;
mod system;

use std::sync::{Arc, OnceLock};

pub(super) use answer::{PullAnswer, PullContext, PullResult};
pub(super) use apply::OfferOutcome;

use super::cached_copy::CachedCopy;
use super::disk::Disk;
use super::flights::Flights;
use super::freshness::Freshness;
use super::known::{Known, leaf};
use super::position::Positions;
use super::setup::Env;
use super::spread::Spread;
use super::unknown::Unknown;
use crate::clock;
use crate::epoch::{Epoch, Epochs};
use crate::feed::Head;
use crate::key::AccountKey;
use crate::node::Stamp;
use crate::store::snapshot::{Seen, Stand};

/// The cache, and what keeps it true.
#[derive(Debug)]
pub(super) struct Held {
    env: Env,
    /// What is kept on disk.
    pub(super) disk: Arc<Disk>,
    /// What was seen of every key.
    pub(super) known: Arc<Known>,
    /// How far the feed is.
    pub(super) freshness: Freshness,
    /// Up to where all of this is current.
    pub(super) positions: Positions,
    flights: Arc<Flights>,
    cache: moka::sync::Cache<AccountKey, Arc<CachedCopy>>,
    unknown: Unknown<AccountKey>,
    spread: Spread,
    /// Moves when something is heard of a key, so that an answer "unknown" under way is not believed.
    epochs: Epochs,
    /// Moves when the primary lets go of an account: a JWT that was asked for before is not to be cached.
    forgotten: Epochs,
    /// The system account's JWT, if it is configured.
    system: OnceLock<Arc<CachedCopy>>,
}

impl Held {
    /// An empty cache of at most `bytes`, and at hand what an earlier process kept, which stood at `stand`.
    pub(super) fn new(env: &Env, bytes: u64, disk: Arc<Disk>, stand: Stand, flights: Arc<Flights>) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, copy: &Arc<CachedCopy>| copy.weight())
            .eviction_listener(disk.on_leave())
            .build();
        Self {
            env: env.clone(),
            known: Arc::new(Known::new(env, disk.snapshot())),
            freshness: Freshness::after(&stand),
            positions: Positions::after(stand, disk.is_warm()),
            disk,
            flights,
            cache,
            unknown: Unknown::new(env.setup.negative_ttl),
            spread: Spread::default(),
            epochs: Epochs::default(),
            forgotten: Epochs::default(),
            system: OnceLock::new(),
        }
    }

    /// The copy of an account in the cache.
    pub(super) fn copy(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key)
    }

    /// Whether there is one.
    pub(super) fn has_copy(&self, key: &AccountKey) -> bool {
        self.cache.contains_key(key)
    }

    /// The accounts in the cache.
    pub(super) fn accounts(&self) -> Vec<AccountKey> {
        self.cache.iter().map(|(key, _)| *key).collect()
    }

    /// Entries and bytes in the cache.
    pub(super) fn size(&self) -> (u64, u64) {
        // What was put in and evicted is counted now and then.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// A copy that can be served without asking.
    pub(super) fn fresh(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key).filter(|copy| self.is_fresh(key, &copy.stamp()))
    }

    /// A copy that the feed, which is live, confirms; not if the primary itself was not heard lately.
    pub(super) fn confirmed(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.at_hand(key).filter(|copy| self.freshness.confirms(copy.stretch()) && self.freshness.is_current())
    }

    /// Whether a copy can be served without asking.
    pub(super) fn is_fresh(&self, key: &AccountKey, stamp: &Stamp) -> bool {
        self.freshness.confirms(stamp.stretch)
            || stamp.is_checked_within(self.spread.of(self.env.setup.ttl, key), clock::uptime_millis())
    }

    /// The copy of an account: in the cache, or left by an earlier process.
    pub(super) fn at_hand(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key).or_else(|| self.restore(key))
    }

    /// A copy that left the cache while somebody waited for a better one; not if it left because of a deletion or a
    /// removal, or because its signer was withdrawn.
    pub(super) fn unless_deleted(&self, key: &AccountKey, copy: Arc<CachedCopy>) -> Option<Arc<CachedCopy>> {
        let served =
            self.env.gate.vouches(copy.entry().issuer()) && self.known.versions.with(key, |seen| seen.is_served());
        served.then_some(copy)
    }

    /// Whether an account is known to exist, or to have existed.
    pub(super) fn was_seen(&self, key: &AccountKey) -> bool {
        let is_seen = |seen: &Seen| seen.newest().is_some() || seen.held.deleted().is_some();
        self.cache.contains_key(key) || self.known.versions.peek(key, is_seen).unwrap_or(false)
    }

    /// Where this mirror stands, if it holds everything that is there.
    pub(super) fn knows_all(&self) -> Option<Head> {
        let is_sure =
            self.env.is_mirror() && self.freshness.is_following() && !self.disk.is_full() && self.disk.is_warm();
        self.positions.stand().position.filter(|_| is_sure)
    }

    /// Moves whenever something is heard of an account.
    pub(super) fn epoch(&self, key: &AccountKey) -> Epoch {
        self.epochs.of(key)
    }

    /// Whether the primary said a moment ago that it does not know an account.
    pub(super) fn is_unknown(&self, key: &AccountKey) -> bool {
        self.unknown.contains(key)
    }

    /// Believes that no longer.
    pub(super) fn may_be_known(&self, key: &AccountKey) {
        self.unknown.forget(key);
    }

    /// Believes it of no account any longer.
    pub(super) fn all_may_be_known(&self) {
        self.unknown.forget_all();
    }

    /// Believes no longer of any account that it is unknown, also if the primary is about to say so of the time before.
    pub(super) fn forget_unknown(&self) {
        self.epochs.bump_all();
        self.unknown.forget_all();
        self.epochs.bump_all();
    }

    /// Something newer than the copies of these accounts could not be applied.
    pub(super) fn mark_stale(&self, keys: impl IntoIterator<Item = AccountKey>) {
        for key in keys {
            // The position is still before what was rejected.
            self.check_soon(&key, Some(self.positions.confirmed_or_beginning()));
        }
    }

    /// Asks the primary when an account is next wanted. `limit`: up to where its copy is current, if the feed no longer confirms
    /// it.
    ///
    /// The epoch moves last: a worker that kept the copy with its stamp drops it, and an answer under way confirms nothing.
    fn check_soon(&self, key: &AccountKey, limit: Option<Head>) {
        if let Some(copy) = self.at_hand(key) {
            copy.mark_stale();
            self.disk.note_copy(key);
            if let Some(limit) = limit {
                self.is_unconfirmed(key, limit);
            }
        }
        self.epochs.bump(key);
    }

    /// The copy of an account is current up to `to`, and may be no further.
    pub(super) fn is_unconfirmed(&self, key: &AccountKey, to: Head) {
        self.positions.is_unconfirmed(key, to, |key| self.cache.contains_key(key));
    }

    /// Lets go of a copy, in the cache and on disk. Called with the account's memory held.
    pub(super) fn drop_copy(&self, key: &AccountKey) {
        self.disk.note_copy(key);
        self.cache.invalidate(key);
        self.positions.confirm(key);
    }

    /// Whether somebody has asked for an account lately: it is at hand, known to be unknown, or being fetched.
    pub(super) fn is_wanted(&self, key: &AccountKey) -> bool {
        self.env.is_mirror()
            || self.cache.contains_key(key)
            || self.is_stored(key)
            || self.unknown.contains(key)
            || self.flights.contains(key)
    }

    /// Whether there is a copy of an account, and it is remembered which version it is.
    pub(super) fn is_comparable(&self, key: &AccountKey) -> bool {
        self.cache.contains_key(key) && self.known.versions.peek(key, |seen| leaf(key, seen)).flatten().is_some()
    }

    /// What is not here is not served. So a copy that cannot be compared is let go of.
    pub(super) fn confirm_if_gone(&self, key: &AccountKey) {
        // A copy comes with this held.
        self.known.versions.with(key, |seen| {
            if leaf(key, seen).is_none() || !self.cache.contains_key(key) {
                self.drop_copy(key);
            }
        });
    }

    /// Takes out of the cache what may no longer be served, and says how much that was. The gate's trust has changed
    /// before; who is about to put something in meanwhile looks again afterwards.
    pub(super) fn enforce(&self) -> u64 {
        let mut withheld = 0;
        for (key, copy) in &self.cache {
            if !self.env.gate.vouches(copy.entry().issuer()) {
                if self.env.is_mirror() {
                    self.disk.note_withheld(&key, copy);
                }
                self.cache.invalidate(&*key);
                withheld += 1;
            }
        }
        // What was unknown may have been withheld by the primary.
        self.forget_unknown();
        withheld
    }

    /// The requests that this looks at.
    #[cfg(test)]
    pub(super) const fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// As if there had been no room for the copy of an account.
    #[cfg(test)]
    pub(super) fn evict(&self, key: &AccountKey) {
        self.cache.invalidate(key);
    }
}
