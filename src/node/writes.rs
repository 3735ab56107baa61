//! Changes: who may make them, and what is counted and logged of them.

use std::sync::Arc;

use super::{Node, Role};
use crate::gate::{Refusal, Tombstone, Via};
use crate::key::AccountKey;
use crate::primary::{Primary, Submitted};
use crate::store::journal::CommitError;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This server is a replica; the text names its primary.
    #[error("this server is a read-only replica; its primary is {0}")]
    ReadOnly(String),
    /// The accounts are those of a folder that is only read.
    #[error("this server serves a read-only folder; change the files there")]
    Folder,
    /// The gate or the journal said no.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Node {
    /// Takes in an account JWT: durable when this returns.
    pub async fn submit(&self, token: &[u8], expected: Option<&AccountKey>, via: Via) -> Result<Submitted, WriteError> {
        self.submitted(self.writable()?.submit(token, expected, via).await, via)
    }

    /// Counts and logs what a submission came to.
    pub(super) fn submitted(&self, result: Result<Submitted, CommitError>, via: Via) -> Result<Submitted, WriteError> {
        self.count(via, &result);
        let submitted = result?;
        if submitted.changed {
            let entry = &submitted.entry;
            tracing::info!(account = %entry.key(), iat = entry.iat(), via = via.label(), "updated JWT for account - {}", entry.key());
        }
        Ok(submitted)
    }

    /// Takes in a delete request: durable when this returns. The flag says whether anything changed.
    pub async fn delete(
        &self,
        request: &[u8],
        expected: Option<&AccountKey>,
        via: Via,
    ) -> Result<(Arc<Tombstone>, bool), WriteError> {
        let result = self.writable()?.delete(request, expected, via).await;
        self.count(via, &result);
        let (tombstone, changed) = result?;
        if changed {
            for key in tombstone.keys() {
                tracing::info!(account = %key, via = via.label(), "deleted account {key}");
            }
        }
        Ok((tombstone, changed))
    }

    pub(super) fn count<T>(&self, via: Via, result: &Result<T, CommitError>) {
        match result {
            Ok(_) => self.metrics.accepted(via),
            Err(CommitError::Refused(refusal)) => self.metrics.refused(via, refusal),
            Err(CommitError::Failed(_)) => self.metrics.commit_failures.inc(),
        }
    }

    /// The primary that takes changes here; on a replica the error that says where to send them.
    pub fn writable(&self) -> Result<&Arc<Primary>, WriteError> {
        match &self.role {
            Role::Primary(primary) if primary.is_read_only() => Err(WriteError::Folder),
            Role::Primary(primary) => Ok(primary),
            Role::Replica(replica) => Err(WriteError::ReadOnly(replica.primary().to_owned())),
        }
    }

    /// Whether changes can be sent here.
    pub fn is_writable(&self) -> bool {
        self.writable().is_ok()
    }

    /// Counts and logs a refusal of something that came another way than by [`Node::submit`].
    pub fn refused(&self, via: Via, key: &AccountKey, refusal: &Refusal) {
        self.metrics.refused(via, refusal);
        if refusal.is_conflict() {
            // What comes late or twice is no attack.
            tracing::debug!(account = %key, via = via.label(), "JWT for {key} is not taken: {refusal}");
        } else {
            tracing::warn!(account = %key, via = via.label(), "JWT for {key} is refused: {refusal}");
        }
    }
}
