//! Applies what differs at the primary.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{ORPHANS, ResyncError, Run};
use crate::clock;
use crate::feed::wire::{DigestAnswer, Item, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR};
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
            for item in &answer.items {
                let named = || item.key.iter().chain(&item.keys).filter_map(|key| AccountKey::parse(key).ok());
                let keys: Vec<_> =
                    named().filter(|key| asked.as_ref().is_none_or(|asked| asked.contains(key))).collect();
                is_new |= run.apply_one(item, &keys);
                differing.extend(keys.into_iter().filter(|key| asked.is_some() || run.ahead.contains(key)));
            }
            let mut found = run.found.lock();
            found.in_vain = if is_new { 0 } else { found.in_vain + 1 };
            differing
        });
        taken.await.map_err(|_| ResyncError::Outdated)
    }

    /// Returns whether that changed anything here.
    fn apply_one(&self, item: &Item, keys: &[AccountKey]) -> bool {
        let parts = &self.resync.parts;
        let at = self.from.position(item.serial);
        match item.kind.as_str() {
            KIND_ACCOUNT => self.apply_account(item, keys, at).unwrap_or_else(|refusal| {
                parts.env.metrics.refused(Via::Upstream, &refusal);
                if let Some(held_back) = parts.env.refusals.turn(Instant::now()) {
                    tracing::warn!("a JWT of {} is rejected: {refusal}{held_back}", parts.upstream.shown());
                }
                parts.held.mark_stale(keys.iter().copied());
                false
            }),
            KIND_ACTIVATION => match parts.activations.apply(item, at) {
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
            KIND_OPERATOR if item.jwt.is_some() => {
                parts.operators.apply_item(item, Via::Upstream);
                false
            }
            _ => false,
        }
    }

    /// Returns whether that changed anything here.
    fn apply_account(&self, item: &Item, keys: &[AccountKey], at: Position) -> Result<bool, Refusal> {
        let (parts, now) = (&self.resync.parts, clock::unix_seconds());
        if let Some(jwt) = &item.jwt {
            let expected = item.key.as_deref().and_then(|key| AccountKey::parse(key).ok());
            let entry = Arc::new(parts.env.gate.admit(jwt.as_bytes(), expected.as_ref(), Via::Upstream, now)?);
            let key = *entry.key();
            match parts.held.offer(entry, Via::Upstream, Some(at), Some(self.stretch), None) {
                Ok(OfferOutcome::Applied(_)) => {
                    parts.env.metrics.accepted(Via::Upstream);
                    return Ok(true);
                }
                Ok(OfferOutcome::Kept) if self.resync.turns.has_touched(&key) => {}
                // A history that was set back and written to again gives the same serials to other changes.
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
        } else if let Some(request) = &item.request {
            let tombstone = parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
            let is_new = parts.held.apply_delete(&tombstone, Some(at));
            parts.held.is_ahead_of(&tombstone, keys.iter().filter(|key| !self.resync.turns.has_touched(key)));
            return Ok(is_new);
        } else if item.op == "remove" {
            return Ok(parts.held.forget(keys.iter().copied()));
        } else if item.op == "none" {
            keys.iter().filter(|key| !self.resync.turns.has_touched(key)).for_each(|key| parts.held.is_ahead(key));
        } else {
            parts.held.mark_stale(keys.iter().copied());
        }
        Ok(false)
    }
}
