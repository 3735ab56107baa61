//! Keys that the feed has touched since a comparison began. The feed says more about them than the comparison.

use std::collections::HashSet;

use crate::feed::Subject;

/// What committed transactions have noted.
pub(in super::super) type Touched = HashSet<Subject>;

/// What a transaction adds. It counts once the transaction is committed.
#[derive(Debug, Default)]
pub(in super::super) struct TouchedNow {
    keys: HashSet<Subject>,
    /// Whether a comparison began or ended, so that what was noted before does not count.
    is_cleared: bool,
}

impl TouchedNow {
    pub(super) fn insert(&mut self, key: Subject) {
        self.keys.insert(key);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.is_cleared = true;
    }

    /// Whether a key is among those of `before` and of this transaction.
    pub(super) fn contains(&self, before: &Touched, key: &Subject) -> bool {
        self.keys.contains(key) || (!self.is_cleared && before.contains(key))
    }

    /// Notes what was committed.
    pub(in super::super) fn commit(self, touched: &mut Touched) {
        if self.is_cleared {
            touched.clear();
        }
        touched.extend(self.keys);
    }
}
