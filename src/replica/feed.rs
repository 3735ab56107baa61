//! How far the feed is, and what that makes current.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::key::AccountKey;
use crate::store::snapshot::Stand;

/// Whether the feed is connected and caught up, and when it was last heard.
#[derive(Debug)]
pub(super) struct Feed {
    /// The number of the unbroken stretch of feed that is live; 0 while there is none.
    pub(super) live: AtomicU64,
    /// The number of the stretch that confirms copies up to where this replica stands, live or not; 0 while a mirror is being
    /// compared.
    pub(super) stretch: AtomicU64,
    /// How often a comparison with the primary was begun.
    pub(super) resyncs: AtomicU64,
    /// Accounts of which the feed has brought something since the comparison that is under way was begun.
    touched: Mutex<Option<Touched>>,
    /// Told when the server answers a request although its feed is away.
    pub(super) reached: Notify,
    progress: Mutex<Progress>,
    /// When the primary itself, whatever is between, was last known to stand where this replica does, in milliseconds of
    /// [`clock::uptime_millis`], be it by an earlier process; 0 if never.
    pub(super) heard: AtomicI64,
    /// Where the primary's journal stood then.
    pub(super) serial: AtomicU64,
}

/// So many accounts are noted while a comparison is under way; beyond that, all count as noted.
const TOUCHED: usize = 100_000;

/// Accounts of which the feed has brought something.
#[derive(Debug)]
enum Touched {
    These(HashSet<AccountKey>),
    /// More than are noted: any may be among them.
    Any,
}

/// What it takes for a stretch to be live: that the feed has caught up, and on a mirror that it was compared with the
/// primary.
#[derive(Debug, Default)]
struct Progress {
    caught_up: u64,
    synced: u64,
}

impl Feed {
    /// Whether the feed, which is live, speaks for copies that were confirmed in a stretch.
    pub(super) fn confirms(&self, stretch: u64) -> bool {
        let live = self.live.load(Ordering::Acquire);
        live != 0 && stretch == live
    }

    /// The feed has caught up, or (0) has ended. `needs_sync`: a comparison has to have ended as well.
    pub(super) fn has_caught_up(&self, stretch: u64, needs_sync: bool) -> bool {
        let mut progress = self.progress.lock();
        progress.caught_up = stretch;
        if !needs_sync {
            progress.synced = stretch;
        }
        let live = if progress.synced == stretch { stretch } else { 0 };
        self.live.swap(live, Ordering::AcqRel) != live
    }

    /// A comparison begins, or has ended.
    pub(super) fn compares(&self, is_under_way: bool) {
        *self.touched.lock() = is_under_way.then(|| Touched::These(HashSet::new()));
    }

    /// Whether a comparison is under way.
    pub(super) fn is_comparing(&self) -> bool {
        self.touched.lock().is_some()
    }

    /// The feed has brought something of these accounts.
    pub(super) fn touch(&self, keys: impl Iterator<Item = AccountKey>) {
        let mut touched = self.touched.lock();
        if let Some(Touched::These(noted)) = &mut *touched {
            noted.extend(keys);
            if noted.len() > TOUCHED {
                *touched = Some(Touched::Any);
            }
        }
    }

    /// Whether what is here of an account may be later than what a comparison finds.
    pub(super) fn has_touched(&self, key: &AccountKey) -> bool {
        let touched = self.touched.lock();
        match &*touched {
            None => false,
            Some(Touched::These(noted)) => noted.contains(key),
            Some(Touched::Any) => true,
        }
    }

    /// What is here was compared with the primary.
    pub(super) fn is_synced(&self, stretch: u64) {
        let mut progress = self.progress.lock();
        progress.synced = stretch;
        self.stretch.store(stretch, Ordering::Release);
        if progress.caught_up == stretch {
            self.live.store(stretch, Ordering::Release);
        }
    }

    /// What is here may differ from the primary, until it was compared.
    pub(super) fn is_unsynced(&self) {
        self.progress.lock().synced = 0;
        self.stretch.store(0, Ordering::Release);
        self.live.store(0, Ordering::Release);
    }

    /// Whether what is here was compared with the primary, or goes on from there.
    pub(super) fn was_synced(&self, stretch: u64) -> bool {
        self.progress.lock().synced == stretch
    }

    /// What an earlier process left.
    pub(super) fn after(stand: &Stand) -> Self {
        // If the clock was set back since, it is as if the primary had never been heard.
        let age = Some(stand.heard).filter(|heard| *heard != 0).and_then(clock::millis_since);
        let heard = age.map_or(0, |age| (clock::uptime_millis() - age).min(-1));
        let serial = stand.position.map_or(0, |position| position.serial);
        // What an earlier process followed was compared before.
        let progress = Progress { caught_up: 0, synced: stand.position.map_or(0, |_| stand.stretch) };
        Self {
            live: AtomicU64::new(0),
            stretch: AtomicU64::new(progress.synced),
            resyncs: AtomicU64::new(0),
            touched: Mutex::default(),
            reached: Notify::new(),
            progress: Mutex::new(progress),
            heard: AtomicI64::new(heard),
            serial: AtomicU64::new(serial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_heard_by_a_clock_that_is_behind_now_was_never_heard() {
        let heard = |at: i64| {
            let stand = Stand { position: None, stretch: 0, joined: 0, confirmed: None, heard: at, is_mirror: false };
            Feed::after(&stand).heard.load(Ordering::Relaxed)
        };
        let now = clock::unix_millis();
        let age = clock::uptime_millis() - heard(now - 60_000);
        assert!((60_000..120_000).contains(&age), "{age}");
        assert_eq!([heard(0), heard(now + 3_600_000)], [0, 0]);
    }
}
