//! The bound of a cache's log.

use std::fmt;
use std::sync::Arc;

use rusqlite::Connection;

use super::schema::{Meta, Role};
use super::transaction::Transaction;
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
    bytes: u64,
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
        Ok(Self { bound, bytes })
    }

    /// Shortens the log if there is too much with what the transaction adds. Returns the bytes that it has then.
    pub(super) fn shorten(&self, transaction: &mut Transaction<'_>) -> rusqlite::Result<u64> {
        let Some(bound) = &self.bound else { return Ok(0) };
        let left = std::mem::take(&mut transaction.left);
        let before = if left.is_empty() { self.bytes } else { 0 };
        for (before, last) in left {
            transaction.leave(before, last, &*bound.is_wanted)?;
        }
        let around = (transaction.changes.len() * AROUND) as u64;
        let mut bytes = before.saturating_add(around).saturating_add_signed(transaction.log_bytes.get());
        if bytes > bound.log_bytes {
            bytes = bytes.saturating_sub(transaction.shorten(&*bound.is_wanted)?);
        }
        Ok(bytes)
    }

    /// Notes what was committed.
    pub(super) const fn set(&mut self, bytes: u64) {
        self.bytes = bytes;
    }
}
