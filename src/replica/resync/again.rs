//! Compares again when that can complete the set of keys.
//!
//! A key whose JWT the gate rejects is not known here, so the set of keys is incomplete. The operator JWT in force decides what is
//! rejected. Once another one is, the feed does not repeat what came before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Resync, ResyncError};
use crate::store::journal::upstream::UpstreamWrite;

impl Resync {
    /// Whether a comparison is due that the feed does not begin.
    pub(super) fn must_compare(&self) -> bool {
        let (held, stand) = (&self.parts.held, self.parts.held.store.stand());
        if self.is_under_way() || stand.position.is_none() || !held.freshness.is_connected() {
            return false;
        }
        if stand.is_level {
            !stand.is_whole && *self.judged_by.lock() != self.in_force()
        } else {
            // One was due, and the feed began another one at the same time.
            held.freshness.are_digests_there()
        }
    }

    /// Begins one, unless the feed does.
    pub(super) async fn compare_again(self: &Arc<Self>) -> Result<(), ResyncError> {
        let begun = self.begun.load(Ordering::Acquire);
        let store = &self.parts.held.store;
        if store.stand().is_level {
            tracing::info!(
                "comparing with {} again, because not every key that it has is known here",
                self.parts.upstream.shown()
            );
            store.write(UpstreamWrite::CompareAgain).await?;
        }
        if let Some(position) = store.position() {
            self.begin_after(begun, position);
        }
        Ok(())
    }
}
