//! Changes that are not proven to be in force yet, and since when. A histogram sees only what has ended; this is the rest.
//!
//! A later change of an account takes the place of an earlier one, and inherits what the earlier one still owes: once it is in
//! force, so is what was revoked before.

use std::collections::{BTreeMap, HashMap};

use crate::key::AccountKey;

/// Changes that are remembered. Beyond that, later ones are not, until some are in force.
const MOST: usize = 10_000;
/// From this age on, a change that is not in force is overdue, in milliseconds.
const OVERDUE: i64 = 10_000;

/// What a change does, as the time until it is in force matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It takes nothing away.
    Other,
    /// It deletes the account.
    Deletion,
    /// It takes something away from the account's users.
    Revocation,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Other, Self::Deletion, Self::Revocation];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Deletion => "deletion",
            Self::Revocation => "revocation",
        }
    }
}

/// A change that is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwedChange {
    /// The account.
    pub key: AccountKey,
    /// When it was committed, or the earliest one whose place it took; unix milliseconds.
    pub at: i64,
    /// What it does, and those whose place it took.
    pub kind: ChangeKind,
}

#[derive(Debug)]
struct Entry {
    change: OwedChange,
    /// Whether all nats-servers are proven to have it.
    is_at_nats: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Owed {
    changes: BTreeMap<u64, Entry>,
    newest: HashMap<AccountKey, u64>,
}

impl Owed {
    /// Notes a change that was committed.
    pub(super) fn add(&mut self, serial: u64, mut change: OwedChange) {
        match self.newest.get(&change.key).copied() {
            Some(known) if known >= serial => return,
            Some(known) => {
                if let Some(before) = self.changes.remove(&known) {
                    change.at = change.at.min(before.change.at);
                    change.kind = change.kind.max(before.change.kind);
                }
            }
            None if self.changes.len() >= MOST => return,
            None => {}
        }
        self.newest.insert(change.key, serial);
        self.changes.insert(serial, Entry { change, is_at_nats: false });
    }

    /// Whether no more changes are remembered.
    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= MOST
    }

    /// A change has reached all nats-servers. `None`: that is no news.
    pub(super) fn at_nats(&mut self, serial: u64) -> Option<OwedChange> {
        let entry = self.changes.get_mut(&serial)?;
        (!std::mem::replace(&mut entry.is_at_nats, true)).then_some(entry.change)
    }

    /// A change is in force everywhere. `None`: that is no news.
    pub(super) fn settled(&mut self, serial: u64) -> Option<OwedChange> {
        let entry = self.changes.remove(&serial)?;
        self.newest.remove(&entry.change.key);
        Some(entry.change)
    }

    /// Forgets what an account owes.
    pub(super) fn forget(&mut self, key: &AccountKey) {
        if let Some(serial) = self.newest.remove(key) {
            self.changes.remove(&serial);
        }
    }

    /// Keeps those of which it can still be found out whether they are in force.
    pub(super) fn retain(&mut self, is_kept: impl Fn(u64) -> bool) {
        let newest = &mut self.newest;
        self.changes.retain(|serial, entry| {
            let stays = is_kept(*serial);
            if !stays {
                newest.remove(&entry.change.key);
            }
            stays
        });
    }

    /// How many changes of each kind are overdue at `now`, unix milliseconds.
    pub(super) fn overdue(&self, now: i64) -> [(ChangeKind, u64); 3] {
        let late = |entry: &&Entry| now.saturating_sub(entry.change.at) > OVERDUE;
        ChangeKind::ALL.map(|kind| {
            let count = self.changes.values().filter(late).filter(|entry| entry.change.kind == kind).count();
            (kind, count as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: u8, at: i64, kind: ChangeKind) -> OwedChange {
        OwedChange { key: AccountKey::from_raw([key; 32]), at, kind }
    }

    fn counts(owed: &Owed, now: i64) -> [u64; 3] {
        owed.overdue(now).map(|(_, count)| count)
    }

    #[test]
    fn a_change_is_overdue_after_ten_seconds_until_it_is_in_force() {
        let mut owed = Owed::default();
        owed.add(1, change(1, 1_000, ChangeKind::Other));
        owed.add(2, change(2, 2_000, ChangeKind::Revocation));
        assert_eq!(counts(&owed, 11_000), [0, 0, 0]);
        assert_eq!(counts(&owed, 11_001), [1, 0, 0]);
        assert_eq!(counts(&owed, 12_001), [1, 0, 1]);
        assert_eq!(owed.at_nats(2), Some(change(2, 2_000, ChangeKind::Revocation)));
        assert_eq!(owed.at_nats(2), None);
        assert_eq!(owed.settled(2), Some(change(2, 2_000, ChangeKind::Revocation)));
        assert_eq!((owed.settled(2), owed.settled(7)), (None, None));
        assert_eq!(counts(&owed, 20_000), [1, 0, 0]);
        owed.retain(|serial| serial != 1);
        assert_eq!(counts(&owed, 20_000), [0, 0, 0]);
        owed.add(3, change(1, 5_000, ChangeKind::Other));
        owed.forget(&AccountKey::from_raw([1; 32]));
        assert!(owed.changes.is_empty() && owed.newest.is_empty());
    }

    #[test]
    fn a_later_change_of_the_account_inherits_what_the_earlier_one_owes() {
        let mut owed = Owed::default();
        owed.add(1, change(1, 1_000, ChangeKind::Revocation));
        owed.add(2, change(1, 9_000, ChangeKind::Other));
        // The announcement of the earlier one comes again.
        owed.add(1, change(1, 1_000, ChangeKind::Revocation));
        assert_eq!(counts(&owed, 12_000), [0, 0, 1]);
        assert_eq!(owed.settled(1), None);
        assert_eq!(owed.settled(2), Some(change(1, 1_000, ChangeKind::Revocation)));
    }

    #[test]
    fn so_many_changes_are_remembered() {
        let mut owed = Owed::default();
        for serial in 0..=MOST as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&serial.to_le_bytes());
            owed.add(serial, OwedChange { key: AccountKey::from_raw(key), ..change(0, 0, ChangeKind::Other) });
        }
        assert!(owed.is_full() && owed.changes.len() == MOST && owed.newest.len() == MOST);
    }
}
