//! The versions that were seen of each account, apart from the cache.
//!
//! An evicted JWT, or one that no client wanted, still tells which older JWTs to reject. All versions are in the
//! snapshot. In memory are those that are not written yet, and a few that were used lately.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::sums::Sums;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState, Prefix};
use crate::key::AccountKey;
use crate::store::snapshot::{Seen, Snapshot};

const SHARDS: usize = 64;
/// The number of written accounts of a shard that stay in memory.
const RECENT: usize = 64;

/// The newest version and deletion seen of every account.
#[derive(Debug)]
pub(in crate::replica) struct KnownVersions {
    shards: [Mutex<VersionShard>; SHARDS],
    snapshot: Arc<Snapshot>,
    sums: Arc<Sums>,
    unwritten: AtomicUsize,
    /// The number of accounts of which the primary holds something older, or nothing.
    ahead: AtomicI64,
}

type VersionShard = HashMap<AccountKey, Cell>;

#[derive(Debug)]
struct Cell {
    seen: Seen,
    is_written: bool,
}

impl KnownVersions {
    pub(in crate::replica) fn new(snapshot: Arc<Snapshot>, sums: Arc<Sums>) -> Self {
        let ahead = AtomicI64::new(i64::try_from(snapshot.ahead().len()).unwrap_or(i64::MAX));
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, snapshot, sums, unwritten: AtomicUsize::new(0), ahead }
    }

    /// Reads or changes what is known of one account, with its shard locked. Blocks for a query if the account was not
    /// used lately.
    ///
    /// Nothing is stored for an unknown account unless `act` changes it.
    pub(in crate::replica) fn with<T>(&self, key: &AccountKey, act: impl FnOnce(&mut Seen) -> T) -> T {
        let mut shard = self.shard(key);
        let cell = match shard.entry(*key) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Cell { seen: self.snapshot.seen(key).unwrap_or_default(), is_written: true })
            }
        };
        let before = cell.seen.clone();
        let result = act(&mut cell.seen);
        if cell.seen != before {
            if std::mem::replace(&mut cell.is_written, false) {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
            }
            self.ahead.fetch_add(i64::from(cell.seen.ahead) - i64::from(before.ahead), Ordering::Relaxed);
            if self.sums.are_kept() {
                self.sums.change(&Subject::Account(*key), leaf(key, &before), leaf(key, &cell.seen));
            }
        } else if cell.is_written && before == Seen::default() {
            shard.remove(key);
        }
        result
    }

    /// The number of accounts of which the primary holds something older, or nothing.
    pub(in crate::replica) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    pub(in crate::replica) fn all_ahead(&self) -> Vec<AccountKey> {
        let mut keys: BTreeMap<AccountKey, bool> = self.snapshot.ahead().into_iter().map(|key| (key, true)).collect();
        self.each_recent(|key, seen| _ = keys.insert(*key, seen.ahead));
        keys.into_iter().filter(|(_, ahead)| *ahead).map(|(key, _)| key).collect()
    }

    /// What is known of the accounts under a prefix. Blocks for a query.
    pub(in crate::replica) fn under(&self, prefix: Prefix) -> BTreeMap<AccountKey, Seen> {
        // The snapshot first: what is written between the two reads is in both.
        let mut found: BTreeMap<_, _> = self.snapshot.seen_under(prefix).into_iter().collect();
        self.each_recent(|key, seen| {
            if prefix.contains(&Subject::Account(*key)) {
                found.insert(*key, seen.clone());
            }
        });
        found
    }

    fn each_recent(&self, mut each: impl FnMut(&AccountKey, &Seen)) {
        for shard in &self.shards {
            let shard = shard.lock();
            shard.iter().for_each(|(key, cell)| each(key, &cell.seen));
        }
    }

    /// Reads what is known of one account, and stores nothing. May block for a query.
    pub(in crate::replica) fn peek<T>(&self, key: &AccountKey, look: impl FnOnce(&Seen) -> T) -> Option<T> {
        if let Some(cell) = self.shard(key).get(key) {
            return Some(look(&cell.seen));
        }
        self.snapshot.seen(key).map(|seen| look(&seen))
    }

    /// The number of accounts that must be written, about.
    pub(in crate::replica) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Takes what must be written. It counts as written until the caller reports a failure.
    pub(in crate::replica) fn take_unwritten(&self) -> Vec<(AccountKey, Seen)> {
        let mut taken = Vec::with_capacity(self.unwritten());
        for shard in &self.shards {
            for (key, cell) in shard.lock().iter_mut() {
                if !std::mem::replace(&mut cell.is_written, true) {
                    taken.push((*key, cell.seen.clone()));
                }
            }
        }
        self.unwritten.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    /// Reports that these could not be written.
    pub(in crate::replica) fn is_unwritten(&self, taken: &[(AccountKey, Seen)]) {
        for (key, _) in taken {
            // Nothing leaves memory in between.
            if let Some(cell) = self.shard(key).get_mut(key)
                && std::mem::replace(&mut cell.is_written, false)
            {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Drops most written accounts from memory.
    pub(in crate::replica) fn shrink(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let mut spare = shard.len().saturating_sub(RECENT);
            shard.retain(|_, cell| {
                let goes = cell.is_written && spare > 0;
                spare -= usize::from(goes);
                !goes
            });
            shard.shrink_to(RECENT * 2);
        }
    }

    /// Returns to what is written, as after a restart.
    #[cfg(test)]
    pub(in crate::replica) fn restart(&self) {
        self.shards.iter().for_each(|shard| shard.lock().clear());
        self.unwritten.store(0, Ordering::Relaxed);
    }

    fn shard(&self, key: &AccountKey) -> MutexGuard<'_, VersionShard> {
        self.shards[usize::from(key.raw()[31]) % SHARDS].lock()
    }
}

/// The leaf of an account.
pub(in crate::replica) fn leaf(key: &AccountKey, seen: &Seen) -> Option<Leaf> {
    let key = Subject::Account(*key);
    match seen.heard {
        Some(heard) => Some(Leaf::of(&key, &LeafState::Held(heard.identity))),
        None => Leaf::standing(&key, &seen.held, seen.removed),
    }
}
