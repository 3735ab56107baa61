//! Which comparison is the latest, and what the feed has brought since it began.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::key::AccountKey;

/// The largest number of accounts that are noted during a comparison. Beyond that, all count as noted.
const TOUCHED: usize = 100_000;

/// The comparisons of this process.
#[derive(Debug, Default)]
pub(in crate::replica) struct ResyncTurns {
    /// How many were begun.
    begun: AtomicU64,
    /// Accounts that the feed has changed since the comparison under way began.
    touched: Mutex<Option<TouchedAccounts>>,
}

/// Accounts that the feed has changed.
#[derive(Debug)]
enum TouchedAccounts {
    These(HashSet<AccountKey>),
    /// Too many to note: each account may be among them.
    Any,
}

impl ResyncTurns {
    /// Begins another comparison, which replaces an earlier one. Returns its number.
    pub(super) fn begin(&self) -> u64 {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        *self.touched.lock() = Some(TouchedAccounts::These(HashSet::new()));
        number
    }

    pub(super) fn end(&self) {
        *self.touched.lock() = None;
    }

    pub(super) fn latest(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub(in crate::replica) fn is_under_way(&self) -> bool {
        self.touched.lock().is_some()
    }

    /// Notes accounts that the feed has changed.
    pub(in crate::replica) fn touch(&self, keys: impl Iterator<Item = AccountKey>) {
        let mut touched = self.touched.lock();
        if let Some(TouchedAccounts::These(noted)) = &mut *touched {
            noted.extend(keys);
            if noted.len() > TOUCHED {
                *touched = Some(TouchedAccounts::Any);
            }
        }
    }

    /// Whether an account may be later here than in the comparison.
    pub(super) fn has_touched(&self, key: &AccountKey) -> bool {
        let touched = self.touched.lock();
        match &*touched {
            None => false,
            Some(TouchedAccounts::These(noted)) => noted.contains(key),
            Some(TouchedAccounts::Any) => true,
        }
    }
}
