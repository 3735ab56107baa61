//! The accounts that are served: live, not expired, and signed by a key for which the operator vouches now. And those that
//! are withheld: live, but signed by another key.

use std::sync::Arc;

use rusqlite::{Row, params};

use super::super::error::StoreError;
use super::change::record;
use super::effect::Currency;
use super::read::{JournalReader, Stored};
use crate::gate::{Entry, Record, Standing};
use crate::key::{AccountKey, Kind, PublicKey};

/// A piece with this much text is full, in bytes.
const TEXT: usize = 1 << 20;

/// JWTs that are served, in the order of their accounts' keys.
#[derive(Debug)]
pub struct Served {
    /// Those of this piece; there may be none, and still more to come.
    pub accounts: Vec<Stored>,
    /// How many were left out because they are damaged.
    pub damaged: usize,
    /// The account after which the next piece begins; `None`: this was the last one.
    pub next: Option<AccountKey>,
}

/// Accounts that are served, in the order of their keys.
#[derive(Debug)]
pub struct ServedKeys {
    /// Those of this piece; there may be none, and still more to come.
    pub keys: Vec<AccountKey>,
    /// The account after which the next piece begins; `None`: this was the last one.
    pub next: Option<AccountKey>,
}

/// Rows that were looked at.
struct ServedPiece<T> {
    found: Vec<T>,
    next: Option<AccountKey>,
}

impl JournalReader {
    /// The JWTs that are served at `now`, unix seconds, of accounts after `after`: `limit` accounts are looked at, or as many
    /// as make about 1 MiB of text. Blocks for a query.
    ///
    /// Pieces are read one after another, so between two of them accounts may change.
    pub fn served(&self, after: Option<&AccountKey>, limit: usize, now: i64) -> Result<Served, StoreError> {
        // A missing text is damage, like a changed one.
        let query = "SELECT l.key, l.iat, l.exp, l.identity, l.issuer, l.digest, coalesce(c.body, x''), c.serial
                     FROM live l LEFT JOIN change c ON c.id = l.row
                     WHERE l.key > ?1 ORDER BY l.key LIMIT ?2";
        let ServedPiece { found, next } = self.look(query, after, limit, now, |row| {
            let record = record(row)?;
            let bytes = record.token.len();
            Ok(((record, row.get::<_, Option<u64>>(7)?.unwrap_or(0)), bytes))
        })?;
        let looked = found.len();
        let open = |(record, serial): (Record, u64)| match Entry::reopen(record) {
            Ok(entry) => Some(Stored { entry: Arc::new(entry), serial, currency: Currency::default() }),
            Err(damaged) => {
                tracing::error!(account = %damaged.0, "{}", self.damaged(&damaged));
                None
            }
        };
        let accounts: Vec<_> = found.into_iter().filter_map(open).collect();
        Ok(Served { damaged: looked - accounts.len(), accounts, next })
    }

    /// The accounts after `after` that are served at `now`, unix seconds: `limit` are looked at. Blocks for a query.
    pub fn served_keys(&self, after: Option<&AccountKey>, limit: usize, now: i64) -> Result<ServedKeys, StoreError> {
        let query = "SELECT key, iat, exp, identity, issuer FROM live WHERE key > ?1 ORDER BY key LIMIT ?2";
        let ServedPiece { found, next } = self.look(query, after, limit, now, |row| Ok((key(row)?, 0)))?;
        Ok(ServedKeys { keys: found, next })
    }

    /// Runs a query over live accounts, whose columns begin with key, iat, exp, identity and issuer. Returns what is served,
    /// with the length of its text.
    fn look<T>(
        &self,
        query: &str,
        after: Option<&AccountKey>,
        limit: usize,
        now: i64,
        take: impl Fn(&Row<'_>) -> rusqlite::Result<(T, usize)>,
    ) -> Result<ServedPiece<T>, StoreError> {
        // A limit of 0 would never make progress.
        let limit = limit.max(1);
        let standing = self.gate.standing();
        self.read_bulk(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let after: &[u8] = after.map_or(&[], |key| key.raw());
            let mut rows = statement.query(params![after, limit])?;
            let (mut found, mut last, mut looked, mut text) = (Vec::new(), None, 0, 0);
            while text < TEXT {
                let Some(row) = rows.next()? else { break };
                (last, looked) = (Some(key(row)?), looked + 1);
                let issuer = PublicKey::from_raw(Kind::Operator, row.get(4)?);
                let exp: i64 = row.get(2)?;
                if standing.vouches(&issuer) && !(exp > 0 && now > exp) {
                    let (taken, length) = take(row)?;
                    found.push(taken);
                    text += length;
                }
            }
            let is_full = looked == limit || text >= TEXT;
            Ok(ServedPiece { found, next: last.filter(|_| is_full) })
        })
    }
}

impl JournalReader {
    /// How many live accounts are withheld, or would be under this standing.
    pub fn withheld(&self, standing: &Standing) -> u64 {
        self.stats.with_signers(|signers| {
            signers.keys.iter().filter(|(key, _)| !standing.vouches(key)).map(|(_, signed)| signed.accounts).sum()
        })
    }

    /// How many live accounts there are that one standing vouches for, and another does not.
    pub fn lost_between(&self, before: &Standing, after: &Standing) -> u64 {
        self.stats.with_signers(|signers| {
            let lost = |key: &PublicKey| before.vouches(key) && !after.vouches(key);
            signers.keys.iter().filter(|(key, _)| lost(key)).map(|(_, signed)| signed.accounts).sum()
        })
    }

    /// Some of the accounts that are withheld, with the keys that signed them. It reads every account: about a second for a
    /// million.
    pub fn withheld_accounts(
        &self,
        standing: &Standing,
        limit: usize,
    ) -> Result<Vec<(AccountKey, PublicKey)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT key, issuer FROM live")?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let issuer = PublicKey::from_raw(Kind::Operator, row.get(1)?);
                if !standing.vouches(&issuer) {
                    found.push((AccountKey::from_raw(row.get(0)?), issuer));
                }
            }
            Ok(found)
        })
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<AccountKey> {
    row.get(0).map(AccountKey::from_raw)
}
