//! The state of an open journal, for its readers: where its log is, and the latest changes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::schema::{LogPlace, Meta, Role};
use crate::feed::{Head, Ring};

/// The state row after the last commit, and the latest changes of the order.
#[derive(Debug)]
pub(super) struct JournalState {
    meta: ArcSwap<Meta>,
    ring: ArcSwap<Ring>,
}

impl JournalState {
    pub(super) fn new(meta: &Meta) -> Self {
        Self { meta: ArcSwap::from_pointee(meta.clone()), ring: ArcSwap::from_pointee(Ring::new(meta.head)) }
    }

    /// Notes what was committed. `begun`: another order began there.
    pub(super) fn set(&self, meta: &Meta, begun: Option<Head>) {
        self.meta.store(Arc::new(meta.clone()));
        if let Some(head) = begun {
            let before = self.ring.swap(Arc::new(Ring::new(head)));
            // Its followers continue elsewhere.
            before.end();
        }
    }

    pub(super) fn meta(&self) -> Arc<Meta> {
        self.meta.load_full()
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
