//! The writer's thread: group commit.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::apply::Transaction;
use super::schema::Meta;
use super::{CommitError, Outcome, Write, checkpoint};
use crate::clock;
use crate::feed::{Change, Ring};

/// How many writes may wait, and so how many one transaction can hold.
pub(super) const QUEUE: usize = 256;

/// What the writer is asked to do.
pub(super) enum Request {
    Write(Write, oneshot::Sender<Result<Outcome, CommitError>>),
    Cursor(&'static str, u64),
    Close,
}

/// Figures that others read while the writer works.
#[derive(Debug)]
pub(super) struct Stats {
    count: AtomicU64,
}

impl Stats {
    pub(super) const fn new(count: u64) -> Self {
        Self { count: AtomicU64::new(count) }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// What is called with the changes of each transaction, between the disk and the answers.
pub(super) type OnCommit = Box<dyn Fn(&[Arc<Change>]) + Send>;

/// What a transaction came to.
struct Transacted {
    meta: Meta,
    changes: Vec<Arc<Change>>,
    /// Of each write, in order.
    outcomes: Vec<Result<Outcome, CommitError>>,
    /// Whether there is anything to commit.
    wrote: bool,
}

pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
    pub(super) history: usize,
    pub(super) ring: Arc<Ring>,
    pub(super) stats: Arc<Stats>,
    pub(super) on_commit: OnCommit,
}

impl Writer {
    pub(super) fn spawn(
        mut self,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<std::thread::JoinHandle<()>, StoreError> {
        let path = self.path.clone();
        std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || {
                let mut group = Vec::with_capacity(QUEUE);
                while requests.blocking_recv_many(&mut group, QUEUE) > 0 {
                    if group.iter().any(|request| matches!(request, Request::Close)) {
                        requests.close();
                    }
                    self.commit(&mut group);
                }
                let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
                checkpoint::fold_log(&connection, &self.path);
            })
            .map_err(StoreError::io("start the writer of", &path))
    }

    /// Commits everything in `group` in one transaction, then answers.
    fn commit(&mut self, group: &mut Vec<Request>) {
        match self.transact(group) {
            Ok(Transacted { meta, changes, outcomes, .. }) => {
                self.meta = meta;
                self.stats.count.store(self.meta.count, Ordering::Relaxed);
                if !changes.is_empty() {
                    // Durable. Caches and followers come before the answers, so that who is answered reads his own write.
                    (self.on_commit)(&changes);
                    self.ring.extend(changes);
                }
                let replies = group.drain(..).filter_map(|request| match request {
                    Request::Write(_, reply) => Some(reply),
                    Request::Cursor(..) | Request::Close => None,
                });
                for (reply, outcome) in replies.zip(outcomes) {
                    // Who asked may have gone; the change stands all the same.
                    let _ = reply.send(outcome);
                }
            }
            Err(source) => {
                let error = Arc::new(StoreError::Sqlite { path: self.path.clone(), source });
                tracing::error!(writes = group.len(), "cannot commit: {error}");
                for request in group.drain(..) {
                    if let Request::Write(_, reply) = request {
                        let _ = reply.send(Err(CommitError::Failed(error.clone())));
                    }
                }
            }
        }
    }

    fn transact(&self, group: &[Request]) -> rusqlite::Result<Transacted> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint::bound_log(&connection, &self.path);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let result = self.run(&connection, group);
        match &result {
            Ok(done) => {
                let ended = connection.execute_batch(if done.wrote { "COMMIT" } else { "ROLLBACK" });
                if let Err(error) = ended {
                    roll_back(&connection);
                    return Err(error);
                }
            }
            Err(_) => roll_back(&connection),
        }
        result
    }

    fn run(&self, connection: &Connection, group: &[Request]) -> rusqlite::Result<Transacted> {
        let mut transaction = Transaction {
            connection,
            meta: self.meta.clone(),
            history: self.history,
            changes: Vec::new(),
            repaired: Cell::new(false),
        };
        let mut wrote = false;
        let mut outcomes = Vec::with_capacity(group.len());
        let at = clock::unix_millis();
        for request in group {
            match request {
                Request::Write(write, _) => outcomes.push(transaction.apply(write, at)?),
                Request::Cursor(name, serial) => {
                    connection
                        .prepare_cached("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)")?
                        .execute((name, serial))?;
                    wrote = true;
                }
                Request::Close => {}
            }
        }
        if !transaction.changes.is_empty() {
            transaction.write_meta()?;
            wrote = true;
        }
        let Transaction { meta, changes, repaired, .. } = transaction;
        Ok(Transacted { meta, changes, outcomes, wrote: wrote || repaired.get() })
    }
}

fn roll_back(connection: &Connection) {
    // SQLite has rolled back by itself after some errors; then this one has nothing to do.
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}
