//! How far the first look through a folder has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of the work under way.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    complete: AtomicBool,
}

impl Progress {
    /// Files looked at, and how many there are; zero while they are still being counted.
    pub fn files(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Whether all that was there at start has been taken in: now, or before an earlier stop.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self, total: usize) {
        self.total.store(total.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn advance(&self, files: usize) {
        self.done.fetch_add(files.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }
}
