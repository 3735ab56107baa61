//! Passes a change of the feed through the gate.

use std::sync::Arc;

use super::Follow;
use crate::clock;
use crate::feed::wire::{Item, UpstreamChange, UpstreamContent};
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;
use crate::store::journal::upstream::FedContent;

impl Follow {
    /// What a change does, after the gate.
    pub(super) fn read(&self, item: &Item) -> FedContent {
        let (parts, now) = (&self.parts, clock::unix_seconds());
        let change = UpstreamChange::from(item);
        match &change.content {
            UpstreamContent::Put { key, jwt: Some(jwt) } => {
                match parts.env.gate.admit(jwt.as_bytes(), key.as_ref(), Via::Feed, now) {
                    Ok(entry) => {
                        parts.env.metrics.accepted(Via::Feed);
                        FedContent::Put(Arc::new(entry))
                    }
                    Err(refusal) => self.rejected(item.serial, &refusal, change.accounts),
                }
            }
            UpstreamContent::Put { jwt: None, .. } | UpstreamContent::Nothing => match change.accounts[..] {
                [key] => FedContent::Superseded(key),
                _ => FedContent::Rejected(change.accounts),
            },
            UpstreamContent::Delete(request) => match parts.env.gate.admit_delete(request.as_bytes(), Via::Feed, now) {
                Ok(tombstone) => {
                    parts.env.metrics.accepted(Via::Feed);
                    FedContent::Delete(Arc::new(tombstone))
                }
                Err(refusal) => self.rejected(item.serial, &refusal, change.accounts),
            },
            UpstreamContent::Removed { identity, .. } => match change.accounts[..] {
                [key] => FedContent::Removed(key, *identity),
                _ => FedContent::Rejected(change.accounts),
            },
            UpstreamContent::Operator { jwts, is_linked } => match jwts.last() {
                Some(last) => {
                    parts.operators.apply_linked(jwts, *is_linked, Via::Feed);
                    let subject = parts.operators.subject_of(last);
                    subject.map_or(FedContent::Unknown, |(key, version)| FedContent::Operator(key, version))
                }
                None => FedContent::Unknown,
            },
            UpstreamContent::Activation { id, jwt } => parts.activations.fed(id, *jwt),
            UpstreamContent::Forgotten(id) => {
                parts.activations.forget(id);
                FedContent::Forgotten(*id)
            }
            UpstreamContent::Unknown => FedContent::Unknown,
        }
    }

    fn rejected(&self, serial: u64, refusal: &Refusal, accounts: Vec<AccountKey>) -> FedContent {
        self.refused(serial, refusal);
        FedContent::Rejected(accounts)
    }
}
