//! Applies one change of the feed.

use std::sync::Arc;

use super::Follow;
use crate::clock;
use crate::feed::wire::{UpstreamChange, UpstreamContent};
use crate::gate::{Position, Refusal, Via};
use crate::replica::held::OfferOutcome;

impl Follow {
    pub(super) fn apply(&self, change: &UpstreamChange<'_>, at: Position, stretch: Option<u64>) -> Result<(), Refusal> {
        let (parts, now) = (&self.parts, clock::unix_seconds());
        let accounts = change.accounts.iter();
        match &change.content {
            UpstreamContent::Put { key, jwt: Some(jwt) } => {
                let entry = Arc::new(parts.env.gate.admit(jwt.as_bytes(), key.as_ref(), Via::Feed, now)?);
                let key = *entry.key();
                match parts.held.offer(entry, Via::Feed, Some(at), stretch, None)? {
                    OfferOutcome::Applied(_) => parts.env.metrics.accepted(Via::Feed),
                    OfferOutcome::Kept => {}
                    OfferOutcome::Refetch => {
                        parts.held.mark_stale([key]);
                        parts.pull.refetch(key);
                    }
                }
            }
            // The text of a replaced version is gone. Its successor follows, and until then our copy is not current.
            UpstreamContent::Put { jwt: None, .. } | UpstreamContent::Nothing => {
                parts.held.mark_stale(accounts.copied());
            }
            UpstreamContent::Delete(request) => {
                let tombstone = parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
                parts.held.apply_delete(&tombstone, Some(at));
                parts.held.is_ahead_of(&tombstone, tombstone.keys());
                parts.env.metrics.accepted(Via::Feed);
            }
            UpstreamContent::Removed => _ = parts.held.forget(accounts.copied()),
            UpstreamContent::Operator { jwts, is_linked } if !jwts.is_empty() => {
                parts.operators.apply_linked(jwts, *is_linked, Via::Feed);
            }
            UpstreamContent::Activation { id, jwt } => _ = parts.activations.apply(id, *jwt, at),
            UpstreamContent::Forgotten(id) => parts.activations.drop_expired(id),
            UpstreamContent::Operator { .. } | UpstreamContent::Unknown => {}
        }
        Ok(())
    }
}
