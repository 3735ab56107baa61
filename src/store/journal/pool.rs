//! Connections for queries: opened once, lent, and returned.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::super::error::StoreError;
use super::open::open_reader;
use super::schema;

/// Connections reserved for queries that read much, so that a query for one account never waits for them.
const BULK: usize = 2;

/// Connections for readers.
#[derive(Debug)]
pub(super) enum Readers {
    /// Some for queries about one account, and some for queries that read much.
    Pools { single: Pool, bulk: Pool },
    /// A journal in memory has one connection, for all.
    Shared(Arc<Mutex<Connection>>),
}

/// Connections that are lent and returned. A query that finds none waits, because opening one costs more than a query.
///
/// To begin and end a read transaction costs as much as a query for one account: SQLite locks the log's index, which all
/// connections share, and they compete for it. So such a query may leave its transaction open for the next one, until
/// something is committed. An open transaction keeps the log from being written back; [`Readers::end_kept`] ends it.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Lent>>,
    returned: Condvar,
    /// Commits since the journal was opened.
    commits: AtomicU64,
}

/// A connection, and what it has open.
#[derive(Debug)]
struct Lent {
    connection: Connection,
    /// How many commits there were when its read transaction began. `None`: it has none.
    kept: Option<u64>,
}

impl Lent {
    /// Begins a read transaction that sees the first `commits` commits, unless it has one.
    fn keep(&mut self, commits: u64) -> rusqlite::Result<()> {
        if self.kept == Some(commits) {
            return Ok(());
        }
        self.end();
        self.connection.execute_batch("BEGIN")?;
        self.kept = Some(commits);
        Ok(())
    }

    fn end(&mut self) {
        if self.kept.take().is_some() {
            // It has only read: it ends even if SQLite reports an error.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

impl Pool {
    fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let open = |_| {
            let connection = open_reader(path)?;
            // Opened now, so that it has this log and not a later one.
            schema::head(&connection).map_err(StoreError::sqlite(path))?;
            Ok(Lent { connection, kept: None })
        };
        let idle = (0..count.max(1)).map(open).collect::<Result<_, StoreError>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), commits: AtomicU64::new(0) })
    }

    fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.lend(|lent| {
            lent.end();
            query(&lent.connection)
        })
    }

    /// For a query that may share a read transaction with those before it.
    fn with_kept<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        // Read before the transaction begins: it has at least this many commits.
        let commits = self.commits.load(Ordering::Acquire);
        self.lend(|lent| {
            let result = lent.keep(commits).and_then(|()| query(&lent.connection));
            if result.is_err() {
                lent.end();
            }
            result
        })
    }

    fn lend<T>(&self, ask: impl FnOnce(&mut Lent) -> T) -> T {
        let mut waiting = self.idle.lock();
        let mut lent = loop {
            match waiting.pop() {
                Some(lent) => break lent,
                None => self.returned.wait(&mut waiting),
            }
        };
        drop(waiting);
        let result = ask(&mut lent);
        self.idle.lock().push(lent);
        self.returned.notify_one();
        result
    }

    fn end_kept(&self) {
        self.idle.lock().iter_mut().for_each(Lent::end);
    }
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        Ok(Self::Pools { single: Pool::open(path, count)?, bulk: Pool::open(path, BULK)? })
    }

    pub(super) const fn shared(connection: Arc<Mutex<Connection>>) -> Self {
        Self::Shared(connection)
    }

    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(connection) => query(&connection.lock()),
            Self::Pools { single, .. } => single.with(query),
        }
    }

    /// For a query of one statement about one account: its read transaction may stay open for the next such query.
    pub(super) fn with_kept<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(_) => self.with(query),
            Self::Pools { single, .. } => single.with_kept(query),
        }
    }

    /// Lets queries see what was committed a moment ago. Called after each commit, before it is acknowledged.
    pub(super) fn has_committed(&self) {
        if let Self::Pools { single, .. } = self {
            single.commits.fetch_add(1, Ordering::Release);
        }
    }

    /// Ends the read transactions that nobody uses now, so that the log can be written back.
    pub(super) fn end_kept(&self) {
        if let Self::Pools { single, .. } = self {
            single.end_kept();
        }
    }

    /// For a query that reads much.
    pub(super) fn with_bulk<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(_) => self.with(query),
            Self::Pools { bulk, .. } => bulk.with(query),
        }
    }
}
