//! A cached JWT, and how current it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock;
use crate::gate::{Entry, Position};
use crate::node::Stamp;
use crate::store::journal::{Currency, Stored, weight_of};

/// A copy in the cache. Times are in milliseconds of [`clock::uptime_millis`].
#[derive(Debug)]
pub(super) struct CachedCopy {
    entry: Arc<Entry>,
    position: OnceLock<Position>,
    /// The order in which upstream was last known to hold it; 0 if none.
    stretch: AtomicU64,
    /// When the primary last confirmed it, or when it came.
    confirmed: AtomicI64,
    /// When the primary was last asked and answered something; 0: the next request asks it.
    checked: AtomicI64,
}

impl CachedCopy {
    /// A copy of the store. Unless the feed keeps it current, the next request asks about it, or the first one after a
    /// time-to-live if upstream ordered it.
    pub(super) fn stored(stored: &Stored) -> Self {
        // If the clock was set back since, the copy counts as very old.
        let age = clock::millis_since(stored.currency.came).unwrap_or_else(clock::unix_millis);
        let came = clock::uptime_millis() - age;
        Self::of(stored.entry.clone(), &stored.currency, came, if stored.currency.era == 0 { 0 } else { came })
    }

    /// The copy that takes the place of this one. If upstream has not ordered it, the replica asks about it when it would
    /// have asked about this one, or after a time-to-live if the feed confirmed this one.
    pub(super) fn replaced(&self, entry: Arc<Entry>, currency: &Currency) -> Self {
        let now = clock::uptime_millis();
        let checked = if self.stretch() == 0 { self.checked() } else { now };
        Self::of(entry, currency, now, checked)
    }

    /// A copy that was not stored: what the settings name.
    pub(super) fn configured(entry: Arc<Entry>) -> Self {
        Self::of(entry, &Currency::default(), clock::uptime_millis(), 0)
    }

    fn of(entry: Arc<Entry>, currency: &Currency, confirmed: i64, checked: i64) -> Self {
        Self {
            entry,
            position: currency.at.map(OnceLock::from).unwrap_or_default(),
            stretch: AtomicU64::new(currency.era),
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

    /// Its weight in the cache, in bytes.
    pub(super) fn weight(&self) -> u32 {
        u32::try_from(weight_of(self.entry.token().len())).unwrap_or(u32::MAX)
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

    /// The store learned how current it is.
    pub(super) fn follow(&self, currency: &Currency) {
        if let Some(position) = currency.at {
            // The first position stays: a version is committed once.
            let _ = self.position.set(position);
        }
        self.stretch.store(currency.era, Ordering::Release);
        if currency.era == 0 {
            self.checked.store(0, Ordering::Release);
        }
    }

    /// The primary confirmed it now.
    pub(super) fn confirm(&self, now: i64) {
        self.confirmed.store(now, Ordering::Release);
        self.checked.store(now, Ordering::Release);
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

    /// The next request asks the primary. Only [`Copies`](super::copies::Copies) calls this, because the generation of the
    /// account must move as well.
    pub(super) fn mark_stale(&self) {
        self.stretch.store(0, Ordering::Release);
        self.checked.store(0, Ordering::Release);
    }
}
