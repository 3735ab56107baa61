//! Which accounts count as removed when their files are gone.
//!
//! An unmounted volume looks like a folder whose owner removed everything. So when a large share of the accounts is
//! gone at once, nothing is believed until a second look finds the same.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::key::AccountKey;

/// So few removals are always believed at once.
const FEW: u64 = 10;
/// More than this part of the accounts is a large share: one in ten.
const SHARE: u64 = 10;
/// Removals within this time count together.
const TOGETHER: Duration = Duration::from_secs(60);
/// After this long a second look tells whether a large removal is meant.
const CONFIRM: Duration = Duration::from_secs(15);

/// The removals of late, and those that wait for a second look.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Accounts whose removal is not believed yet, and since when they are missing.
    held_back: HashMap<AccountKey, Instant>,
    /// When accounts were removed lately, and how many.
    removed: Vec<(Instant, u64)>,
}

impl Removals {
    /// The accounts to remove now. `missing`: all that were found missing. `live`: how many accounts are served.
    pub(super) fn believe(&mut self, missing: Vec<AccountKey>, live: u64) -> Vec<AccountKey> {
        let now = Instant::now();
        self.removed.retain(|(at, _)| at.elapsed() < TOGETHER);
        let lately: u64 = self.removed.iter().map(|(_, count)| count).sum();
        let all = lately + missing.len() as u64;
        let is_all = live > 0 && missing.len() as u64 >= live;
        let is_large = is_all || all > FEW && all > (live + lately) / SHARE;
        let confirmed = |since: Option<&Instant>| since.is_some_and(|since| since.elapsed() >= CONFIRM);
        let (go, wait): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|key| !is_large || confirmed(self.held_back.get(key)));
        if !wait.is_empty() && wait.iter().any(|key| !self.held_back.contains_key(key)) {
            tracing::warn!(
                "{} of {live} accounts are gone from the folder at once; they are served until a second look, in {} s, \
                 finds the same. If the folder is not mounted, mount it now",
                wait.len(),
                CONFIRM.as_secs()
            );
        }
        for key in wait {
            self.held_back.entry(key).or_insert(now);
        }
        if !go.is_empty() {
            self.removed.push((now, go.len() as u64));
        }
        go
    }

    /// These accounts have files: the removal of none of them waits any longer.
    pub(super) fn are_there(&mut self, there: &HashSet<AccountKey>) {
        self.held_back.retain(|key, _| !there.contains(key));
    }

    /// Whatever became of the removal of an account.
    pub(super) fn forget(&mut self, key: &AccountKey) {
        self.held_back.remove(key);
    }

    /// How long the second look has to wait, if there is one to come.
    pub(super) fn wait(&self) -> Option<Duration> {
        (!self.held_back.is_empty()).then_some(CONFIRM)
    }
}
