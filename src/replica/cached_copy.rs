//! A cached JWT and how current it is known to be.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::gate::{Entry, Position};
use crate::node::Stamp;

/// An entry of the cache. Times are in milliseconds of [`clock::uptime_millis`](crate::clock::uptime_millis).
#[derive(Debug)]
pub(super) struct CachedCopy {
    entry: Arc<Entry>,
    position: OnceLock<Position>,
    /// The stretch of feed within which it is confirmed; 0 if none.
    stretch: AtomicU64,
    /// The primary's last confirmation, or when it was heard over NATS.
    confirmed: AtomicI64,
    /// The last time the primary was asked and answered something; 0: it is to be asked.
    checked: AtomicI64,
}

impl CachedCopy {
    pub(super) fn new(entry: Arc<Entry>, position: Option<Position>, stretch: Option<u64>, now: i64) -> Self {
        let copy = Self {
            entry,
            position: OnceLock::new(),
            stretch: AtomicU64::new(0),
            confirmed: AtomicI64::new(0),
            checked: AtomicI64::new(0),
        };
        copy.confirm(position, stretch, now);
        copy
    }

    /// One that was heard over NATS and not asked for. Upstream is asked about it as if it had been asked at `checked`.
    pub(super) fn heard(entry: Arc<Entry>, checked: i64, now: i64) -> Self {
        Self {
            entry,
            position: OnceLock::new(),
            stretch: AtomicU64::new(0),
            confirmed: AtomicI64::new(now),
            checked: AtomicI64::new(checked),
        }
    }

    /// One that an earlier process kept: confirmed then, and to be asked about unless its stretch goes on.
    pub(super) fn restored(entry: Arc<Entry>, position: Option<Position>, stretch: u64, confirmed: i64) -> Self {
        Self {
            entry,
            position: position.map(OnceLock::from).unwrap_or_default(),
            stretch: AtomicU64::new(stretch),
            confirmed: AtomicI64::new(confirmed),
            checked: AtomicI64::new(0),
        }
    }

    /// The JWT.
    pub(super) const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Where the primary committed it, if the primary said so.
    pub(super) fn position(&self) -> Option<Position> {
        self.position.get().copied()
    }

    /// Bytes that it counts for in the cache's bound: its text, and what `cargo bench --bench replication` found to be
    /// resident besides when a million pass by, the allocator's slack and what serves them included.
    pub(super) fn weight(&self) -> u32 {
        u32::try_from(self.entry.token().len() + 1200).unwrap_or(u32::MAX)
    }

    pub(super) fn stretch(&self) -> u64 {
        self.stretch.load(Ordering::Acquire)
    }

    pub(super) fn confirmed(&self) -> i64 {
        self.confirmed.load(Ordering::Acquire)
    }

    pub(super) fn checked(&self) -> i64 {
        self.checked.load(Ordering::Acquire)
    }

    /// How current it is known to be now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { stretch: self.stretch(), confirmed: self.confirmed(), checked: self.checked() }
    }

    /// The primary said that this is current; within a stretch of feed, if that was live all the while. Returns whether
    /// that is another stretch than before.
    pub(super) fn confirm(&self, position: Option<Position>, stretch: Option<u64>, now: i64) -> bool {
        if let Some(position) = position {
            // The first place that was told stays: a version is committed once.
            let _ = self.position.set(position);
        }
        let before = stretch.map(|stretch| (self.stretch.swap(stretch, Ordering::AcqRel), stretch));
        self.confirmed.store(now, Ordering::Release);
        self.checked.store(now, Ordering::Release);
        before.is_some_and(|(before, stretch)| before != stretch)
    }

    /// The confirmation was so many milliseconds old already: it came from a replica.
    pub(super) fn set_back(&self, age: i64) {
        if age > 0 {
            self.confirmed.fetch_sub(age, Ordering::AcqRel);
        }
    }

    /// The primary was asked, and did not confirm it; it is not asked again for a while.
    pub(super) fn check(&self, now: i64) {
        self.checked.store(now, Ordering::Release);
    }

    /// There is something newer that could not be taken in: the primary is asked at the next request.
    pub(super) fn mark_stale(&self) {
        self.stretch.store(0, Ordering::Release);
        self.checked.store(0, Ordering::Release);
    }
}
