//! A cached JWT, and how current it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::gate::{Entry, Position};
use crate::node::Stamp;

/// A copy in the cache. Times are in milliseconds of [`clock::uptime_millis`](crate::clock::uptime_millis).
#[derive(Debug)]
pub(super) struct CachedCopy {
    entry: Arc<Entry>,
    position: OnceLock<Position>,
    /// The stretch of the feed that confirms it; 0 if none.
    stretch: AtomicU64,
    /// When the primary last confirmed it, or when it was heard over NATS.
    confirmed: AtomicI64,
    /// When the primary was last asked and answered something; 0: the next request asks it.
    checked: AtomicI64,
}

impl CachedCopy {
    pub(super) fn new(entry: Arc<Entry>, position: Option<Position>, stretch: Option<u64>, now: i64) -> Self {
        Self::of(entry, position, stretch.unwrap_or(0), now, now)
    }

    /// A copy that was heard over NATS. Upstream is asked about it as if it had been asked at `checked`.
    pub(super) fn heard(entry: Arc<Entry>, checked: i64, now: i64) -> Self {
        Self::of(entry, None, 0, now, checked)
    }

    /// A copy that an earlier process stored, confirmed at `confirmed`. The next request asks about it unless its stretch
    /// continues.
    pub(super) fn restored(entry: Arc<Entry>, position: Option<Position>, stretch: u64, confirmed: i64) -> Self {
        Self::of(entry, position, stretch, confirmed, 0)
    }

    fn of(entry: Arc<Entry>, position: Option<Position>, stretch: u64, confirmed: i64, checked: i64) -> Self {
        Self {
            entry,
            position: position.map(OnceLock::from).unwrap_or_default(),
            stretch: AtomicU64::new(stretch),
            confirmed: AtomicI64::new(confirmed),
            checked: AtomicI64::new(checked),
        }
    }

    pub(super) const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Its position in the primary's order, if the primary gave one.
    pub(super) fn position(&self) -> Option<Position> {
        self.position.get().copied()
    }

    /// Its weight in the cache, in bytes: the text, and the memory around it that `cargo bench --bench replication`
    /// found for a million copies.
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

    /// How current it is now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { stretch: self.stretch(), confirmed: self.confirmed(), checked: self.checked() }
    }

    /// The primary confirmed it; within a stretch of the feed, if that was live throughout. Returns whether the stretch
    /// is another one than before.
    pub(super) fn confirm(&self, position: Option<Position>, stretch: Option<u64>, now: i64) -> bool {
        if let Some(position) = position {
            // The first position stays: a version is committed once.
            let _ = self.position.set(position);
        }
        let before = stretch.map(|stretch| (self.stretch.swap(stretch, Ordering::AcqRel), stretch));
        self.confirmed.store(now, Ordering::Release);
        self.checked.store(now, Ordering::Release);
        before.is_some_and(|(before, stretch)| before != stretch)
    }

    /// The confirmation was this many milliseconds old already, because it came from a replica.
    pub(super) fn set_back(&self, age: i64) {
        if age > 0 {
            self.confirmed.fetch_sub(age, Ordering::AcqRel);
        }
    }

    /// The primary was asked and did not confirm it. The replica does not ask again for a time-to-live.
    pub(super) fn check(&self, now: i64) {
        self.checked.store(now, Ordering::Release);
    }

    /// The primary has something newer that could not be applied. The next request asks it. Only
    /// [`Held`](super::held::Held) calls this for a copy in the cache, because the generation of the account must move as
    /// well.
    pub(super) fn mark_stale(&self) {
        self.stretch.store(0, Ordering::Release);
        self.checked.store(0, Ordering::Release);
    }
}
