//! Importing what is newer in the pack of a peer.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Primary;
use crate::clock;
use crate::gate::{Entry, Refusal, Via};
use crate::key::AccountKey;
use crate::node::PackVerdict;
use crate::store::journal::{CommitError, Outcome, Write};
use crate::store::{StoreError, blocking};

/// A JWT that may be news.
struct PackOffer {
    entry: Arc<Entry>,
    /// Its account has one that is served.
    is_live: bool,
}

impl Primary {
    /// Compares the JWTs of a peer with the stored ones, and stores what is newer: durable when this returns. One verdict for
    /// each, in order.
    pub async fn merge(self: &Arc<Self>, offers: Vec<(AccountKey, Bytes)>) -> Result<Vec<PackVerdict>, CommitError> {
        self.may_commit()?;
        let keys: Vec<_> = offers.iter().map(|(key, _)| *key).collect();
        self.import_before(&keys, Via::Pack).await?;
        let primary = self.clone();
        let weighed = blocking(move || primary.weigh(&offers)).await.map_err(Arc::new)?;
        let writes = weighed.iter().filter_map(|weighed| weighed.as_ref().ok());
        let writes: Vec<_> = writes.map(|offer| Write::Put(offer.entry.clone(), Via::Pack)).collect();
        let mut outcomes = self.journal.commit_all(writes).await.into_iter();
        let mut verdicts = Vec::with_capacity(weighed.len());
        for weighed in weighed {
            verdicts.push(match weighed {
                Err(verdict) => verdict,
                Ok(offer) => match outcomes.next() {
                    Some(Ok(Outcome::Changed { .. })) => PackVerdict::Taken,
                    Some(Ok(_)) => PackVerdict::Respelt,
                    // Before it was deleted, that is: it lives again.
                    Some(Err(CommitError::Refused(Refusal::Deleted { .. }))) if offer.is_live => PackVerdict::Older,
                    Some(Err(CommitError::Refused(refusal))) => judged(refusal),
                    Some(Err(failed)) => return Err(failed),
                    None => return Err(CommitError::Failed(Arc::new(StoreError::Closed))),
                },
            });
        }
        Ok(verdicts)
    }

    /// What to commit, or the verdict if that is known without a commit. Most of a pack is stored here already: the digest
    /// shows it, so the signature is not checked.
    fn weigh(&self, offers: &[(AccountKey, Bytes)]) -> Result<Vec<Result<PackOffer, PackVerdict>>, StoreError> {
        let now = clock::unix_seconds();
        let weigh = |(key, token): &(AccountKey, Bytes)| {
            let digest: [u8; 32] = Sha256::digest(token).into();
            let held = match self.cached(key) {
                Some(stored) => Some(*stored.entry.digest()),
                None => self.served(key)?.map(|stored| *stored.entry.digest()),
            };
            if held == Some(digest) {
                return Ok(Err(PackVerdict::Same));
            }
            let entry = self.gate.admit(token, Some(key), Via::Pack, now).map_err(judged);
            Ok(entry.map(|entry| PackOffer { entry: Arc::new(entry), is_live: held.is_some() }))
        };
        offers.iter().map(weigh).collect()
    }
}

fn judged(refusal: Refusal) -> PackVerdict {
    match refusal {
        Refusal::Older { .. } | Refusal::Replaced => PackVerdict::Older,
        Refusal::Tie(_) => PackVerdict::Tie,
        Refusal::Deleted { .. } => PackVerdict::Deleted,
        refusal if refusal.is_foreign() => PackVerdict::Foreign(refusal),
        other => PackVerdict::Refused(other),
    }
}
