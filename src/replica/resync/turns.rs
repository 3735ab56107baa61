//! Which comparison is the latest, and what the feed has brought since it was begun.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::key::AccountKey;

/// This many accounts are noted while a comparison is under way; beyond that, all count as noted.
const TOUCHED: usize = 100_000;

/// The comparisons of this process.
#[derive(Debug, Default)]
pub(in crate::replica) struct ResyncTurns {
    /// How often one was begun.
    begun: AtomicU64,
    /// Accounts of which the feed has brought something since the comparison that is under way was begun.
    touched: Mutex<Option<TouchedAccounts>>,
}

/// Accounts of which the feed has brought something.
#[derive(Debug)]
enum TouchedAccounts {
    These(HashSet<AccountKey>),
    /// More than are noted: any may be among them.
    Any,
}

impl ResyncTurns {
    /// Another comparison begins, and takes the place of an earlier one. Returns its number.
    pub(super) fn begin(&self) -> u64 {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        *self.touched.lock() = Some(TouchedAccounts::These(HashSet::new()));
        number
    }

    /// The comparison has ended.
    pub(super) fn end(&self) {
        *self.touched.lock() = None;
    }

    /// The number of the latest one.
    pub(super) fn latest(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether a comparison is under way.
    pub(in crate::replica) fn is_under_way(&self) -> bool {
        self.touched.lock().is_some()
    }

    /// The feed has brought something of these accounts.
    pub(in crate::replica) fn touch(&self, keys: impl Iterator<Item = AccountKey>) {
        let mut touched = self.touched.lock();
        if let Some(TouchedAccounts::These(noted)) = &mut *touched {
            noted.extend(keys);
            if noted.len() > TOUCHED {
                *touched = Some(TouchedAccounts::Any);
            }
        }
    }

    /// Whether what is here of an account may be later than what a comparison finds.
    pub(super) fn has_touched(&self, key: &AccountKey) -> bool {
        let touched = self.touched.lock();
        match &*touched {
            None => false,
            Some(TouchedAccounts::These(noted)) => noted.contains(key),
            Some(TouchedAccounts::Any) => true,
        }
    }
}
