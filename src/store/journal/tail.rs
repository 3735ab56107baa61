//! The bound of a cache's log.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rusqlite::Connection;

use super::schema::{Meta, Role};
use super::transaction::Transaction;
use crate::feed::Link as _;
use crate::key::AccountKey;

/// Whether the text of an account is kept although its change leaves the log.
pub type IsWanted = Arc<dyn Fn(&AccountKey) -> bool + Send + Sync>;

/// Bytes of a change without its text, about.
pub(super) const AROUND: usize = 300;

/// What a cache keeps.
#[derive(Clone)]
pub struct CacheBound {
    /// Bytes of the latest changes.
    pub log_bytes: u64,
    /// Which accounts' texts are kept besides.
    pub is_wanted: IsWanted,
}

impl fmt::Debug for CacheBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheBound({} bytes)", self.log_bytes)
    }
}

/// The log of a cache, whose length is bounded. Other logs are not.
#[derive(Debug)]
pub(super) struct Tail {
    bound: Option<CacheBound>,
    bytes: Cell<u64>,
}

impl Tail {
    pub(super) fn load(connection: &Connection, meta: &Meta, bound: Option<CacheBound>) -> rusqlite::Result<Self> {
        let bound = bound.filter(|_| meta.role == Role::Cache);
        let bytes = match &bound {
            Some(_) => connection.query_row(
                "SELECT coalesce(sum(?2 + coalesce(length(body), 0)), 0) FROM change WHERE id > ?1",
                (meta.log.id(meta.log.floor.0), AROUND),
                |row| row.get(0),
            )?,
            None => 0,
        };
        Ok(Self { bound, bytes: Cell::new(bytes) })
    }

    /// Counts what the transaction added, and shortens the log if there is too much.
    pub(super) fn shorten(&self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        let Some(bound) = &self.bound else { return Ok(()) };
        if transaction.begun.is_some() {
            self.bytes.set(0);
        }
        let added: usize = transaction.changes.iter().map(|change| AROUND + change.weight()).sum();
        self.bytes.set(self.bytes.get() + added as u64);
        if self.bytes.get() > bound.log_bytes {
            let left = transaction.shorten(&*bound.is_wanted)?;
            self.bytes.set(self.bytes.get().saturating_sub(left));
        }
        Ok(())
    }
}
