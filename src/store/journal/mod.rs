//! The journal: every change in order, and the head of every account, in SQLite.
//!
//! [`Journal`] is the handle that writes. Everything else gets a [`JournalReader`], which answers queries and cannot commit,
//! and [`Notes`], which say how far others have come. A file of this folder uses only files in the rows above its own:
//!
//! | row | files |
//! |---|---|
//! | what the database holds | [`schema`], [`head`], [`change`], [`signers`], [`digests`], [`nats_servers`], [`effect`], [`state`] |
//! | its file | [`open`], [`mend`], [`files`], [`checkpoint`], [`index`], [`pool`], [`lacking`] |
//! | writing | [`write`](mod@write) (the requests), [`notes`], [`weigh`], [`transaction`], [`accounts`], [`activations`], [`operator`], [`prune`], [`upstream`], [`tail`], [`promote`](mod@promote), [`writer`] |
//! | reading | [`read`], then [`replica`], [`served`], [`status`], [`history`], [`audited`], [`pending`], [`keys`], [`leaves`], [`compare`], [`pack`], [`listed`], [`trial`], [`mentions`], [`figures`] |
//! | reading the file of another process | [`foreign`], [`progress`] |
//!
//! One thread writes. It drains what has been submitted into one transaction, decides about each write with the gate's
//! rules of order, commits, and only then acknowledges: *acknowledged means durable*. Readers have connections of their
//! own and never wait for the writer. A thread of its own writes the log back, off the path of writes.
//!
//! Only the heads are indexed by a random key: scattered pages, not syncs, are what a commit costs. Counts and sums change
//! with each commit, so a query for them scans nothing.

mod accounts;
mod activations;
mod audited;
pub(crate) mod change;
mod checkpoint;
mod compare;
mod digests;
mod effect;
mod figures;
mod files;
mod foreign;
pub(crate) mod head;
mod history;
mod index;
mod keys;
pub(crate) mod lacking;
mod leaves;
mod listed;
mod mend;
mod mentions;
mod nats_servers;
mod notes;
pub(crate) mod open;
mod operator;
mod pack;
mod pending;
mod pool;
mod progress;
mod promote;
mod prune;
mod read;
mod replica;
pub(crate) mod schema;
mod served;
mod signers;
mod state;
mod status;
mod tail;
mod transaction;
mod trial;
pub mod upstream;
mod weigh;
mod write;
mod writer;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use activations::StoredActivation;
pub use audited::AuditedChange;
pub use effect::{AccountNow, Currency, Effect};
pub use figures::{DiskFigures, ExpiryFigures, note_backup};
pub use foreign::{StoredAccount, account_in, operator_in, role_of, trust_in};
pub use history::{Fact, StoredVersion};
pub use keys::KeyPiece;
pub use listed::{AccountHead, HeadChange, HeadState, HeadTexts, HeadVersion};
pub use mend::Mended;
pub use mentions::{MentionPiece, Mentions};
pub use nats_servers::{NatsServer, NatsServerChange};
pub use notes::Notes;
pub use pending::Pending;
pub use progress::{JournalProgress, MIRROR};
pub use promote::{Promoted, promote};
pub use read::{JournalReader, Stored};
pub use replica::{HeldLeaf, Stand};
pub use schema::Role;
pub use served::{Served, ServedKeys};
pub use status::AccountStatus;
pub use tail::{CacheBound, IsWanted, weight_of};
pub use trial::{Weighed, WeighedAgainst};
pub use write::{CommitError, Committing, OperatorWrite, Outcome, Write};

use super::error::StoreError;
use crate::feed::Change;
use crate::gate::{Actor, Gate};
use crate::metrics::CommitMetrics;
use write::Request;

/// Its name in the state folder.
pub use crate::folder::private::JOURNAL as FILE;

/// How a journal is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; `None` keeps everything in memory.
    pub path: Option<PathBuf>,
    /// Versions kept per account besides the current one.
    pub history: usize,
    /// Connections for queries about single accounts.
    pub readers: usize,
    /// What decides about the order of changes.
    pub role: Role,
    /// The bound of a cache.
    pub cache: Option<CacheBound>,
}

impl Options {
    /// Those of a primary.
    pub const fn primary(path: Option<PathBuf>, history: usize, readers: usize) -> Self {
        Self { path, history, readers, role: Role::Primary, cache: None }
    }
}

/// An open journal: the handle that writes. What reads it gets the [`JournalReader`] that it dereferences to.
#[derive(Debug)]
pub struct Journal {
    reader: Arc<JournalReader>,
    notes: Notes,
    queue: mpsc::Sender<Request>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    closing: Arc<checkpoint::Closing>,
    measures: Arc<OnceLock<CommitMetrics>>,
    mended: Option<Mended>,
}

impl Deref for Journal {
    type Target = JournalReader;

    fn deref(&self) -> &JournalReader {
        &self.reader
    }
}

/// What of a journal is in memory.
struct Loaded {
    connection: Connection,
    meta: schema::Meta,
    digests: digests::Digests,
    tail: tail::Tail,
}

impl Loaded {
    fn from(options: &Options) -> Result<Self, StoreError> {
        let path = options.path.clone().unwrap_or_else(|| PathBuf::from(":memory:"));
        let connection = match &options.path {
            Some(path) => open::open_writer(path, options.role)?,
            None => open::open_temporary(options.role)?,
        };
        let meta = open::load_meta(&connection, &path)?;
        let digests = digests::Digests::load(&connection, &meta).map_err(StoreError::sqlite(&path))?;
        let tail = tail::Tail::load(&connection, &meta, options.cache.clone()).map_err(StoreError::sqlite(&path))?;
        // They are loaded by another connection. What is damaged of them is found here.
        signers::Signers::load(&connection).map_err(StoreError::sqlite(&path))?;
        Ok(Self { connection, meta, digests, tail })
    }
}

impl Journal {
    /// Opens or creates a journal.
    ///
    /// `on_commit` is called on the writer's thread with the changes of each transaction, after they are durable and
    /// before anyone is answered: the place to update caches.
    pub fn open(
        options: &Options,
        on_commit: impl Fn(&[Arc<Change>], &[Effect]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_under(options, Arc::new(Gate::new(None, None, 0)), on_commit)
    }

    /// As [`Journal::open`], with the gate whose operator decides which keys count.
    ///
    /// A committed operator JWT is in force from its commit on: for the writes after it at once, and for the gate before
    /// `on_commit` is called.
    pub fn open_under(
        options: &Options,
        gate: Arc<Gate>,
        on_commit: impl Fn(&[Arc<Change>], &[Effect]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let path = options.path.clone().unwrap_or_else(|| PathBuf::from(":memory:"));
        let role = options.role;
        let mut mended = match &options.path {
            Some(path) if role != Role::Primary && path.exists() && mend::is_damaged(path) => {
                Some(mend::mend(path, role)?)
            }
            _ => None,
        };
        let loaded = match (Loaded::from(options), &options.path) {
            (Err(error), Some(path)) if role != Role::Primary && mended.is_none() && error.is_damage() => {
                tracing::error!("{error}; this replica uses the rest");
                mended = Some(mend::mend(path, role)?);
                Loaded::from(options)?
            }
            (loaded, _) => loaded?,
        };
        let Loaded { connection, meta, digests, tail } = loaded;
        let digests = Arc::new(digests);
        let writer_connection = Arc::new(Mutex::new(connection));
        let connections = Arc::new(match &options.path {
            Some(path) => pool::Readers::open(path, options.readers)?,
            None => pool::Readers::shared(writer_connection.clone()),
        });
        let state = Arc::new(state::JournalState::new(&meta, &tail));
        let meta_serial = meta.head.serial;
        let index = Arc::new(index::Index::default());
        let signers = connections.with(signers::Signers::load).map_err(StoreError::sqlite(&path))?;
        let stats = Arc::new(signers::Stats::new(meta.count, signers));
        // The readers have read by now.
        let files = Arc::new(if options.path.is_some() { files::Files::at(&path)? } else { files::Files::none() });
        let closing = Arc::new(checkpoint::Closing::default());
        let measures = Arc::new(OnceLock::new());
        let mut threads = Vec::new();
        if let Some(path) = &options.path {
            threads.push(checkpoint::spawn(path.clone(), files.clone(), connections.clone(), closing.clone())?);
            threads.push(index::spawn(path.clone(), index.clone(), role, closing.clone())?);
        } else {
            // It was empty a moment ago.
            index.has_all();
        }
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let writer = writer::Writer {
            connection: writer_connection,
            readers: connections.clone(),
            files: files.clone(),
            path: path.clone(),
            meta,
            history: options.history,
            gate: gate.clone(),
            state: state.clone(),
            touched: upstream::Touched::since(meta_serial),
            tail,
            index: index.clone(),
            digests: digests.clone(),
            stats: stats.clone(),
            on_commit: Box::new(on_commit),
            measures: measures.clone(),
        };
        threads.push(writer.spawn(requests)?);
        let (writer, notes) = (queue.downgrade(), Notes(queue.clone()));
        let reader = Arc::new(JournalReader { path, gate, connections, state, index, digests, stats, files, writer });
        Ok(Self { reader, notes, queue, threads: Mutex::new(threads), closing, measures, mended })
    }

    /// What the journal answers, to be kept.
    pub const fn reader(&self) -> &Arc<JournalReader> {
        &self.reader
    }

    /// What was done because the store of a replica was found damaged at its opening.
    pub const fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
    }

    /// Has each commit measured from now on. Only the first call has an effect.
    pub fn measured_by(&self, metrics: CommitMetrics) {
        let _ = self.measures.set(metrics);
    }

    /// What is noted next to the changes.
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Submits a write and waits until it is durable, rejected, or has failed.
    pub async fn commit(&self, write: Write) -> Result<Outcome, CommitError> {
        self.commit_by(write, None).await
    }

    /// The same, and remembers who sent it.
    pub async fn commit_by(&self, write: Write, actor: Actor) -> Result<Outcome, CommitError> {
        self.enqueue_by(write, actor).await?.outcome().await
    }

    /// As [`Journal::commit`], on a thread that may be blocked.
    pub fn commit_blocking(&self, write: Write) -> Result<Outcome, CommitError> {
        let (request, answer) = Request::of(write, None);
        self.queue.blocking_send(request).map_err(|_| CommitError::closed())?;
        answer.blocking_recv().map_err(|_| CommitError::closed())?
    }

    /// Submits a write, and waits only until it has its place: those that are enqueued one after another are decided and
    /// committed in this order.
    pub async fn enqueue(&self, write: Write) -> Result<Committing, CommitError> {
        self.enqueue_by(write, None).await
    }

    /// The same, and remembers who sent it.
    pub async fn enqueue_by(&self, write: Write, actor: Actor) -> Result<Committing, CommitError> {
        let (request, answer) = Request::of(write, actor);
        self.queue.send(request).await.map_err(|_| CommitError::closed())?;
        Ok(Committing(answer))
    }

    /// Submits a write without waiting, before others that come later. `None`: the queue is full or closed.
    pub fn commit_soon(&self, write: Write) -> Option<Committing> {
        let (request, answer) = Request::of(write, None);
        self.queue.try_send(request).ok()?;
        Some(Committing(answer))
    }

    /// Submits many writes as one, and waits until their transaction is durable or has failed. One outcome for each.
    pub async fn commit_all(&self, writes: Vec<Write>) -> Vec<Result<Outcome, CommitError>> {
        let count = writes.len();
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Request::Batch(writes, reply)).await.is_ok()
            && let Ok(outcomes) = answer.await
        {
            return outcomes;
        }
        (0..count).map(|_| Err(CommitError::closed())).collect()
    }

    /// As [`Journal::commit_all`], on a thread that may be blocked.
    pub fn commit_all_blocking(&self, writes: Vec<Write>) -> Vec<Result<Outcome, CommitError>> {
        let count = writes.len();
        let (reply, answer) = oneshot::channel();
        if self.queue.blocking_send(Request::Batch(writes, reply)).is_ok()
            && let Ok(outcomes) = answer.blocking_recv()
        {
            return outcomes;
        }
        (0..count).map(|_| Err(CommitError::closed())).collect()
    }

    /// Forgets the texts of versions that were replaced before a time, unix milliseconds: some of them, and more when
    /// called again. Not waited for.
    pub async fn prune(&self, before: i64) {
        // A closed journal is pruned when it is open again.
        let _ = self.queue.send(Request::Prune(before)).await;
    }

    /// Ends the writer after what is queued is committed. Later writes fail.
    pub async fn close(&self) {
        // Already closed: nothing to do.
        let _ = self.queue.send(Request::Close).await;
        self.closing.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A writer that panicked has said so already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
