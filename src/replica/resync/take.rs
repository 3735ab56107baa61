//! Passes what differs at upstream through the gate, and writes it to the store.

use std::sync::Arc;

use super::{Resync, ResyncError};
use crate::clock;
use crate::feed::Subject;
use crate::feed::wire::{DigestAnswer, Item, UpstreamChange, UpstreamContent};
use crate::gate::{Position, Refusal, Via};
use crate::key::AccountKey;
use crate::store::journal::upstream::{Compared, ComparedContent, UpstreamWrite};
use crate::store::journal::{CommitError, Outcome};

/// Threads that check the signatures of one page.
const MOST_THREADS: usize = 4;

impl Resync {
    /// What the items of a page say, after the gate. Several threads check them.
    pub(super) async fn read_all(
        self: &Arc<Self>,
        answer: DigestAnswer,
        as_of: Position,
    ) -> Result<Vec<Compared>, ResyncError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let mut items = answer.items;
        let size = items.len().div_ceil(threads).max(1);
        let mut parts = Vec::with_capacity(threads);
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(size));
            let (part, resync) = (std::mem::replace(&mut items, rest), self.clone());
            parts.push(tokio::task::spawn_blocking(move || {
                let found = part.iter().flat_map(|item| resync.read(item));
                found.map(|(serial, content)| Compared { as_of, serial, content }).collect::<Vec<_>>()
            }));
        }
        let mut differences = Vec::new();
        for part in parts {
            differences.extend(part.await.map_err(|_| ResyncError::Outdated)?);
        }
        Ok(differences)
    }

    /// Writes differences.
    pub(super) async fn write(self: &Arc<Self>, differences: Vec<Compared>) -> Result<(), ResyncError> {
        let accounts: Vec<_> = differences.iter().map(|difference| account_of(&difference.content)).collect();
        let writes = differences.into_iter().map(UpstreamWrite::Compared).collect();
        let outcomes = self.parts.held.store.write_all(writes).await;
        for (account, outcome) in accounts.into_iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Refetch) => account.into_iter().for_each(|key| self.parts.pull.refetch(key)),
                Ok(Outcome::Changed { .. }) if account.is_some() => self.parts.env.metrics.accepted(Via::Upstream),
                Ok(_) => {}
                Err(CommitError::Refused(refusal)) if refusal.is_conflict() => {}
                Err(CommitError::Refused(refusal)) => self.refused(&refusal),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What an item says, after the gate, with its serial.
    fn read(&self, item: &Item) -> Vec<(u64, ComparedContent)> {
        let (parts, now) = (&self.parts, clock::unix_seconds());
        let change = UpstreamChange::from(item);
        let accounts = change.accounts;
        let content = match &change.content {
            _ if item.op == "none" => item.key.as_deref().and_then(Subject::parse).map(ComparedContent::Nothing),
            UpstreamContent::Put { key, jwt: Some(jwt) } => {
                Some(match parts.env.gate.admit(jwt.as_bytes(), key.as_ref(), Via::Upstream, now) {
                    Ok(entry) => ComparedContent::Put(Arc::new(entry)),
                    Err(refusal) => self.rejected(&refusal, accounts),
                })
            }
            UpstreamContent::Put { jwt: None, .. } => Some(ComparedContent::Rejected(accounts)),
            UpstreamContent::Delete(request) => {
                Some(match parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now) {
                    Ok(tombstone) => ComparedContent::Delete(Arc::new(tombstone), accounts),
                    Err(refusal) => self.rejected(&refusal, accounts),
                })
            }
            UpstreamContent::Removed { identity, digest } => match (&accounts[..], *digest) {
                ([key], Some(digest)) => Some(ComparedContent::Removed { key: *key, identity: *identity, digest }),
                _ => Some(ComparedContent::Rejected(accounts)),
            },
            UpstreamContent::Activation { id, jwt: Some(jwt) } => parts.activations.compared(id, jwt),
            UpstreamContent::Forgotten(id) => {
                parts.activations.forget(id);
                Some(ComparedContent::Forgotten(*id))
            }
            UpstreamContent::Operator { jwts, is_linked } => match jwts.last() {
                Some(last) => {
                    parts.operators.apply_linked(jwts, *is_linked, Via::Upstream);
                    let item = Arc::new(item.clone());
                    let subject = parts.operators.subject_of(last);
                    subject.map(|(key, version)| ComparedContent::Operator(key, version, item))
                }
                None => None,
            },
            UpstreamContent::Nothing | UpstreamContent::Activation { .. } | UpstreamContent::Unknown => None,
        };
        content.into_iter().map(|content| (change.serial, content)).collect()
    }

    fn rejected(&self, refusal: &Refusal, accounts: Vec<AccountKey>) -> ComparedContent {
        self.refused(refusal);
        ComparedContent::Rejected(accounts)
    }

    fn refused(&self, refusal: &Refusal) {
        self.parts.env.refused(Via::Upstream, refusal, format_args!("what {} holds", self.parts.upstream.shown()));
    }
}

fn account_of(content: &ComparedContent) -> Option<AccountKey> {
    if let ComparedContent::Put(entry) = content { Some(*entry.key()) } else { None }
}
