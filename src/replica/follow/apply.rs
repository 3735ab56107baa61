//! One change of the feed, applied to what is held.

use std::sync::Arc;

use super::Follow;
use crate::clock;
use crate::feed::wire::{UpstreamChange, UpstreamContent};
use crate::gate::{Position, Refusal, Via};
use crate::replica::held::Offer;

impl Follow {
    pub(super) fn take(&self, change: &UpstreamChange<'_>, at: Position, stretch: Option<u64>) -> Result<(), Refusal> {
        let (parts, now) = (&self.parts, clock::unix_seconds());
        let accounts = change.accounts.iter();
        match &change.content {
            UpstreamContent::Put { key, jwt: Some(jwt) } => {
                let entry = Arc::new(parts.env.gate.admit(jwt.as_bytes(), key.as_ref(), Via::Feed, now)?);
                let key = *entry.key();
                match parts.held.offer(entry, Via::Feed, Some(at), stretch, None)? {
                    Offer::Taken(_) => parts.env.metrics.accepted(Via::Feed),
                    Offer::Kept => {}
                    Offer::Refetch => {
                        parts.held.doubt([key]);
                        parts.pull.refetch(key);
                    }
                }
            }
            // The version that replaced it follows; until then, ours is not current.
            UpstreamContent::Put { jwt: None, .. } | UpstreamContent::Nothing => parts.held.doubt(accounts.copied()),
            UpstreamContent::Delete(request) => {
                let tombstone = parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
                parts.held.bury(&tombstone, Some(at));
                parts.held.is_ahead_of(&tombstone, tombstone.keys());
                parts.env.metrics.accepted(Via::Feed);
            }
            UpstreamContent::Removed => _ = parts.held.forget(accounts.copied()),
            UpstreamContent::Operator { jwts, is_linked } if !jwts.is_empty() => {
                parts.operators.take_linked(jwts, *is_linked, Via::Feed);
            }
            UpstreamContent::Activation { id, jwt } => _ = parts.activations.take(id, *jwt, at),
            UpstreamContent::Forgotten(id) => parts.activations.drop_expired(id),
            UpstreamContent::Operator { .. } | UpstreamContent::Unknown => {}
        }
        Ok(())
    }
}
