//! The requests to the writer, and its answers.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::super::error::StoreError;
use super::super::followers::{FollowerChange, FollowerId};
use super::nats_servers::NatsServerChange;
use super::upstream::UpstreamWrite;
use crate::gate::operator::Arrival;
use crate::gate::{Activation, Actor, Entry, OperatorChain, Refusal, Tombstone, Trust, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// A requested change. Its content has passed the gate.
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
    /// What comes from upstream, on a replica.
    Upstream(UpstreamWrite),
}

/// The outcome of a write that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Committed, as the change with this serial.
    Changed {
        /// The serial of the change.
        serial: u64,
    },
    /// Exactly this is stored already; nothing changed.
    Same {
        /// The serial of the change that brought what is stored; 0 if there is none.
        serial: u64,
    },
    /// It is served from now on, and upstream has not ordered it yet.
    Early,
    /// Something later stays.
    Kept,
    /// Only upstream can tell what is current.
    Refetch,
}

/// Why a write was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The gate rejected it; what is stored stays.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal could not write. Shared by all writes of one transaction.
    #[error(transparent)]
    Failed(#[from] Arc<StoreError>),
}

impl CommitError {
    pub(super) fn closed() -> Self {
        Self::Failed(Arc::new(StoreError::Closed))
    }

    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`].
    pub fn for_clients(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Failed(error) => error.for_clients(),
        }
    }
}

/// A submitted write.
#[derive(Debug)]
pub struct Committing(pub(super) oneshot::Receiver<Result<Outcome, CommitError>>);

impl Committing {
    /// Waits until the write is durable, rejected, or has failed.
    pub async fn outcome(self) -> Result<Outcome, CommitError> {
        self.0.await.map_err(|_| CommitError::closed())?
    }
}

/// How the operator changes.
#[derive(Debug, Clone)]
pub enum OperatorWrite {
    /// By a chain that a replica accepted. It is no change: the feed says what upstream ordered.
    Follow(Arc<OperatorChain>),
    /// By another JWT, if the gate accepts it as the next one.
    Offer(Arc<Trust>, Arrival),
    /// By a chain that was accepted already.
    Set(Arc<OperatorChain>),
}

/// A request to the writer.
#[derive(Debug)]
pub(super) enum Request {
    /// The write, who sent it, since when it waits, and where to answer.
    Write(Write, Actor, Instant, oneshot::Sender<Result<Outcome, CommitError>>),
    /// Many writes of one origin, answered together.
    Batch(Vec<Write>, oneshot::Sender<Vec<Result<Outcome, CommitError>>>),
    Cursor(&'static str, u64),
    /// Sets the id of this replica upstream.
    ReplicaId(FollowerId),
    /// Remembers and forgets replicas.
    Followers(Vec<FollowerChange>),
    /// Remembers and forgets nats-servers.
    NatsServers(Vec<NatsServerChange>),
    /// Forgets some texts of versions that were replaced before this time, unix milliseconds.
    Prune(i64),
    /// Asks for the sum of the accounts that are served at this time, unix seconds.
    PackHash(i64, oneshot::Sender<Result<[u8; 32], StoreError>>),
    /// Asks for a sign of life.
    Ping(oneshot::Sender<()>),
    Close,
}

impl Request {
    /// One write, and where its outcome comes out.
    pub(super) fn of(write: Write, actor: Actor) -> (Self, oneshot::Receiver<Result<Outcome, CommitError>>) {
        let (reply, answer) = oneshot::channel();
        (Self::Write(write, actor, Instant::now(), reply), answer)
    }

    /// How many writes it has.
    pub(super) const fn writes(&self) -> usize {
        match self {
            Self::Write(..) => 1,
            Self::Batch(writes, _) => writes.len(),
            _ => 0,
        }
    }

    /// Since when it waits, if it is an account's JWT that a client pushed.
    pub(super) const fn pushed(&self) -> Option<Instant> {
        match self {
            Self::Write(Write::Put(_, Via::Post | Via::Update), _, since, _) => Some(*since),
            _ => None,
        }
    }

    /// Whether it only reads what is committed.
    pub(super) const fn is_question(&self) -> bool {
        matches!(self, Self::PackHash(..) | Self::Ping(_))
    }

    /// Answers the callers that wait for the commit. `next` gives the outcome of each write, in order.
    pub(super) fn answer(self, mut next: impl FnMut() -> Result<Outcome, CommitError>) {
        // The caller may have gone. Its change is committed nevertheless.
        match self {
            Self::Write(_, _, _, reply) => drop(reply.send(next())),
            Self::Batch(writes, reply) => drop(reply.send(writes.iter().map(|_| next()).collect())),
            _ => {}
        }
    }
}
