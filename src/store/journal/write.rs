//! What the writer is asked for, and what it answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::error::StoreError;
use super::super::followers::FollowerChange;
use super::nats_servers::NatsServerChange;
use crate::gate::operator::Arrival;
use crate::gate::{Activation, Entry, OperatorChain, Refusal, Tombstone, Trust, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// A change that somebody asks for. Its content has passed the gate.
#[derive(Debug, Clone)]
pub enum Write {
    /// Set an account's JWT.
    Put(Arc<Entry>, Via),
    /// Delete the accounts that a request names.
    Delete(Arc<Tombstone>, Via),
    /// The account's file left a read-only folder.
    Remove(AccountKey, Via),
    /// Set the operator's JWT. Once it is durable, the gate trusts it.
    Operator(OperatorWrite),
    /// Set an activation.
    Activation {
        /// The activation, for which its account vouches.
        activation: Arc<Activation>,
        /// The path on which it came.
        via: Via,
        /// How many its account may have.
        limit: u64,
    },
    /// Forget activations that expired before `now`. Each is a change of its own.
    Forget {
        /// Which.
        ids: Vec<HashId>,
        /// Unix seconds.
        now: i64,
    },
}

/// What became of a write that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Committed, as the change with this serial.
    Changed {
        /// The serial of the change.
        serial: u64,
    },
    /// Exactly this is held already; nothing changed.
    Same {
        /// The serial of the change that brought what is held; 0 if nothing ever did.
        serial: u64,
    },
}

/// Why a write was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// What is held is to stay.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal could not write. Shared by all writes of one transaction.
    #[error(transparent)]
    Failed(#[from] Arc<StoreError>),
}

impl CommitError {
    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`].
    pub fn for_clients(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Failed(error) => error.for_clients(),
        }
    }
}

/// A write that was submitted and is not waited for yet.
#[derive(Debug)]
pub struct Committing(pub(super) oneshot::Receiver<Result<Outcome, CommitError>>);

impl Committing {
    /// Waits until the write is durable, refused, or has failed.
    pub async fn outcome(self) -> Result<Outcome, CommitError> {
        self.0.await.map_err(|_| CommitError::Failed(Arc::new(StoreError::Closed)))?
    }
}

/// How the operator changes.
#[derive(Debug, Clone)]
pub enum OperatorWrite {
    /// By another JWT, if that may take its place.
    Offer(Arc<Trust>, Arrival),
    /// By a chain that was decided about already.
    Set(Arc<OperatorChain>),
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    Write(Write, oneshot::Sender<Result<Outcome, CommitError>>),
    /// Many writes of one origin, answered together.
    Batch(Vec<Write>, oneshot::Sender<Vec<Result<Outcome, CommitError>>>),
    Cursor(&'static str, u64),
    /// Remembers and forgets replicas.
    Followers(Vec<FollowerChange>),
    /// Remembers and forgets nats-servers.
    NatsServers(Vec<NatsServerChange>),
    /// Forgets some texts of versions that were replaced before this time, unix milliseconds.
    Prune(i64),
    /// What the accounts come to that are served at this time, unix seconds.
    PackHash(i64, oneshot::Sender<Result<[u8; 32], StoreError>>),
    Close,
}

impl Request {
    /// Whether it is answered from what is committed, and changes nothing.
    pub(super) const fn is_question(&self) -> bool {
        matches!(self, Self::PackHash(..))
    }
}
