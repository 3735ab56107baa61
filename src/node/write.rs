//! Changes, as the edges ask for them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Ledger, Node, PackVerdict, Role, SignError, Submitted, SubmittedActivation};
use crate::clock;
use crate::gate::{ActivationRefusal, Entry, Refusal, Sender, SentFor, Tombstone, Via};
use crate::key::AccountKey;
use crate::store::StoreError;
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
    /// The gate or the order of versions rejects it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal could not write. Shared by all writes of one transaction.
    #[error(transparent)]
    Failed(#[from] Arc<StoreError>),
    /// It is an operator JWT that would withhold more accounts than its sender expects.
    #[error(
        "{would} accounts would be withheld by this operator JWT, because it does not list the keys that signed them; to \
         accept that, repeat the request with ?withhold={would}"
    )]
    Withholds {
        /// How many accounts that are served now would not be.
        would: u64,
    },
    /// The signing service did not sign it.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<CommitError> for WriteError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => Self::Refused(refusal),
            CommitError::Failed(error) => Self::Failed(error),
        }
    }
}

/// What a client pushes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pushing {
    Account,
    Activation,
    Operator,
    Delete,
}

impl Pushing {
    /// The label in metrics.
    const fn label(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Activation => "activation",
            Self::Operator => "operator",
            Self::Delete => "delete",
        }
    }
}

impl WriteError {
    /// The label in metrics: whether the client is at fault or this server.
    const fn result(&self) -> &'static str {
        match self {
            Self::Failed(_) => "error",
            Self::Sign(error) if !matches!(error, SignError::Issuer { .. }) => "error",
            Self::ReadOnly(_) | Self::Folder | Self::Refused(_) | Self::Withholds { .. } | Self::Sign(_) => "refused",
        }
    }

    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`](crate::store::StoreError::for_clients).
    pub fn for_clients(&self) -> String {
        match self {
            Self::Failed(error) => error.for_clients(),
            _ => self.to_string(),
        }
    }
}

/// An account JWT that is about to be committed.
#[derive(Debug)]
pub struct Submitting {
    entry: Arc<Entry>,
    sender: Sender,
    committing: Committing,
}

impl Submitting {
    /// Waits until it is durable, refused, or has failed.
    pub async fn outcome(self, node: &Node) -> Result<Submitted, WriteError> {
        let Self { entry, sender, committing } = self;
        let submitted = node.writable()?.submitted(entry, committing, sender.clone()).await;
        node.submitted(submitted.map_err(Into::into), &sender)
    }
}

impl Node {
    /// Stores an account JWT: durable when this returns.
    pub async fn submit(
        &self,
        token: &[u8],
        expected: Option<&AccountKey>,
        sender: impl Into<Sender>,
    ) -> Result<Submitted, WriteError> {
        let sender = sender.into();
        let entry = self.admit(token, expected, &sender)?;
        self.enqueue(entry, sender).await?.outcome(self).await
    }

    /// Passes an account JWT through the gate, the first step of [`Node::submit`]. Takes about 60 µs of the caller's thread.
    pub fn admit(
        &self,
        token: &[u8],
        expected: Option<&AccountKey>,
        sender: &Sender,
    ) -> Result<Arc<Entry>, WriteError> {
        let admitted = self.verify(self.writable()?, token, expected, sender);
        admitted.map_err(|error| self.failed(error, sender.via))
    }

    /// Has the gate judge an account JWT, and notes how long that took if it was pushed.
    pub(super) fn verify(
        &self,
        ledger: &dyn Ledger,
        token: &[u8],
        expected: Option<&AccountKey>,
        sender: &Sender,
    ) -> Result<Arc<Entry>, CommitError> {
        let began = Instant::now();
        let admitted = ledger.admit(token, expected, sender);
        if matches!(sender.via, Via::Post | Via::Update) {
            self.metrics.writes.verify.observe(began.elapsed().as_secs_f64());
        }
        admitted
    }

    /// Gives an admitted JWT its place in the order of changes, the second step of [`Node::submit`]: those that are called
    /// one after another are committed in this order.
    pub async fn enqueue(&self, entry: Arc<Entry>, sender: impl Into<Sender>) -> Result<Submitting, WriteError> {
        let sender = sender.into();
        let committing = self.writable()?.enqueue(entry.clone(), sender.clone()).await;
        let committing = committing.map_err(|error| self.failed(error, sender.via))?;
        Ok(Submitting { entry, sender, committing })
    }

    /// Counts and logs what a submission came to.
    pub(super) fn submitted(
        &self,
        result: Result<Submitted, WriteError>,
        sender: &Sender,
    ) -> Result<Submitted, WriteError> {
        self.count(sender.via, result.as_ref().map(|_| ()));
        self.pushed(sender.via, Pushing::Account, result.as_ref().err());
        let submitted = result?;
        if submitted.changed {
            let (entry, via) = (&submitted.entry, sender.via.label());
            tracing::info!(account = %entry.key(), iat = entry.iat(), via, request_id = sender.request_id(), "updated JWT for account - {}", entry.called());
        }
        Ok(submitted)
    }

    /// Weighs the JWTs that a peer says it holds, and stores what is newer: durable when this returns. Gives one verdict for
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

    /// Stores an activation: durable when this returns.
    ///
    /// Files that are found at start come by [`Via::FirstScan`].
    pub async fn submit_activation(
        &self,
        token: &[u8],
        sent_for: SentFor<'_>,
        sender: impl Into<Sender>,
    ) -> Result<SubmittedActivation, WriteError> {
        let sender = sender.into();
        let (via, actor) = (sender.via, sender.actor.clone());
        let result = self.writable()?.submit_activation(token, sent_for, sender).await.map_err(Into::into);
        self.count(via, result.as_ref().map(|_| ()));
        self.pushed(via, Pushing::Activation, result.as_ref().err());
        let submitted = result?;
        if submitted.changed {
            let activation = &submitted.activation;
            tracing::info!(
                account = %activation.account(),
                via = via.label(),
                request_id = actor.as_ref().and_then(|client| client.request_id.as_deref()),
                "updated activation JWT - {}-{} - {:?}",
                short(&activation.issuer().text()),
                short(activation.importer()),
                activation.subject()
            );
        }
        Ok(submitted)
    }

    /// Applies an activation that was announced over NATS: a change on a primary, a hint on a replica. `sent_for` is `None` if
    /// the subject names no account.
    pub async fn hear_activation(&self, token: &[u8], sent_for: Option<SentFor<'_>>) -> Result<(), WriteError> {
        let (via, taken) = match (&self.role, sent_for) {
            (Role::Primary(_), Some(sent_for)) => {
                return self.submit_activation(token, sent_for, Via::Update).await.map(drop);
            }
            (Role::Replica(replica), Some(sent_for)) => (Via::Hint, replica.hint_activation(token, sent_for)),
            (role, None) => {
                let via = if matches!(role, Role::Primary(_)) { Via::Update } else { Via::Hint };
                (via, Err(Refusal::from(ActivationRefusal::Unaddressed)))
            }
        };
        match taken {
            Ok(true) => self.metrics.accepted(via),
            Ok(false) => {}
            Err(refusal) => {
                self.metrics.refused(via, &refusal);
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// Applies a delete request: durable when this returns. The flag says whether anything changed.
    pub async fn delete(
        &self,
        request: &[u8],
        expected: Option<&AccountKey>,
        sender: impl Into<Sender>,
    ) -> Result<(Arc<Tombstone>, bool), WriteError> {
        let sender = sender.into();
        let via = sender.via;
        let result = self.writable()?.delete(request, expected, sender).await.map_err(Into::into);
        self.count(via, result.as_ref().map(|_| ()));
        self.pushed(via, Pushing::Delete, result.as_ref().err());
        result
    }

    /// Counts an account's JWT that failed on its way to the order of changes, and returns why as the error of the edges.
    pub(super) fn failed(&self, error: CommitError, via: Via) -> WriteError {
        let error = error.into();
        self.count(via, Err(&error));
        self.pushed(via, Pushing::Account, Some(&error));
        error
    }

    /// Counts what a client pushed, with its result. Other ways are no pushes.
    pub(super) fn pushed(&self, via: Via, kind: Pushing, error: Option<&WriteError>) {
        if !matches!(via, Via::Post | Via::Update) {
            return;
        }
        let writes = &self.metrics.writes;
        if error.is_none() {
            writes.last_push.show(Some(clock::unix_seconds()));
        }
        writes.pushes.inc([kind.label(), error.map_or("ok", WriteError::result)]);
    }

    pub(super) fn count(&self, via: Via, result: Result<(), &WriteError>) {
        match result {
            Ok(()) => self.metrics().accepted(via),
            Err(WriteError::Refused(refusal)) => self.metrics().refused(via, refusal),
            // Nothing was to be committed yet.
            Err(WriteError::Failed(error)) if error.is_importing() || error.is_unaudited() => {}
            Err(WriteError::Failed(_)) => self.metrics().writes.commit_failures.inc(),
            // Nothing was submitted, or it is counted where it is judged.
            Err(WriteError::ReadOnly(_) | WriteError::Folder | WriteError::Withholds { .. } | WriteError::Sign(_)) => {}
        }
    }

    /// The ledger that takes changes here; on a replica the error that says where to send them.
    pub fn writable(&self) -> Result<&dyn Ledger, WriteError> {
        match &self.role {
            Role::Primary(ledger) if ledger.is_read_only() => Err(WriteError::Folder),
            Role::Primary(ledger) => Ok(&**ledger),
            Role::Replica(replica) => Err(WriteError::ReadOnly(replica.primary())),
        }
    }

    /// Whether changes can be sent here.
    pub fn is_writable(&self) -> bool {
        self.writable().is_ok()
    }
}

/// The first 12 characters of a key, as in the log lines of the Go server.
fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}
