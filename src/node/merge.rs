//! Packs of other resolvers, as the NATS edge brings them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Node, PackVerdict, WriteError};
use crate::gate::{Tombstone, Via};
use crate::key::AccountKey;
use crate::store::StoreError;

impl Node {
    /// Weighs the JWTs that a peer says it holds, and takes in what is newer: durable when this returns. One verdict for
    /// each, in order.
    pub async fn merge(&self, offers: Vec<(AccountKey, Bytes)>) -> Result<Vec<PackVerdict>, WriteError> {
        let merged = self.writable()?.merge(offers).await;
        let verdicts = merged.map_err(|error| self.failed(error, Via::Pack))?;
        for verdict in &verdicts {
            match verdict {
                PackVerdict::Taken => self.metrics().accepted(Via::Pack),
                PackVerdict::Foreign(refusal) | PackVerdict::Refused(refusal) => {
                    self.metrics().refused(Via::Pack, refusal);
                }
                PackVerdict::Same
                | PackVerdict::Respelt
                | PackVerdict::Older
                | PackVerdict::Tie
                | PackVerdict::Deleted => {}
            }
        }
        Ok(verdicts)
    }

    /// The request that deleted an account, while it is deleted.
    pub async fn tombstone(&self, key: &AccountKey) -> Result<Option<Arc<Tombstone>>, StoreError> {
        let key = *key;
        self.read(move |ledger| ledger.journal().tombstone(&key)).await
    }

    /// Whether every account that a request names is deleted now: to send the request again harms none of them.
    pub async fn are_all_deleted(&self, request: &Arc<Tombstone>) -> Result<bool, StoreError> {
        let request = request.clone();
        self.read(move |ledger| ledger.journal().are_all_deleted(request.keys())).await
    }
}
