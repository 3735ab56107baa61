//! Connections for queries: opened once, lent, and returned.

use std::path::Path;
use std::sync::Arc;

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
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Pool {
    fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let open = |_| {
            let connection = open_reader(path)?;
            // Opened now, so that it has this log and not a later one.
            schema::head(&connection).map_err(StoreError::sqlite(path))?;
            Ok(connection)
        };
        let idle = (0..count.max(1)).map(open).collect::<Result<_, StoreError>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut waiting = self.idle.lock();
        let connection = loop {
            match waiting.pop() {
                Some(connection) => break connection,
                None => self.returned.wait(&mut waiting),
            }
        };
        drop(waiting);
        let result = query(&connection);
        self.idle.lock().push(connection);
        self.returned.notify_one();
        result
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

    /// For a query that reads much.
    pub(super) fn with_bulk<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(_) => self.with(query),
            Self::Pools { bulk, .. } => bulk.with(query),
        }
    }
}
