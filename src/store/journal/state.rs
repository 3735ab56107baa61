//! The state of an open journal, for its readers: where its log is, and the latest changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::schema::{LogPlace, Meta, Role};
use super::tail::Tail;
use crate::feed::{Head, Ring};

/// The state row after the last commit, and the latest changes of the order.
#[derive(Debug)]
pub(super) struct JournalState {
    meta: ArcSwap<Meta>,
    ring: ArcSwap<Ring>,
    /// What every read of a replica asks: the order that is followed, 0 for none, and whether it is level.
    era: AtomicU64,
    level: AtomicBool,
    /// The weight of all texts of a cache.
    texts: AtomicU64,
    /// Its bound; `None`: there is none.
    bound: Option<u64>,
}

impl JournalState {
    pub(super) fn new(meta: &Meta, tail: &Tail) -> Self {
        Self {
            texts: AtomicU64::new(tail.texts()),
            bound: tail.bound(),
            meta: ArcSwap::from_pointee(meta.clone()),
            ring: ArcSwap::from_pointee(Ring::new(meta.head)),
            era: AtomicU64::new(meta.log.followed()),
            level: AtomicBool::new(meta.is_level),
        }
    }

    /// Notes what was committed. `begun`: another order began there.
    pub(super) fn set(&self, meta: &Meta, begun: Option<Head>) {
        self.level.store(meta.is_level, Ordering::Release);
        self.era.store(meta.log.followed(), Ordering::Release);
        self.meta.store(Arc::new(meta.clone()));
        if let Some(head) = begun {
            let before = self.ring.swap(Arc::new(Ring::new(head)));
            // Its followers continue elsewhere.
            before.end();
        }
    }

    /// Notes what the texts of a cache weigh.
    pub(super) fn set_texts(&self, bytes: u64) {
        self.texts.store(bytes, Ordering::Release);
    }

    /// What the texts of a cache weigh, and may weigh. `None`: it is no cache.
    pub(super) fn texts(&self) -> Option<(u64, u64)> {
        self.bound.map(|bound| (self.texts.load(Ordering::Acquire), bound))
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
