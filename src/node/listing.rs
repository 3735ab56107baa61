//! What others ask of a primary to hold the same JWTs: their sum, and piece by piece which they are.
//!
//! A replica holds what it was asked for, and a primary that still takes in its folder does not know all it has: neither can
//! answer, because what they leave out would be taken for absent.

use std::sync::Arc;

use super::{Ledger, Node};
use crate::clock;
use crate::key::AccountKey;
use crate::store::journal::{Served, ServedKeys};
use crate::store::{StoreError, blocking};

impl Node {
    /// XOR of the SHA-256 of each JWT that is served now; see [`Journal::pack_hash`](crate::store::Journal::pack_hash).
    /// `Ok(None)`: this server does not know all accounts.
    pub async fn pack_hash(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(ledger) = self.complete() else { return Ok(None) };
        ledger.journal().pack_hash(clock::unix_seconds()).await.map(Some)
    }

    /// The next JWTs that are served now, after `after` in the order of accounts' keys; see
    /// [`Journal::served`](crate::store::Journal::served). `Ok(None)`: this server does not know all accounts.
    pub async fn served(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<Served>, StoreError> {
        self.list(move |ledger| ledger.journal().served(after.as_ref(), limit, clock::unix_seconds())).await
    }

    /// The next accounts that are served now, after `after` in the order of their keys; see
    /// [`Journal::served_keys`](crate::store::Journal::served_keys). `Ok(None)`: this server does not know all accounts.
    pub async fn served_keys(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<ServedKeys>, StoreError> {
        self.list(move |ledger| ledger.journal().served_keys(after.as_ref(), limit, clock::unix_seconds())).await
    }

    async fn list<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(ledger) = self.complete().cloned() else { return Ok(None) };
        blocking(move || query(&*ledger)).await.map(Some)
    }

    /// The ledger, if it knows all its accounts.
    fn complete(&self) -> Option<&Arc<dyn Ledger>> {
        self.ledger().filter(|ledger| ledger.is_complete())
    }
}
