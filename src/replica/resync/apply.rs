//! Applies what differs at the primary.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{ORPHANS, ResyncError, Run};
use crate::clock;
use crate::feed::wire::{DigestAnswer, UpstreamChange, UpstreamContent};
use crate::gate::{Position, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::activations::ActivationOutcome;
use crate::replica::held::OfferOutcome;

impl Run {
    /// Applies a piece. `asked`: the accounts that it is about, or `None` for all. Returns those that differ; for all,
    /// those of them that were newer here.
    pub(super) async fn apply(
        &self,
        answer: DigestAnswer,
        asked: Option<HashSet<AccountKey>>,
    ) -> Result<HashSet<AccountKey>, ResyncError> {
        let run = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let (mut differing, mut is_new) = (HashSet::new(), false);
            for change in answer.items.iter().map(UpstreamChange::from) {
                let is_asked = |key: &&AccountKey| asked.as_ref().is_none_or(|asked| asked.contains(*key));
                let keys: Vec<_> = change.accounts.iter().filter(is_asked).copied().collect();
                is_new |= run.apply_one(&change, &keys);
                differing.extend(keys.into_iter().filter(|key| asked.is_some() || run.ahead.contains(key)));
            }
            let mut found = run.found.lock();
            found.in_vain = if is_new { 0 } else { found.in_vain + 1 };
            differing
        });
        taken.await.map_err(|_| ResyncError::Outdated)
    }

    /// Returns whether that changed anything here.
    fn apply_one(&self, change: &UpstreamChange<'_>, keys: &[AccountKey]) -> bool {
        let parts = &self.resync.parts;
        let at = self.from.position(change.serial);
        match &change.content {
            UpstreamContent::Activation { id, jwt } => match parts.activations.apply(id, *jwt, at) {
                ActivationOutcome::Stored => true,
                ActivationOutcome::NotStored => false,
                ActivationOutcome::Orphan(id) => {
                    let mut found = self.found.lock();
                    if found.orphans.len() < ORPHANS {
                        found.orphans.push(id);
                    }
                    false
                }
            },
            UpstreamContent::Forgotten(id) => {
                parts.activations.drop_expired(id);
                false
            }
            UpstreamContent::Operator { jwts, is_linked } => {
                if !jwts.is_empty() {
                    parts.operators.apply_linked(jwts, *is_linked, Via::Upstream);
                }
                false
            }
            content => self.apply_account(content, keys, at).unwrap_or_else(|refusal| {
                parts.env.metrics.refused(Via::Upstream, &refusal);
                if let Some(held_back) = parts.env.refusals.turn(Instant::now()) {
                    tracing::warn!("what {} holds is rejected: {refusal}{held_back}", parts.upstream.shown());
                }
                parts.held.mark_stale(keys.iter().copied());
                false
            }),
        }
    }

    /// Returns whether that changed anything here.
    fn apply_account(&self, content: &UpstreamContent<'_>, keys: &[AccountKey], at: Position) -> Result<bool, Refusal> {
        let (parts, now) = (&self.resync.parts, clock::unix_seconds());
        let untouched = || keys.iter().filter(|key| !self.resync.turns.has_touched(key));
        match content {
            UpstreamContent::Put { key, jwt: Some(jwt) } => {
                let entry = Arc::new(parts.env.gate.admit(jwt.as_bytes(), key.as_ref(), Via::Upstream, now)?);
                let key = *entry.key();
                match parts.held.offer(entry, Via::Upstream, Some(at), Some(self.stretch), None) {
                    Ok(OfferOutcome::Applied(_)) => {
                        parts.env.metrics.accepted(Via::Upstream);
                        return Ok(true);
                    }
                    Ok(OfferOutcome::Kept) if self.resync.turns.has_touched(&key) => {}
                    // A history that was cut back and written to again gives the same serials to other changes.
                    Ok(OfferOutcome::Kept) => parts.held.is_ahead(&key),
                    Ok(OfferOutcome::Refetch) => {
                        parts.held.mark_stale([key]);
                        parts.pull.refetch(key);
                    }
                    Err(refusal) if refusal.is_conflict() => {
                        if !self.resync.turns.has_touched(&key) {
                            parts.held.is_ahead(&key);
                        }
                    }
                    Err(refusal) => return Err(refusal),
                }
            }
            UpstreamContent::Put { jwt: None, .. } => parts.held.mark_stale(keys.iter().copied()),
            UpstreamContent::Delete(request) => {
                let tombstone = parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
                let is_new = parts.held.apply_delete(&tombstone, Some(at));
                parts.held.is_ahead_of(&tombstone, untouched());
                return Ok(is_new);
            }
            UpstreamContent::Removed => return Ok(parts.held.forget(keys.iter().copied())),
            UpstreamContent::Nothing => untouched().for_each(|key| parts.held.is_ahead(key)),
            _ => {}
        }
        Ok(false)
    }
}
