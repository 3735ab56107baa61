//! The primary: it owns the journal, decides about every change, and is what followers follow.
//!
//! A push is [`Primary::submit`]: the gate admits the token on the caller's thread (the signature check is the
//! expensive part, and there are as many callers as cores), then the journal's writer decides about its order and makes
//! it durable. What follows from a change (the body cache, followers, notifications) follows from the journal.
//!
//! Bodies are served from a bounded cache ([`bodies`]); what is not there is read from the journal. Nothing is kept in
//! memory per account. What a key signed that the operator does not vouch for is stored and not served ([`operator`]).
//!
//! The folder of tokens follows the journal ([`directory`]), and what others do to its files is imported.

mod activations;
mod audit;
mod backend;
mod bodies;
mod directory;
mod feed;
mod lookup;
mod merge;
mod on_demand;
mod operator;
mod progress;
#[cfg(test)]
pub(crate) mod schedules;
mod seam;
mod setup;
mod source;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use activations::ActivationCache;
use bodies::BodyCache;
pub use directory::Directory;
use directory::WriterProgress;
pub use progress::ScanProgress;
pub use setup::Setup;
pub use source::Source;

use crate::audit::AuditLog;
use crate::clock;
use crate::feed::Ring;
use crate::folder::FolderLock;
use crate::gate::{Entry, Gate, OperatorChange, Refusal, Sender, Tombstone, Via};
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::metrics::CommitMetrics;
use crate::node::Submitted;
use crate::store::journal::{CommitError, Committing, Notes, Options, Outcome, Write};
use crate::store::{Journal, JournalReader, StoreError};
use progress::ScanStage;
use seam::Seam;
use source::Tokens;

/// Activations may take one in this many bytes of the caches' bound.
const ACTIVATIONS_SHARE: u64 = 16;

/// The owner of the journal.
#[derive(Debug)]
pub struct Primary {
    journal: Journal,
    gate: Arc<Gate>,
    bodies: Arc<BodyCache>,
    activations: Arc<ActivationCache>,
    session: [u8; 16],
    tokens: Tokens,
    progress: ScanProgress,
    seam: Seam,
    history_age: Duration,
    activation_files: bool,
    /// Until then, in milliseconds of [`clock::uptime_millis`], the journal counts as slow.
    slow_until: AtomicI64,
    /// Since when a query has been running on a thread that others wait for; 0: none is.
    reading_since: AtomicI64,
    /// One change of the operator JWT at a time; the first is under way since the start.
    operator_turn: Mutex<Option<Committing>>,
    /// What the configured operator JWT changed at the start.
    operator_begun: Option<OperatorChange>,
    /// Notified when the operator's file in an nsc folder was written.
    operator_edited: Notify,
    /// How far the token folder has followed the journal, if it is ours to write.
    writer_progress: OnceLock<Arc<WriterProgress>>,
    audit: Option<Arc<AuditLog>>,
    _locks: Vec<FolderLock>,
}

impl Primary {
    /// Opens the journal, which must not be in use by another process.
    pub fn open(setup: &Setup, gate: Arc<Gate>) -> Result<Self, StoreError> {
        let journal = setup.journal();
        if let Some(path) = journal.as_ref().filter(|path| setup.require_existing && !path.exists()) {
            return Err(StoreError::unusable(
                path,
                "it does not exist, and store.require_existing is set: is the folder mounted? For a first \
                         start, unset it",
            ));
        }
        let locks = setup.lock()?;
        let tokens = setup.source.open()?;
        let for_activations = setup.cache_bytes / ACTIVATIONS_SHARE;
        let bodies = Arc::new(BodyCache::new(setup.cache_bytes - for_activations, gate.clone()));
        let activations = Arc::new(ActivationCache::new(for_activations, setup.activations_per_account));
        let readers = std::thread::available_parallelism().map_or(2, usize::from) * 2;
        let options = Options::primary(journal, setup.history, readers);
        let audit = match &setup.audit {
            Some((audit, metrics)) => AuditLog::open(audit, setup.state().as_deref(), metrics.clone())?.map(Arc::new),
            None => None,
        };
        let followers = (bodies.clone(), activations.clone(), audit.clone());
        let journal = Journal::open_under(&options, gate.clone(), move |changes, _| {
            for change in changes {
                followers.0.follow(change);
                followers.1.follow(change);
            }
            if let Some(audit) = &followers.2 {
                audit::tell(audit, changes);
            }
        })?;
        if let Some(audit) = &audit {
            audit.follow(Box::new(audit::JournalSource(journal.reader().clone())))?;
        }
        let (operator_begun, first) = operator::begin(&journal, &gate, setup.change_operator.as_ref())?;
        let operator_turn = Mutex::new(first);
        let session = journal.head().session.0;
        Ok(Self {
            journal,
            gate,
            bodies,
            activations,
            session,
            slow_until: AtomicI64::new(0),
            reading_since: AtomicI64::new(0),
            operator_turn,
            operator_begun,
            operator_edited: Notify::new(),
            writer_progress: OnceLock::new(),
            tokens,
            progress: ScanProgress::default(),
            seam: Seam::default(),
            history_age: setup.history_age,
            activation_files: setup.activation_files,
            audit,
            _locks: locks,
        })
    }

    /// How far the first scan of the folder has come.
    pub const fn progress(&self) -> &ScanProgress {
        &self.progress
    }

    /// Says that the folder will not be scanned: a file counts where the name of its account leads to it.
    pub fn go_without_scan(&self) {
        self.progress.reach(ScanStage::Placed);
    }

    /// Whether the accounts are those of a folder that somebody else maintains: then nothing can be pushed.
    pub const fn is_read_only(&self) -> bool {
        self.tokens.is_foreign()
    }

    /// What the journal answers, for what follows it.
    pub fn journal(&self) -> &JournalReader {
        &self.journal
    }

    /// The same, to be kept.
    pub const fn reader(&self) -> &Arc<JournalReader> {
        self.journal.reader()
    }

    /// Has each commit measured from now on.
    pub fn measured_by(&self, metrics: CommitMetrics) {
        self.journal.measured_by(metrics);
    }

    /// How far others have come, written down in the journal.
    pub const fn notes(&self) -> &Notes {
        self.journal.notes()
    }

    /// Ends the journal after what is queued is committed, and then the audit log. Later writes fail.
    pub async fn close(&self) {
        self.journal.close().await;
        if let Some(audit) = self.audit.clone() {
            // If its thread is lost, the next start writes the lines.
            let _ = tokio::task::spawn_blocking(move || audit.close()).await;
        }
    }

    /// The latest changes, and the place to wait for more.
    pub fn ring(&self) -> Arc<Ring> {
        self.journal.ring()
    }

    /// The session of the journal, which is the same for as long as it is open.
    pub const fn session(&self) -> [u8; 16] {
        self.session
    }

    /// Moves whenever something happens to an account.
    pub fn generation(&self, key: &AccountKey) -> Generation {
        self.bodies.generation(key)
    }

    /// Forgets versions as they get too old, for as long as the process lives.
    pub async fn forget(self: Arc<Self>) {
        /// Pieces of the history that are looked at in one go, before others have a turn.
        const PIECES: usize = 100;
        if self.history_age.is_zero() {
            return;
        }
        let pause = (self.history_age / 10).clamp(Duration::from_millis(100), Duration::from_secs(600));
        let age = i64::try_from(self.history_age.as_millis()).unwrap_or(i64::MAX);
        loop {
            for _ in 0..PIECES {
                self.journal.prune(clock::unix_millis().saturating_sub(age)).await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Stores an account JWT: admitted, ordered, and durable when this returns.
    pub async fn submit(
        self: &Arc<Self>,
        token: &[u8],
        expected: Option<&AccountKey>,
        via: Via,
    ) -> Result<Submitted, CommitError> {
        let entry = self.admit(token, expected, via)?;
        let committing = self.enqueue(entry.clone(), via.into()).await?;
        self.submitted(entry, committing, &via.into()).await
    }

    /// As [`Primary::submit`], on a thread that may be blocked.
    fn submit_blocking(&self, token: &[u8], expected: Option<&AccountKey>, via: Via) -> Result<Submitted, CommitError> {
        let entry = self.admit_from(token, expected, &via.into())?;
        self.may_commit()?;
        if self.imports_before(via) {
            self.import_places(std::slice::from_ref(entry.key())).map_err(Arc::new)?;
        }
        let outcome = self.journal.commit_blocking(Write::Put(entry.clone(), via));
        let outcome = outcome.inspect_err(|error| self.audit_put(&entry, error, &via.into()))?;
        Ok(self.committed(entry, outcome))
    }

    /// The first step of [`Primary::submit`]: the gate.
    pub fn admit(&self, token: &[u8], expected: Option<&AccountKey>, via: Via) -> Result<Arc<Entry>, CommitError> {
        Ok(Arc::new(self.gate.admit(token, expected, via, clock::unix_seconds())?))
    }

    /// The same, of an attempt that the audit log tells if it is rejected.
    fn admit_from(
        &self,
        token: &[u8],
        expected: Option<&AccountKey>,
        sender: &Sender,
    ) -> Result<Arc<Entry>, CommitError> {
        let admitted = self.admit(token, expected, sender.via);
        admitted.inspect_err(|error| self.audit_token(token, error, sender))
    }

    /// The second step: what is enqueued first is committed first.
    pub async fn enqueue(self: &Arc<Self>, entry: Arc<Entry>, sender: Sender) -> Result<Committing, CommitError> {
        self.may_commit()?;
        self.import_before(std::slice::from_ref(entry.key()), sender.via).await?;
        self.journal.enqueue_by(Write::Put(entry, sender.via), sender.actor).await
    }

    /// The third step: durable when this returns.
    pub async fn submitted(
        &self,
        entry: Arc<Entry>,
        committing: Committing,
        sender: &Sender,
    ) -> Result<Submitted, CommitError> {
        let outcome = committing.outcome().await.inspect_err(|error| self.audit_put(&entry, error, sender))?;
        let submitted = self.committed(entry, outcome);
        self.audited(submitted.position.serial).await?;
        Ok(submitted)
    }

    fn committed(&self, entry: Arc<Entry>, outcome: Outcome) -> Submitted {
        let (changed, serial) = split(outcome);
        Submitted { entry, changed, position: self.journal.head().position(serial) }
    }

    /// Applies an operator-signed delete request. Returns it, and whether anything changed; a change is logged.
    ///
    /// `expected`: the one account it was addressed to, if the path says so.
    pub async fn delete(
        self: &Arc<Self>,
        request: &[u8],
        expected: Option<&AccountKey>,
        sender: impl Into<Sender>,
    ) -> Result<(Arc<Tombstone>, bool), CommitError> {
        let sender = sender.into();
        let deleted = self.delete_from(request, expected, &sender).await;
        deleted.inspect_err(|error| self.audit_delete(request, error, &sender))
    }

    async fn delete_from(
        self: &Arc<Self>,
        request: &[u8],
        expected: Option<&AccountKey>,
        sender: &Sender,
    ) -> Result<(Arc<Tombstone>, bool), CommitError> {
        let via = sender.via;
        let tombstone = Arc::new(self.gate.admit_delete(request, via, clock::unix_seconds())?);
        if let Some(expected) = expected
            && !tombstone.keys().contains(expected)
        {
            return Err(Refusal::DeleteElsewhere(*expected).into());
        }
        self.may_commit()?;
        self.import_before(tombstone.keys(), via).await?;
        // The names are gone with the accounts.
        let accounts: Vec<_> = tombstone.keys().iter().map(|key| self.called(key)).collect();
        let outcome = self.journal.commit_by(Write::Delete(tombstone.clone(), via), sender.actor.clone()).await?;
        let (changed, serial) = split(outcome);
        if changed {
            for account in &accounts {
                let (account_key, request_id) = (account.key(), sender.request_id());
                tracing::info!(account = %account_key, via = via.label(), request_id, "deleted account {account}");
            }
        }
        self.audited(serial).await?;
        Ok((tombstone, changed))
    }
}

impl Primary {
    /// While the folder is imported, an account may have a file whose turn has not come: what changes the account has to
    /// be weighed against that.
    fn imports_before(&self, via: Via) -> bool {
        via != Via::FirstScan && !self.progress.has_reached(ScanStage::Accounts)
    }

    async fn import_before(self: &Arc<Self>, keys: &[AccountKey], via: Via) -> Result<(), CommitError> {
        if self.imports_before(via) {
            let keys = keys.to_vec();
            self.blocking(move |primary| primary.import_places(&keys)).await.map_err(Arc::new)?;
        }
        Ok(())
    }
}

fn split(outcome: Outcome) -> (bool, u64) {
    match outcome {
        Outcome::Changed { serial } => (true, serial),
        Outcome::Same { serial } => (false, serial),
        // These are about what comes from upstream.
        Outcome::Early | Outcome::Kept | Outcome::Refetch => (false, 0),
    }
}

#[cfg(test)]
mod tests;
