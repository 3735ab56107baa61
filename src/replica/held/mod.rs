//! The copies in the cache, and everything that decides which of them may be served.
//!
//! All of them passed the gate. Nothing here sends a request. Other parts call this one to apply what upstream answers,
//! sends or removes.

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
use crate::feed::Head;
use crate::generation::{Generation, Generations};
use crate::key::AccountKey;
use crate::node::Stamp;
use crate::store::snapshot::{Seen, Stand};

/// The cache, and what keeps it true.
#[derive(Debug)]
pub(super) struct Held {
    env: Env,
    /// The snapshot.
    pub(super) disk: Arc<Disk>,
    /// The versions that were seen of every key.
    pub(super) known: Arc<Known>,
    /// How far the feed is.
    pub(super) freshness: Freshness,
    /// Up to where all copies are current.
    pub(super) positions: Positions,
    flights: Arc<Flights>,
    cache: moka::sync::Cache<AccountKey, Arc<CachedCopy>>,
    unknown: Unknown<AccountKey>,
    spread: Spread,
    /// Moves when something is heard of an account, so that an answer under way is recognised as outdated.
    generations: Generations,
    /// Moves when the primary removes an account, so that an answer under way is not cached.
    forgotten: Generations,
    /// The system account's JWT, if it is configured.
    system: OnceLock<Arc<CachedCopy>>,
}

impl Held {
    /// An empty cache of at most `bytes`. `stand`: where an earlier process stopped.
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
            generations: Generations::default(),
            forgotten: Generations::default(),
            system: OnceLock::new(),
        }
    }

    /// The copy of an account in the cache.
    pub(super) fn copy(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key)
    }

    pub(super) fn has_copy(&self, key: &AccountKey) -> bool {
        self.cache.contains_key(key)
    }

    pub(super) fn accounts(&self) -> Vec<AccountKey> {
        self.cache.iter().map(|(key, _)| *key).collect()
    }

    /// The number of entries of the cache, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        // The cache counts only when its pending work is run.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// A copy that can be served without a request.
    pub(super) fn fresh(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key).filter(|copy| self.is_fresh(key, &copy.stamp()))
    }

    /// A copy that the live feed confirms, if the primary itself was heard lately.
    pub(super) fn confirmed(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.at_hand(key).filter(|copy| self.freshness.confirms(copy.stretch()) && self.freshness.is_current())
    }

    /// Whether a copy can be served without a request.
    pub(super) fn is_fresh(&self, key: &AccountKey, stamp: &Stamp) -> bool {
        self.freshness.confirms(stamp.stretch)
            || stamp.is_checked_within(self.spread.of(self.env.setup.ttl, key), clock::uptime_millis())
    }

    /// The copy of an account: in the cache, or from an earlier process.
    pub(super) fn at_hand(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key).or_else(|| self.restore(key))
    }

    /// A copy that left the cache while a client waited for a newer one. `None` if it left because of a deletion, a
    /// removal or a withdrawn signer.
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

    /// The position of this mirror, if it holds everything.
    pub(super) fn knows_all(&self) -> Option<Head> {
        let is_sure =
            self.env.is_mirror() && self.freshness.is_following() && !self.disk.is_full() && self.disk.is_warm();
        self.positions.stand().position.filter(|_| is_sure)
    }

    /// Moves when something is heard of an account.
    pub(super) fn generation(&self, key: &AccountKey) -> Generation {
        self.generations.of(key)
    }

    /// Whether the primary said a moment ago that it does not know an account.
    pub(super) fn is_unknown(&self, key: &AccountKey) -> bool {
        self.unknown.contains(key)
    }

    /// Drops that answer.
    pub(super) fn may_be_known(&self, key: &AccountKey) {
        self.unknown.forget(key);
    }

    /// Drops all such answers.
    pub(super) fn all_may_be_known(&self) {
        self.unknown.forget_all();
    }

    /// Drops all such answers, and those under way.
    pub(super) fn forget_unknown(&self) {
        self.generations.bump_all();
        self.unknown.forget_all();
        self.generations.bump_all();
    }

    /// Marks the copies of these accounts as stale: the primary has something newer that could not be applied.
    pub(super) fn mark_stale(&self, keys: impl IntoIterator<Item = AccountKey>) {
        for key in keys {
            // The position is still before what was rejected.
            self.check_soon(&key, Some(self.positions.confirmed_or_beginning()));
        }
    }

    /// Has the next request for an account ask the primary. `limit`: up to where its copy is current, if the feed no
    /// longer confirms it.
    ///
    /// The generation moves last: a worker that kept the copy with its stamp drops it, and an answer under way confirms
    /// nothing.
    fn check_soon(&self, key: &AccountKey, limit: Option<Head>) {
        if let Some(copy) = self.at_hand(key) {
            copy.mark_stale();
            self.disk.note_copy(key);
            if let Some(limit) = limit {
                self.is_unconfirmed(key, limit);
            }
        }
        self.generations.bump(key);
    }

    /// Notes that a copy is current up to `to`, and maybe no further.
    pub(super) fn is_unconfirmed(&self, key: &AccountKey, to: Head) {
        self.positions.is_unconfirmed(key, to, |key| self.cache.contains_key(key));
    }

    /// Drops a copy from the cache and the disk. Called with the known versions of the account locked.
    pub(super) fn drop_copy(&self, key: &AccountKey) {
        self.disk.note_copy(key);
        self.cache.invalidate(key);
        self.positions.confirm(key);
    }

    /// Whether a client asked for an account lately: it has a copy, a request, or an answer that it is unknown.
    pub(super) fn is_wanted(&self, key: &AccountKey) -> bool {
        self.env.is_mirror()
            || self.cache.contains_key(key)
            || self.is_stored(key)
            || self.unknown.contains(key)
            || self.flights.contains(key)
    }

    /// Whether there is a copy of an account whose version is known.
    pub(super) fn is_comparable(&self, key: &AccountKey) -> bool {
        self.cache.contains_key(key) && self.known.versions.peek(key, |seen| leaf(key, seen)).flatten().is_some()
    }

    /// Drops a copy that cannot be compared. Without a copy, the account does not limit the position.
    pub(super) fn confirm_if_gone(&self, key: &AccountKey) {
        // A copy comes only with this locked.
        self.known.versions.with(key, |seen| {
            if leaf(key, seen).is_none() || !self.cache.contains_key(key) {
                self.drop_copy(key);
            }
        });
    }

    /// Removes copies from the cache that may no longer be served, and returns their number. The gate's trust has
    /// changed before; code that adds a copy checks again afterwards.
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
        // The primary may have withheld what it did not know.
        self.forget_unknown();
        withheld
    }

    #[cfg(test)]
    pub(super) const fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// Evicts a copy, as if the cache were full.
    #[cfg(test)]
    pub(super) fn evict(&self, key: &AccountKey) {
        self.cache.invalidate(key);
    }
}
