//! Changes, as the edges ask for them.

use std::sync::Arc;

use super::{Node, Role};
use crate::gate::{Entry, Tombstone, Via};
use crate::key::AccountKey;
use crate::primary::{Primary, Submitted};
use crate::store::journal::{CommitError, Committing};

/// What a deletion does not do, for those who ask for one. nats-servers with a full or a cache resolver that hear of it
/// cut clients off at once.
pub const CUTTING_OFF: &str = "nats-servers with a URL or memory resolver keep an account that they have loaded until \
                               they get a JWT with \"conn\": 0 that the operator signed";

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

impl WriteError {
    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`](crate::store::StoreError::for_clients).
    pub fn for_clients(&self) -> String {
        match self {
            Self::ReadOnly(_) | Self::Folder => self.to_string(),
            Self::Commit(error) => error.for_clients(),
        }
    }
}

/// An account JWT that is about to be committed.
#[derive(Debug)]
pub struct Submitting {
    entry: Arc<Entry>,
    via: Via,
    committing: Committing,
}

impl Submitting {
    /// Waits until it is durable, refused, or has failed.
    pub async fn outcome(self, node: &Node) -> Result<Submitted, WriteError> {
        let Self { entry, via, committing } = self;
        node.submitted(node.writable()?.submitted(entry, committing).await, via)
    }
}

impl Node {
    /// Takes in an account JWT: durable when this returns.
    pub async fn submit(&self, token: &[u8], expected: Option<&AccountKey>, via: Via) -> Result<Submitted, WriteError> {
        let entry = self.admit(token, expected, via)?;
        self.enqueue(entry, via).await?.outcome(self).await
    }

    /// Passes an account JWT through the gate, the first step of [`Node::submit`]. Takes about 60 µs of the caller's thread.
    pub fn admit(&self, token: &[u8], expected: Option<&AccountKey>, via: Via) -> Result<Arc<Entry>, WriteError> {
        let admitted = self.writable()?.admit(token, expected, via);
        if let Err(error) = &admitted {
            self.count(via, Err(error));
        }
        Ok(admitted?)
    }

    /// Gives an admitted JWT its place in the order of changes, the second step of [`Node::submit`]: those that are called
    /// one after another are committed in this order.
    pub async fn enqueue(&self, entry: Arc<Entry>, via: Via) -> Result<Submitting, WriteError> {
        let committing = self.writable()?.enqueue(entry.clone(), via).await;
        if let Err(error) = &committing {
            self.count(via, Err(error));
        }
        Ok(Submitting { entry, via, committing: committing? })
    }

    /// Counts and logs what a submission came to.
    pub(super) fn submitted(&self, result: Result<Submitted, CommitError>, via: Via) -> Result<Submitted, WriteError> {
        self.count(via, result.as_ref().map(|_| ()));
        let submitted = result?;
        if submitted.changed {
            let entry = &submitted.entry;
            tracing::info!(account = %entry.key(), iat = entry.iat(), via = via.label(), "updated JWT for account - {}", entry.called());
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
        self.count(via, result.as_ref().map(|_| ()));
        Ok(result?)
    }

    pub(super) fn count(&self, via: Via, result: Result<(), &CommitError>) {
        match result {
            Ok(()) => self.metrics().accepted(via),
            Err(CommitError::Refused(refusal)) => self.metrics().refused(via, refusal),
            // Nothing was to be committed yet.
            Err(CommitError::Failed(error)) if error.is_importing() => {}
            Err(CommitError::Failed(_)) => self.metrics().commit_failures.inc(),
        }
    }

    /// The primary that takes changes here; on a replica the error that says where to send them.
    pub fn writable(&self) -> Result<&Arc<Primary>, WriteError> {
        match self.role() {
            Role::Primary(primary) if primary.is_read_only() => Err(WriteError::Folder),
            Role::Primary(primary) => Ok(primary),
            Role::Replica(replica) => Err(WriteError::ReadOnly(replica.primary().to_owned())),
        }
    }

    /// Whether changes can be sent here.
    pub fn is_writable(&self) -> bool {
        self.writable().is_ok()
    }
}
