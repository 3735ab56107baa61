//! The bounded cache of bodies, kept true by the journal's writer.
//!
//! Only what may be served gets in, so a hot GET need not ask whose signature counts. When that changes, the gate's
//! trust has changed first: [`BodyCache::enforce`] then looks through the cache once, and who is about to put something in
//! meanwhile looks again afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use moka::ops::compute::Op;

use crate::feed::{Change, Content};
use crate::gate::{Gate, Via};
use crate::generation::{Generation, Generations};
use crate::key::AccountKey;
use crate::store::journal::Stored;

#[derive(Debug)]
pub(super) struct BodyCache {
    cache: moka::sync::Cache<AccountKey, Arc<Stored>>,
    generations: Generations,
    gate: Arc<Gate>,
    /// Which accounts were read from the journal lately, by a part of their keys.
    read: Box<[AtomicU32]>,
}

/// Accounts whose last read is remembered, about.
const READ: usize = 1 << 16;

impl BodyCache {
    pub(super) fn new(bytes: u64, gate: Arc<Gate>) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, stored: &Arc<Stored>| {
                // The token, and what entry, key and cache cost around it.
                u32::try_from(stored.entry.token().len() + 512).unwrap_or(u32::MAX)
            })
            .build();
        let read = (0..READ).map(|_| AtomicU32::new(0)).collect();
        Self { cache, generations: Generations::default(), gate, read }
    }

    pub(super) fn generation(&self, key: &AccountKey) -> Generation {
        self.generations.of(key)
    }

    pub(super) fn get(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        self.cache.get(key)
    }

    /// How many JWTs there are, and how many bytes they count.
    pub(super) fn size(&self) -> (u64, u64) {
        // The cache counts only when its pending work is run.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// Called with every committed change, before it is answered or followed.
    pub(super) fn follow(&self, change: &Change) {
        for key in change.keys() {
            self.generations.bump(key);
            let op = match &change.content {
                // A scan of a million files would push out what clients ask for.
                Content::Put(_) if change.via == Via::FirstScan => Op::Remove,
                // The operator JWT may have changed in the same transaction.
                Content::Put(entry) if self.gate.vouches(entry.issuer()) => {
                    Op::Put(Arc::new(Stored::of(change, entry)))
                }
                _ => Op::Remove,
            };
            // Computed, not inserted: computations of one key exclude each other, see `keep`.
            self.cache.entry_by_ref(key).and_compute_with(|_| op);
            self.generations.bump(key);
        }
        if let Content::Operator(_) = &change.content {
            self.enforce();
        }
    }

    /// Keeps what was read from the journal. `before`: the account's generation before it was read.
    pub(super) fn keep(&self, stored: &Arc<Stored>, before: Generation) {
        let key = stored.entry.key();
        if !self.was_read(key) {
            return;
        }
        // A change that was committed meanwhile is in the cache already, or has emptied its place: leave both alone.
        self.cache
            .entry_by_ref(key)
            .and_compute_with(|_| if self.generations.of(key) == before { Op::Put(stored.clone()) } else { Op::Nop });
        // The operator JWT may have changed just now, and the cache have been looked through before this was in it.
        if !self.gate.vouches(stored.entry.issuer()) {
            self.cache.invalidate(key);
        }
    }

    /// Whether an account was read a short time ago, too. What is asked for once in a long while is not worth its place
    /// in the cache: to put it there and another one out costs as much as to read it.
    fn was_read(&self, key: &AccountKey) -> bool {
        let raw = key.raw();
        let place = usize::from(u16::from_le_bytes([raw[2], raw[3]])) % READ;
        let part = u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
        self.read[place].swap(part, Ordering::Relaxed) == part
    }

    /// Takes out what may no longer be served. The gate's trust has changed before.
    pub(super) fn enforce(&self) {
        for (key, stored) in &self.cache {
            if !self.gate.vouches(stored.entry.issuer()) {
                self.cache.invalidate(&*key);
            }
        }
        self.generations.bump_all();
    }
}
