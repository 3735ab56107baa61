//! Packs of other resolvers, as the NATS edge brings them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Node, WriteError};
use crate::gate::{Tombstone, Via};
use crate::key::AccountKey;
use crate::primary::Verdict;
use crate::store::StoreError;

impl Node {
    /// Weighs the JWTs that a peer says it holds, and takes in what is newer: durable when this returns. One verdict for
    /// each, in order.
    pub async fn merge(&self, offers: Vec<(AccountKey, Bytes)>) -> Result<Vec<Verdict>, WriteError> {
        let merged = self.writable()?.merge(offers).await;
        if let Err(error) = &merged {
            self.count(Via::Pack, Err(error));
        }
        let verdicts = merged?;
        for verdict in &verdicts {
            match verdict {
                Verdict::Taken => self.metrics().accepted(Via::Pack),
                Verdict::Foreign(refusal) | Verdict::Refused(refusal) => self.metrics().refused(Via::Pack, refusal),
                Verdict::Same | Verdict::Respelt | Verdict::Older | Verdict::Tie | Verdict::Deleted => {}
            }
        }
        Ok(verdicts)
    }

    /// The request that deleted an account, while it is deleted.
    pub async fn tombstone(&self, key: &AccountKey) -> Result<Option<Arc<Tombstone>>, StoreError> {
        let (primary, key) = (self.primary()?.clone(), *key);
        let read = tokio::task::spawn_blocking(move || primary.journal().tombstone(&key));
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Whether every account that a request names is deleted now: to send the request again harms none of them.
    pub async fn are_all_deleted(&self, request: &Arc<Tombstone>) -> Result<bool, StoreError> {
        let (primary, request) = (self.primary()?.clone(), request.clone());
        let read = tokio::task::spawn_blocking(move || primary.journal().are_all_deleted(request.keys()));
        read.await.map_err(|_| StoreError::Closed)?
    }
}
