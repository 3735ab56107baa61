//! Taking in what stands at the primary and differs from what is here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Failed, ORPHANS, Resync};
use crate::clock;
use crate::feed::wire::{DigestAnswer, Item, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR};
use crate::gate::{Position, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::held::Offer;
use crate::replica::mirror::Kept;

impl Resync {
    /// Takes in a piece. `asked`: the accounts it is about, if not about all. Returns those that differ; where it is about all,
    /// of those that were newer here.
    pub(super) async fn take(
        &self,
        answer: DigestAnswer,
        asked: Option<HashSet<AccountKey>>,
    ) -> Result<HashSet<AccountKey>, Failed> {
        let resync = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let (mut differing, mut is_new) = (HashSet::new(), false);
            for item in &answer.items {
                let named = || item.key.iter().chain(&item.keys).filter_map(|key| AccountKey::parse(key).ok());
                let keys: Vec<_> =
                    named().filter(|key| asked.as_ref().is_none_or(|asked| asked.contains(key))).collect();
                is_new |= resync.take_one(item, &keys);
                differing.extend(keys.into_iter().filter(|key| asked.is_some() || resync.ahead.contains(key)));
            }
            let mut found = resync.found.lock();
            found.in_vain = if is_new { 0 } else { found.in_vain + 1 };
            differing
        });
        taken.await.map_err(|_| Failed::Outdated)
    }

    /// Returns whether that changed anything here.
    fn take_one(&self, item: &Item, keys: &[AccountKey]) -> bool {
        let replica = &self.replica;
        let at = self.from.position(item.serial);
        match item.kind.as_str() {
            KIND_ACCOUNT => self.take_account(item, keys, at).unwrap_or_else(|refusal| {
                replica.env.metrics.refused(Via::Upstream, &refusal);
                if let Some(held_back) = replica.refusals.turn(Instant::now()) {
                    tracing::warn!("what {} holds is rejected: {refusal}{held_back}", replica.primary());
                }
                replica.held.doubt(keys.iter().copied());
                false
            }),
            KIND_ACTIVATION => match replica.take_activation(item, at) {
                Kept::Here => true,
                Kept::Not => false,
                Kept::Orphan(id) => {
                    let mut found = self.found.lock();
                    if found.orphans.len() < ORPHANS {
                        found.orphans.push(id);
                    }
                    false
                }
            },
            KIND_OPERATOR if item.jwt.is_some() => {
                replica.take_operator_item(item, Via::Upstream);
                false
            }
            _ => false,
        }
    }

    /// Returns whether that changed anything here.
    fn take_account(&self, item: &Item, keys: &[AccountKey], at: Position) -> Result<bool, Refusal> {
        let (replica, now) = (&self.replica, clock::unix_seconds());
        if let Some(jwt) = &item.jwt {
            let expected = item.key.as_deref().and_then(|key| AccountKey::parse(key).ok());
            let entry = Arc::new(replica.env.gate.admit(jwt.as_bytes(), expected.as_ref(), Via::Upstream, now)?);
            let key = *entry.key();
            match replica.held.offer(entry, Via::Upstream, Some(at), Some(self.stretch), None) {
                Ok(Offer::Taken(_)) => {
                    replica.env.metrics.accepted(Via::Upstream);
                    return Ok(true);
                }
                Ok(Offer::Kept) if replica.comparisons.has_touched(&key) => {}
                // A history that was cut back and written to again gives the same serials to other changes.
                Ok(Offer::Kept) => replica.held.is_ahead(&key),
                Ok(Offer::Refetch) => {
                    replica.held.doubt([key]);
                    replica.refetch(key);
                }
                Err(refusal) if refusal.is_conflict() => {
                    if !replica.comparisons.has_touched(&key) {
                        replica.held.is_ahead(&key);
                    }
                }
                Err(refusal) => return Err(refusal),
            }
        } else if let Some(request) = &item.request {
            let tombstone = replica.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
            let is_new = replica.held.bury(&tombstone, Some(at));
            replica.held.is_ahead_of(&tombstone, keys.iter().filter(|key| !replica.comparisons.has_touched(key)));
            return Ok(is_new);
        } else if item.op == "remove" {
            return Ok(replica.held.forget(keys.iter().copied()));
        } else if item.op == "none" {
            keys.iter().filter(|key| !replica.comparisons.has_touched(key)).for_each(|key| replica.held.is_ahead(key));
        } else {
            replica.held.doubt(keys.iter().copied());
        }
        Ok(false)
    }
}
