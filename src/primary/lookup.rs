//! What an account holds: from the cache of bodies, or from the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Primary;
use crate::clock;
use crate::key::{AccountKey, PublicKey};
use crate::store::StoreError;
use crate::store::journal::Stored;

/// A query that takes more milliseconds than this had to wait for a disk that is slow: on a busy machine, threads lose their turn for
/// less.
const SLOW: i64 = 25;
/// For so many milliseconds after that, queries are made on threads of their own.
const SLOW_FOR: i64 = 500;

/// What the journal holds of an account.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A JWT that may be served.
    Served(Arc<Stored>),
    /// A JWT signed by this key, for which the operator does not vouch.
    Withheld(PublicKey),
    /// Nothing, or it was deleted.
    Absent,
}

impl Primary {
    /// The JWT of an account, if its body is in the cache.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        self.bodies.get(key)
    }

    /// The JWT of an account from the journal. Blocks for a query.
    pub fn load(&self, key: &AccountKey) -> Result<Lookup, StoreError> {
        let before = self.bodies.epoch(key);
        let Some(stored) = self.journal.get(key)? else { return Ok(Lookup::Absent) };
        let stored = Arc::new(stored);
        if !self.gate.vouches(stored.entry.issuer()) {
            return Ok(Lookup::Withheld(*stored.entry.issuer()));
        }
        self.bodies.keep(&stored, before);
        Ok(Lookup::Served(stored))
    }

    /// The JWT of an account from the journal, on a thread that others wait for. `None`: the journal failed or was slow
    /// lately, and a thread of its own should wait for it.
    ///
    /// To hand a query to another thread and back costs more than the query, as long as its pages are in memory.
    pub fn load_now(&self, key: &AccountKey) -> Option<Lookup> {
        let began = clock::uptime_millis();
        // Who has been at it for long has not come back yet, and whoever followed him would wait likewise.
        let under_way = self.reading_since.load(Ordering::Relaxed);
        if began < self.slow_until.load(Ordering::Relaxed) || (under_way != 0 && began - under_way > SLOW) {
            return None;
        }
        let is_first = self.reading_since.compare_exchange(0, began, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let found = self.load(key);
        if is_first {
            self.reading_since.store(0, Ordering::Relaxed);
        }
        let ended = clock::uptime_millis();
        if ended - began > SLOW {
            self.slow_until.store(ended + SLOW_FOR, Ordering::Relaxed);
        }
        found.ok()
    }
}
