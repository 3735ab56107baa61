//! The bounded cache of bodies, kept true by the journal's writer.

use std::sync::Arc;

use moka::ops::compute::Op;

use crate::epoch::{Epoch, Epochs};
use crate::feed::{Change, Content};
use crate::key::AccountKey;
use crate::store::journal::Stored;

#[derive(Debug)]
pub(super) struct Bodies {
    cache: moka::sync::Cache<AccountKey, Arc<Stored>>,
    epochs: Epochs,
}

impl Bodies {
    pub(super) fn new(bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, stored: &Arc<Stored>| {
                // The token, and what entry, key and cache cost around it.
                u32::try_from(stored.entry.token().len() + 512).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, epochs: Epochs::default() }
    }

    pub(super) fn epoch(&self, key: &AccountKey) -> Epoch {
        self.epochs.of(key)
    }

    pub(super) fn get(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        self.cache.get(key)
    }

    /// Called with every committed change, before anybody is told of it.
    pub(super) fn follow(&self, change: &Change) {
        for key in change.keys() {
            self.epochs.bump(key);
            let op = match &change.content {
                Content::Put(entry) => Op::Put(Arc::new(Stored { entry: entry.clone(), serial: change.serial })),
                Content::Delete(_) | Content::Superseded { .. } => Op::Remove,
            };
            // Computed, not inserted: computations of one key exclude each other, see `keep`.
            self.cache.entry_by_ref(key).and_compute_with(|_| op);
            self.epochs.bump(key);
        }
    }

    /// Keeps what was read from the journal. `before`: the account's epoch before it was read.
    pub(super) fn keep(&self, stored: &Arc<Stored>, before: Epoch) {
        let key = stored.entry.key();
        // A change that was committed meanwhile is in the cache already, or has emptied its place: leave both alone.
        self.cache
            .entry_by_ref(key)
            .and_compute_with(|_| if self.epochs.of(key) == before { Op::Put(stored.clone()) } else { Op::Nop });
    }
}
