//! What owns the order of changes: a primary and its journal.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Backend, Node, Role, WriteError};
use crate::audit::{AuditLog, AuditState, Tail, TailAsk, TailError};
use crate::gate::{
    Activation, ActivationRefusal, Actor, Entry, Held, Judged, OperatorChange, Position, Refusal, Sender, SentFor,
    Tombstone, Trust, Unproven,
};
use crate::jwt::HashId;
use crate::key::{AccountKey, PublicKey};
use crate::store::journal::{CommitError, Committing, NatsServer, NatsServerChange, Pending, Stored};
use crate::store::{JournalReader, StoreError, blocking};

/// The owner of a journal.
pub trait Ledger: Backend {
    /// What the journal answers.
    fn journal(&self) -> &Arc<JournalReader>;

    /// Whether the accounts are those of a folder that is only read: nothing can be pushed then.
    fn is_read_only(&self) -> bool;

    /// How many activations an account may have.
    fn activations_per_account(&self) -> u64;

    /// The audit log, if there is one.
    fn audit(&self) -> Option<Arc<AuditLog>>;

    /// How many accounts are withheld.
    fn withheld(&self) -> u64;

    /// What an account serves, if its body is in the cache.
    fn cached(&self, key: &AccountKey) -> Option<Arc<Stored>>;

    /// What an account serves. Blocks for a query.
    fn served(&self, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError>;

    /// The newest activation of a hash. Blocks for a query.
    fn newest_activation(&self, id: &HashId) -> Result<Option<Arc<Judged>>, StoreError>;

    /// What an account serves, or the proof that it serves nothing. Waits for its file while the folder is imported.
    fn find<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Lookup, StoreError>>;

    /// What is known of the versions of an account.
    fn held<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Held, StoreError>>;

    /// Passes an account JWT through the gate: the first step of a submission.
    fn admit(&self, token: &[u8], expected: Option<&AccountKey>, sender: &Sender) -> Result<Arc<Entry>, CommitError>;

    /// Gives an admitted JWT its place in the order of changes: the second step.
    fn enqueue(&self, entry: Arc<Entry>, sender: Sender) -> BoxFuture<'_, Result<Committing, CommitError>>;

    /// Waits until it is durable: the third step.
    fn submitted(
        &self,
        entry: Arc<Entry>,
        committing: Committing,
        sender: Sender,
    ) -> BoxFuture<'_, Result<Submitted, CommitError>>;

    /// Applies a delete request: durable when this returns. The flag says whether anything changed.
    fn delete<'a>(
        &'a self,
        request: &'a [u8],
        expected: Option<&'a AccountKey>,
        sender: Sender,
    ) -> BoxFuture<'a, Result<(Arc<Tombstone>, bool), CommitError>>;

    /// Stores an activation: durable when this returns.
    fn submit_activation<'a>(
        &'a self,
        token: &'a [u8],
        sent_for: SentFor<'a>,
        sender: Sender,
    ) -> BoxFuture<'a, Result<SubmittedActivation, CommitError>>;

    /// Weighs the JWTs that a peer says it holds, and stores what is newer: durable when this returns. One verdict for
    /// each, in order.
    fn merge(&self, offers: Vec<(AccountKey, Bytes)>) -> BoxFuture<'_, Result<Vec<PackVerdict>, CommitError>>;

    /// Writes down how far something has followed the journal. A failure is logged.
    fn set_cursor(&self, name: &'static str, serial: u64) -> BoxFuture<'_, ()>;

    /// Writes down what has changed of the nats-servers. A failure is logged.
    fn set_nats_servers(&self, changes: Vec<NatsServerChange>) -> BoxFuture<'_, ()>;

    /// Brings a pushed operator JWT into force: durable when this returns.
    ///
    /// `withhold`: how many accounts it may withhold at most. `is_admin`: whether a signing key may have signed it.
    fn push_operator(
        &self,
        trust: Arc<Trust>,
        withhold: u64,
        is_admin: bool,
        actor: Actor,
    ) -> BoxFuture<'_, Result<OperatorChange, WriteError>>;
}

/// What an account serves.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A JWT that may be served.
    Served(Arc<Stored>),
    /// A JWT signed by this key, for which the operator does not vouch.
    Withheld(PublicKey),
    /// Nothing, or it was deleted. Said only of an account that is imported.
    Absent,
}

impl Lookup {
    /// Has what an account serves vouch for an activation.
    pub fn prove(self, unproven: Unproven) -> Result<Arc<Activation>, Refusal> {
        let key = *unproven.account();
        match self {
            Self::Served(stored) => Ok(Arc::new(unproven.prove(&stored.entry)?)),
            Self::Absent => Err(ActivationRefusal::UnknownAccount(key).into()),
            Self::Withheld(issuer) => Err(ActivationRefusal::WithheldAccount { account: key, issuer }.into()),
        }
    }
}

/// What a submission came to.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The JWT that is stored now: the one submitted.
    pub entry: Arc<Entry>,
    /// Whether that is a change.
    pub changed: bool,
    /// Its position in the order of changes.
    pub position: Position,
}

/// What a submission of an activation came to.
#[derive(Debug, Clone)]
pub struct SubmittedActivation {
    /// The activation that is stored now: the one submitted.
    pub activation: Arc<Activation>,
    /// Whether that is a change.
    pub changed: bool,
}

/// What an account of a pack is, to us.
#[derive(Debug)]
pub enum PackVerdict {
    /// Exactly what is served here.
    Same,
    /// News: it is stored now.
    Taken,
    /// What is stored here, written in another way.
    Respelt,
    /// Older than what is stored here, or replaced by it.
    Older,
    /// As new as what is stored here, and another one.
    Tie,
    /// Deleted here.
    Deleted,
    /// Not signed by the operator.
    Foreign(Refusal),
    /// Rejected for another reason.
    Refused(Refusal),
}

impl Node {
    /// The owner of the journal: on a primary.
    pub(in crate::node) const fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        match &self.role {
            Role::Primary(ledger) => Some(ledger),
            Role::Replica(_) => None,
        }
    }

    /// Runs a query on a thread that may block. A replica has no journal to ask.
    pub(in crate::node) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ledger = self.ledger().ok_or(StoreError::Closed)?.clone();
        blocking(move || query(&*ledger)).await
    }

    /// Whether this server owns the order of changes.
    pub const fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary(_))
    }

    /// The newest change of the journal; 0 on a replica.
    pub fn head_serial(&self) -> u64 {
        self.ledger().map_or(0, |ledger| ledger.journal().head().serial)
    }

    /// How far something has followed the journal, as it was written down last. `None`: never.
    pub async fn cursor(&self, name: &'static str) -> Result<Option<u64>, StoreError> {
        self.read(move |ledger| ledger.journal().cursor(name)).await
    }

    /// Writes down how far something has followed the journal. A failure is logged.
    pub async fn set_cursor(&self, name: &'static str, serial: u64) {
        if let Some(ledger) = self.ledger() {
            ledger.set_cursor(name, serial).await;
        }
    }

    /// The last lines of the audit log that are wanted, and its state. `None`: there is none, or this is a replica.
    pub async fn audit_tail(&self, ask: TailAsk) -> Option<Result<(Tail, AuditState), TailError>> {
        let audit = self.ledger()?.audit()?;
        let lost = || TailError::Io(std::io::Error::other("the thread that reads the log is lost"));
        Some(tokio::task::spawn_blocking(move || audit.tail(&ask)).await.unwrap_or_else(|_| Err(lost())))
    }

    /// The accounts whose newest change comes after a serial, piece by piece.
    pub async fn pending(&self, after: u64, limit: u64) -> Result<Pending, StoreError> {
        self.read(move |ledger| ledger.journal().pending(after, limit)).await
    }

    /// The nats-servers that were known, as they were written down last.
    pub async fn nats_servers(&self) -> Result<Vec<NatsServer>, StoreError> {
        self.read(|ledger| ledger.journal().nats_servers()).await
    }

    /// Writes down what has changed of the nats-servers. A failure is logged.
    pub async fn set_nats_servers(&self, changes: Vec<NatsServerChange>) {
        if let Some(ledger) = self.ledger() {
            ledger.set_nats_servers(changes).await;
        }
    }

    /// The text of a version of an account and of the one before it. `None`: that version is not kept, or the account never
    /// had another one.
    pub async fn version_and_before(
        &self,
        key: AccountKey,
        serial: u64,
    ) -> Result<Option<ReplacedVersion>, StoreError> {
        self.read(move |ledger| ReplacedVersion::read(ledger.journal(), &key, serial)).await
    }
}

/// A version of an account, and the one that it replaced.
#[derive(Debug)]
pub struct ReplacedVersion {
    /// The JWT.
    pub text: Vec<u8>,
    /// The JWT before it; `None`: it is not kept any more.
    pub before: Option<Vec<u8>>,
}

impl ReplacedVersion {
    /// Reads a version of an account and the one before it. `None`: that version is not kept, or the account never had another
    /// one. Blocks for queries.
    pub(super) fn read(journal: &JournalReader, key: &AccountKey, serial: u64) -> Result<Option<Self>, StoreError> {
        let Some(text) = journal.text_of(key, serial)? else { return Ok(None) };
        let versions = journal.versions(key)?;
        let before = match versions.iter().rev().find(|version| version.serial < serial) {
            Some(older) => journal.text_of(key, older.serial)?,
            None if journal.fact(key, Some(serial))?.is_some_and(|fact| !fact.has_older) => return Ok(None),
            None => None,
        };
        Ok(Some(Self { text, before }))
    }
}
