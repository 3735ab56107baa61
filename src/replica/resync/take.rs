//! Taking in what stands at the primary and differs from what is here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Failed, ORPHANS, Resync};
use crate::clock;
use crate::feed::wire::{DigestAnswer, Item, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR};
use crate::gate::{Position, Refusal, Tombstone, Via};
use crate::key::AccountKey;
use crate::replica::mirror::Kept;
use crate::replica::{Offer, Replica, memory};
use crate::store::snapshot::Seen;

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
                replica.doubt(keys.iter().copied());
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
            match replica.offer(entry, Via::Upstream, Some(at), Some(self.stretch), None) {
                Ok(Offer::Taken(_)) => {
                    replica.env.metrics.accepted(Via::Upstream);
                    return Ok(true);
                }
                Ok(Offer::Kept) if replica.comparisons.has_touched(&key) => {}
                // A history that was cut back and written to again gives the same serials to other changes.
                Ok(Offer::Kept) => replica.is_ahead(&key),
                Ok(Offer::Refetch) => {
                    replica.doubt([key]);
                    replica.refetch(key);
                }
                Err(refusal) if refusal.is_conflict() => {
                    if !replica.comparisons.has_touched(&key) {
                        replica.is_ahead(&key);
                    }
                }
                Err(refusal) => return Err(refusal),
            }
        } else if let Some(request) = &item.request {
            let tombstone = replica.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
            let is_new = replica.bury(&tombstone, Some(at));
            replica.is_ahead_of(&tombstone, keys.iter().filter(|key| !replica.comparisons.has_touched(key)));
            return Ok(is_new);
        } else if item.op == "remove" {
            return Ok(replica.forget(keys.iter().copied()));
        } else if item.op == "none" {
            keys.iter().filter(|key| !replica.comparisons.has_touched(key)).for_each(|key| replica.is_ahead(key));
        } else {
            replica.doubt(keys.iter().copied());
        }
        Ok(false)
    }
}

impl Replica {
    /// A deletion that was just taken in is all that the primary has of these accounts: what is later here stays.
    pub(in crate::replica) fn is_ahead_of<'k>(
        &self,
        tombstone: &Tombstone,
        keys: impl IntoIterator<Item = &'k AccountKey>,
    ) {
        let is_later = |seen: &Seen| seen.is_live() || seen.held.deleted() != Some(&tombstone.deletion());
        for key in keys {
            if self.memory.with(key, |seen| is_later(seen)) {
                self.is_ahead(key);
            }
        }
    }

    /// The primary holds something older of an account, or nothing: what is here stays.
    pub(in crate::replica) fn is_ahead(&self, key: &AccountKey) {
        if self.notice_ahead(key) {
            self.check_soon(key);
            self.epochs.bump(key);
        }
    }

    /// The same, where the primary was just asked. Returns whether there is something here.
    pub(in crate::replica) fn notice_ahead(&self, key: &AccountKey) -> bool {
        let is_ahead = self.memory.with(key, |seen| {
            seen.ahead = memory::leaf(key, seen).is_some();
            seen.ahead
        });
        if is_ahead {
            // What is later than the primary's is not behind it.
            self.positions.confirm(key);
        }
        is_ahead
    }

    /// The primary holds the same of an account.
    pub(in crate::replica) fn is_level(&self, key: &AccountKey) {
        self.memory.with(key, |seen| {
            seen.ahead = false;
            seen.give_heard(&self.env.gate.standing());
        });
    }

    /// Says how much is newer here than at the primary.
    pub(super) fn report_ahead(&self) {
        let count = self.memory.ahead();
        if count > 0 {
            tracing::warn!(
                "{count} accounts are newer here than at the primary {}, which was restored from a backup or replaced: they \
                 go on being served here; hand them back with `nats-account-server restore --from URL-OF-THIS-SERVER`",
                self.primary()
            );
        }
    }
}
