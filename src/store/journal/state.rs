//! The state of an open journal, for its readers: where its log is, and the latest changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::schema::{LogPlace, Meta, Role};
use crate::feed::{Head, Ring};

/// The state row after the last commit, and the latest changes of the order.
#[derive(Debug)]
pub(super) struct JournalState {
    meta: ArcSwap<Meta>,
    ring: ArcSwap<Ring>,
    /// What every read of a replica asks: the order that is followed, 0 for none, and whether it is level.
    era: AtomicU64,
    level: AtomicBool,
}

impl JournalState {
    pub(super) fn new(meta: &Meta) -> Self {
        Self {
            meta: ArcSwap::from_pointee(meta.clone()),
            ring: ArcSwap::from_pointee(Ring::new(meta.head)),
            era: AtomicU64::new(era(meta)),
            level: AtomicBool::new(meta.is_level),
        }
    }

    /// Notes what was committed. `begun`: another order began there.
    pub(super) fn set(&self, meta: &Meta, begun: Option<Head>) {
        self.level.store(meta.is_level, Ordering::Release);
        self.era.store(era(meta), Ordering::Release);
        self.meta.store(Arc::new(meta.clone()));
        if let Some(head) = begun {
            let before = self.ring.swap(Arc::new(Ring::new(head)));
            // Its followers continue elsewhere.
            before.end();
        }
    }

    /// Ends the feed for all who follow it, although no other order began. Nothing is committed meanwhile.
    pub(super) fn end_feed(&self) {
        let head = self.ring.load().head();
        self.ring.swap(Arc::new(Ring::new(head))).end();
    }

    pub(super) fn meta(&self) -> Arc<Meta> {
        self.meta.load_full()
    }

    /// The order that is followed; 0: none.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Whether it was compared with upstream since the order began.
    pub(super) fn is_level(&self) -> bool {
        self.level.load(Ordering::Acquire)
    }

    pub(super) fn role(&self) -> Role {
        self.meta.load().role
    }

    /// Where the log is.
    pub(super) fn log(&self) -> LogPlace {
        self.meta.load().log
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }
}

fn era(meta: &Meta) -> u64 {
    if meta.log.has_session() { meta.log.era.unsigned_abs() } else { 0 }
}
