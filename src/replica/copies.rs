//! The read cache: the copies that are in memory, and which keys upstream does not know.
//!
//! They follow the store. What the store has of an account and what is here are told apart by the account's generation: it moves
//! before and after each change, so a copy that was read in between is dropped.

use std::sync::Arc;

use super::cached_copy::CachedCopy;
use super::setup::Env;
use super::unknown::Unknown;
use crate::clock;
use crate::gate::Gate;
use crate::generation::{Generation, Generations};
use crate::key::AccountKey;
use crate::store::journal::{AccountNow, Effect, Stored};

/// Copies in memory.
#[derive(Debug)]
pub(super) struct Copies {
    gate: Arc<Gate>,
    cache: moka::sync::Cache<AccountKey, Arc<CachedCopy>>,
    pub(super) unknown: Unknown<AccountKey>,
    /// Moves when something happens to an account, so that an answer under way is recognised as outdated.
    generations: Generations,
    /// Moves when an account is deleted or removed, so that an answer under way is not cached.
    gone: Generations,
    /// Moves when a copy is marked stale, so that an answer under way does not count as one from after that.
    stale: Generations,
}

impl Copies {
    /// An empty cache of at most `bytes`.
    pub(super) fn new(env: &Env, bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            // What a client has just asked for is always cached: a replica answers for it when its primary is away.
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .weigher(|_, copy: &Arc<CachedCopy>| copy.weight())
            .build();
        Self {
            gate: env.gate.clone(),
            cache,
            unknown: Unknown::new(env.setup.negative_ttl),
            generations: Generations::default(),
            gone: Generations::default(),
            stale: Generations::default(),
        }
    }

    pub(super) fn get(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.cache.get(key)
    }

    pub(super) fn contains(&self, key: &AccountKey) -> bool {
        self.cache.contains_key(key)
    }

    /// The number of copies, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        // The cache counts only when its pending work is run.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// Moves when something happens to an account.
    pub(super) fn generation(&self, key: &AccountKey) -> Generation {
        self.generations.of(key)
    }

    /// Moves when an account is deleted or removed.
    pub(super) fn gone(&self, key: &AccountKey) -> Generation {
        self.gone.of(key)
    }

    /// Moves when a copy is marked stale.
    pub(super) fn stale(&self, key: &AccountKey) -> Generation {
        self.stale.of(key)
    }

    /// Takes what the store has of an account into the cache, if nothing has happened to it since `read`.
    pub(super) fn take(&self, key: &AccountKey, stored: &Stored, read: Generation) -> Option<Arc<CachedCopy>> {
        if !self.gate.vouches(stored.entry.issuer()) {
            return None;
        }
        let copy = Arc::new(CachedCopy::stored(stored));
        if self.generations.of(key) == read {
            self.cache.insert(*key, copy.clone());
            // The operator JWT may have changed after the cache was searched for withdrawn signers.
            if self.generations.of(key) != read || !self.gate.vouches(stored.entry.issuer()) {
                self.cache.invalidate(key);
            }
        }
        self.gate.vouches(stored.entry.issuer()).then_some(copy)
    }

    /// Follows what was written to the store.
    pub(super) fn follow(&self, effects: &[Effect]) {
        for Effect { key, now, .. } in effects {
            self.generations.bump(key);
            match now {
                AccountNow::Served(entry, currency) => {
                    if let Some(before) = self.cache.get(key) {
                        if self.gate.vouches(entry.issuer()) {
                            self.cache.insert(*key, Arc::new(before.replaced(entry.clone(), currency)));
                        } else {
                            self.cache.invalidate(key);
                        }
                    }
                }
                AccountNow::Unchanged(currency) => {
                    if let Some(copy) = self.cache.get(key) {
                        copy.follow(currency);
                    }
                }
                AccountNow::Gone => {
                    self.gone.bump(key);
                    self.cache.invalidate(key);
                }
                AccountNow::Elsewhere => self.cache.invalidate(key),
            }
            self.unknown.forget(key);
            self.generations.bump(key);
        }
    }

    /// Has the next request for an account ask upstream, whatever a request under way is answered.
    pub(super) fn mark_stale(&self, key: &AccountKey) {
        // First, so that an answer that is being noted finds that it moved, or is overwritten.
        self.stale.bump(key);
        self.make_stale(key);
    }

    /// The generation moves last: a worker that kept the copy with its stamp drops it, and an answer under way confirms
    /// nothing.
    fn make_stale(&self, key: &AccountKey) {
        if let Some(copy) = self.cache.get(key) {
            copy.mark_stale();
        }
        self.generations.bump(key);
    }

    /// Drops all answers that upstream does not know a key, and those under way.
    pub(super) fn forget_unknown(&self) {
        self.generations.bump_all();
        self.unknown.forget_all();
        self.generations.bump_all();
    }

    /// Removes copies that may no longer be served, and returns their number. The gate's trust has changed before.
    pub(super) fn enforce(&self) -> u64 {
        let mut withheld = 0;
        for (key, copy) in &self.cache {
            if !self.gate.vouches(copy.entry().issuer()) {
                self.cache.invalidate(&*key);
                withheld += 1;
            }
        }
        // Upstream may have withheld what it did not know.
        self.forget_unknown();
        withheld
    }

    /// Notes an answer about an account, which was `age` milliseconds old. `before`: [`Copies::stale`] before the request.
    pub(super) fn note_asked(&self, key: &AccountKey, age: i64, before: Generation) {
        let Some(copy) = self.cache.get(key) else { return };
        self.note(key, before, || {
            copy.confirm(clock::uptime_millis());
            copy.set_back(age);
        });
    }

    /// Notes that upstream was asked about an account, and did not confirm this copy. It is not asked again for a time-to-live.
    pub(super) fn note_unconfirmed(&self, key: &AccountKey, copy: &CachedCopy, before: Generation) {
        self.note(key, before, || copy.check(clock::uptime_millis()));
    }

    /// An answer to a request from before the copy was marked stale leaves it stale. The store may have said that it is not.
    fn note(&self, key: &AccountKey, before: Generation, note: impl FnOnce()) {
        if self.stale.of(key) == before {
            note();
        }
        if self.stale.of(key) != before {
            self.make_stale(key);
        }
    }

    /// Evicts a copy, as if the cache were full.
    #[cfg(test)]
    pub(super) fn evict(&self, key: &AccountKey) {
        self.cache.invalidate(key);
    }
}
