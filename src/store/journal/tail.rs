//! The bounds of a cache: of its log, and of all texts that it stores.

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
/// The memory around a text in a cache, in bytes, as `cargo bench --bench replication` found it for a million copies.
const AROUND_COPY: u64 = 1200;

/// What a text counts against the bound of a cache, in bytes.
pub const fn weight_of(length: usize) -> u64 {
    length as u64 + AROUND_COPY
}

/// What a cache keeps.
#[derive(Clone)]
pub struct CacheBound {
    /// Bytes of the latest changes.
    pub log_bytes: u64,
    /// The weight of all texts ([`weight_of`]), besides those of the latest changes.
    pub text_bytes: u64,
    /// Whether a text that leaves the log stays as long as there is room, even if no client asked for it.
    pub keeps_unasked: bool,
    /// Which accounts' texts are kept besides.
    pub is_wanted: IsWanted,
}

impl CacheBound {
    /// What all texts may weigh.
    const fn most(&self) -> u64 {
        self.text_bytes.saturating_add(self.log_bytes)
    }
}

/// Which texts stay when their changes leave the log.
pub(super) struct Keeping<'b> {
    is_wanted: &'b dyn Fn(&AccountKey) -> bool,
    /// By how much the texts may become more in this transaction for one to stay that nobody asked for.
    room: i64,
}

impl Keeping<'_> {
    /// Whether the text of an account stays. `grown`: by how much the texts have become more in this transaction.
    pub(super) fn keeps(&self, key: &AccountKey, grown: i64) -> bool {
        (self.is_wanted)(key) || grown <= self.room
    }
}

impl fmt::Debug for CacheBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheBound({} bytes of log, {} bytes of texts)", self.log_bytes, self.text_bytes)
    }
}

/// The size of a cache, which is bounded. Other stores are not.
#[derive(Debug)]
pub(super) struct Tail {
    bound: Option<CacheBound>,
    size: CacheSize,
}

/// What a cache stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheSize {
    /// Bytes of the log.
    pub(super) log: u64,
    /// The weight of all texts.
    pub(super) texts: u64,
}

impl Tail {
    pub(super) fn load(connection: &Connection, meta: &Meta, bound: Option<CacheBound>) -> rusqlite::Result<Self> {
        let bound = bound.filter(|_| meta.role == Role::Cache);
        let size = match &bound {
            Some(_) => connection.query_row(
                "SELECT coalesce(sum(?2 + coalesce(length(body), 0)) FILTER (WHERE id > ?1), 0),
                        coalesce(sum(?3 + length(body)), 0)
                 FROM change",
                (meta.log.id(meta.log.floor.0), AROUND, AROUND_COPY),
                |row| Ok(CacheSize { log: row.get(0)?, texts: row.get(1)? }),
            )?,
            None => CacheSize::default(),
        };
        Ok(Self { bound, size })
    }

    /// Shortens the log if there is too much with what the transaction adds. Returns what the cache stores then.
    pub(super) fn shorten(&self, transaction: &mut Transaction<'_>) -> rusqlite::Result<CacheSize> {
        let Some(bound) = &self.bound else { return Ok(CacheSize::default()) };
        let keeping = Keeping {
            is_wanted: &*bound.is_wanted,
            room: if bound.keeps_unasked { room(bound.most(), self.size.texts) } else { i64::MIN },
        };
        let left = std::mem::take(&mut transaction.left);
        let before = if left.is_empty() { self.size.log } else { 0 };
        for (before, last) in left {
            transaction.leave(before, last, &keeping)?;
        }
        let around = (transaction.changes.len() * AROUND) as u64;
        let mut log = before.saturating_add(around).saturating_add_signed(transaction.log_bytes.get());
        if log > bound.log_bytes {
            log = log.saturating_sub(transaction.shorten(&keeping)?);
        }
        Ok(CacheSize { log, texts: self.size.texts.saturating_add_signed(transaction.text_weight.get()) })
    }

    /// Notes what was committed.
    pub(super) const fn set(&mut self, size: CacheSize) {
        self.size = size;
    }

    /// The weight of all texts.
    pub(super) const fn texts(&self) -> u64 {
        self.size.texts
    }

    /// What they may weigh.
    pub(super) fn bound(&self) -> Option<u64> {
        self.bound.as_ref().map(CacheBound::most)
    }
}

fn room(bound: u64, texts: u64) -> i64 {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(bound).saturating_sub(signed(texts))
}
