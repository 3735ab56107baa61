//! Applies one change of the feed.

use std::sync::Arc;

use super::Follow;
use crate::clock;
use crate::feed::wire::{Item, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR};
use crate::gate::{Position, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::held::OfferOutcome;

impl Follow {
    pub(super) fn apply(&self, item: &Item, at: Position, stretch: Option<u64>) -> Result<(), Refusal> {
        match (item.kind.as_str(), &item.jwt) {
            (KIND_ACCOUNT, _) => {}
            (KIND_ACTIVATION, _) => {
                self.parts.activations.apply(item, at);
                return Ok(());
            }
            (KIND_OPERATOR, Some(_)) => {
                self.parts.operators.apply_item(item, Via::Feed);
                return Ok(());
            }
            _ => return Ok(()),
        }
        let now = clock::unix_seconds();
        if let Some(jwt) = &item.jwt {
            let expected = item.key.as_deref().and_then(|key| AccountKey::parse(key).ok());
            let entry = Arc::new(self.parts.env.gate.admit(jwt.as_bytes(), expected.as_ref(), Via::Feed, now)?);
            let key = *entry.key();
            match self.parts.held.offer(entry, Via::Feed, Some(at), stretch, None)? {
                OfferOutcome::Applied(_) => self.parts.env.metrics.accepted(Via::Feed),
                OfferOutcome::Kept => {}
                OfferOutcome::Refetch => {
                    self.parts.held.mark_stale([key]);
                    self.parts.pull.refetch(key);
                }
            }
        } else if let Some(request) = &item.request {
            let tombstone = self.parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
            self.parts.held.apply_delete(&tombstone, Some(at));
            self.parts.held.is_ahead_of(&tombstone, tombstone.keys());
            self.parts.env.metrics.accepted(Via::Feed);
        } else if item.op == "remove" {
            self.parts.held.forget(named(item));
        } else {
            // The text of a replaced version is gone. Its successor follows, and until then our copy is not current.
            self.parts.held.mark_stale(named(item));
        }
        Ok(())
    }
}

/// The accounts that a change names.
pub(super) fn named(item: &Item) -> impl Iterator<Item = AccountKey> {
    item.key.iter().chain(&item.keys).filter_map(|key| AccountKey::parse(key).ok())
}
