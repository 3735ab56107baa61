//! What stands for one account, its versions, and what has changed for those who keep files.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::error::StoreError;
use super::change::record;
use super::head;
use super::read::{JournalReader, Stored};
use crate::feed::{Operation, Subject, SubjectKind};
use crate::gate::{Digest, Entry, Held, Identity, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// Whether an account has a JWT, and if not, why.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Nothing was ever heard of it.
    Unknown,
    /// It has this JWT.
    Live(Stored),
    /// It was deleted.
    Deleted,
    /// Its file left a read-only folder.
    Removed,
}

/// A version of an account's JWT, as its history tells.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its place in the order of changes.
    pub serial: u64,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// The path on which it came.
    pub via: Via,
    /// Issue time, unix seconds.
    pub iat: i64,
    /// Expiry, unix seconds; 0 is never.
    pub exp: i64,
    /// SHA-256 of the signing input.
    pub identity: Identity,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// Accounts whose files may have to follow the journal.
#[derive(Debug, Default)]
pub struct Pending {
    /// The accounts of some changes, in order, with the serial of each change.
    pub keys: Vec<(AccountKey, u64)>,
    /// The activations that changed, likewise.
    pub activations: Vec<(HashId, u64)>,
    /// These are all there are up to this serial.
    pub reached: u64,
}

struct PendingRow {
    serial: u64,
    kind: Option<SubjectKind>,
    key: Option<[u8; 32]>,
    request: Option<Vec<u8>>,
}

/// The head row of an account, with the body that it points to.
struct HeadRow {
    serial: u64,
    gone: bool,
    removed: bool,
}

impl JournalReader {
    /// What stands for an account. Blocks for a query.
    pub fn presence(&self, key: &AccountKey) -> Result<Presence, StoreError> {
        let found = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT h.key, h.iat, h.exp, h.identity, h.issuer, h.digest, c.body, h.serial, h.removed,
                            h.deleted IS NOT NULL AND (h.issuer = x'' OR h.iat <= h.deleted)
                     FROM head h LEFT JOIN change c ON c.serial = h.serial WHERE h.kind = ?1 AND h.key = ?2",
                )?
                .query_row(params![SubjectKind::Account, key.raw()], |row| {
                    let head = HeadRow { serial: row.get(7)?, gone: row.get(9)?, removed: row.get(8)? };
                    let live = !head.gone && !head.removed && head.serial != 0;
                    Ok((head, if live { Some(record(row)?) } else { None }))
                })
                .optional()
        })?;
        Ok(match found {
            None => Presence::Unknown,
            Some((head, Some(record))) => {
                let entry = Arc::new(Entry::reopen(record).map_err(|damaged| self.damaged(&damaged))?);
                Presence::Live(Stored { entry, serial: head.serial })
            }
            Some((head, None)) if head.gone => Presence::Deleted,
            Some((head, None)) if head.removed => Presence::Removed,
            // Its text never was here.
            Some(_) => Presence::Unknown,
        })
    }

    /// What the order of an account's versions depends on. Blocks for a query.
    pub fn held(&self, key: &AccountKey) -> Result<Held, StoreError> {
        let row = self.read(|connection| head::load(connection, &Subject::Account(*key)))?;
        Ok(row.map(|row| row.held).unwrap_or_default())
    }

    /// The versions of an account that are kept, oldest first; the last is its newest. Blocks for a query.
    pub fn versions(&self, key: &AccountKey) -> Result<Vec<Version>, StoreError> {
        self.read(|connection| {
            let Some(serials) = kept_serials(connection, key)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(
                "SELECT serial, at, via, iat, exp, identity, digest FROM change
                     WHERE serial = ?1 AND body IS NOT NULL",
            )?;
            let mut versions = Vec::with_capacity(serials.len());
            for serial in serials {
                versions.extend(statement.query_row([serial], version).optional()?);
            }
            Ok(versions)
        })
    }

    /// Whether a text is an earlier version that the account had here, be it that its text is no longer kept. The last few
    /// are known. Blocks for a query.
    pub fn was_held(&self, key: &AccountKey, digest: &Digest) -> Result<bool, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE serial = ?1 AND digest = ?2)")?;
            for serial in kept_serials(connection, key)?.unwrap_or_default() {
                if statement.query_row(params![serial, digest], |row| row.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The text of one kept version of an account. Blocks for a query.
    pub fn text_of(&self, key: &AccountKey, serial: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let kept = kept_serials(connection, key)?.is_some_and(|serials| serials.contains(&serial));
            if !kept {
                return Ok(None);
            }
            let text = connection
                .prepare_cached("SELECT body FROM change WHERE serial = ?1")?
                .query_row([serial], |row| row.get::<_, Option<Vec<u8>>>(0))
                .optional()?;
            Ok(text.flatten())
        })
    }

    /// The accounts and activations that changed after `serial`, but for those that a file brought at the first scan: at most `limit`
    /// changes are looked at. Blocks for a query.
    pub fn pending(&self, serial: u64, limit: u64) -> Result<Pending, StoreError> {
        let reached = self.head().serial.min(serial.saturating_add(limit));
        let rows = self.read_bulk(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT serial, kind, key, iif(op = ?4, body, NULL) FROM change
                 WHERE serial > ?1 AND serial <= ?2 AND via <> ?3 AND kind IN (?5, ?6) ORDER BY serial",
            )?;
            let (scan, delete) = (Via::FirstScan.label(), Operation::Delete.tag());
            let args = params![serial, reached, scan, delete, SubjectKind::Account, SubjectKind::Activation];
            statement
                .query_map(args, |row| {
                    Ok(PendingRow {
                        serial: row.get(0)?,
                        kind: SubjectKind::from_code(row.get(1)?),
                        key: row.get(2)?,
                        request: row.get(3)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let mut pending = Pending { reached, ..Pending::default() };
        for PendingRow { serial, kind, key, request } in rows {
            match key {
                Some(key) if kind == Some(SubjectKind::Activation) => {
                    pending.activations.push((HashId::from_raw(key), serial));
                }
                Some(key) => pending.keys.push((AccountKey::from_raw(key), serial)),
                None => {}
            }
            if let Some(tombstone) = request.and_then(|request| Tombstone::reopen(request.into())) {
                pending.keys.extend(tombstone.keys().iter().map(|key| (*key, serial)));
            }
        }
        Ok(pending)
    }

    /// Live accounts in the order of their keys, after `after`, at most `limit`. Blocks for a query.
    pub fn live_keys(&self, after: Option<&AccountKey>, limit: usize) -> Result<Vec<AccountKey>, StoreError> {
        self.read_bulk(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT key FROM live WHERE key > ?1 ORDER BY key LIMIT ?2")?;
            let after: &[u8] = after.map_or(&[], |key| key.raw());
            let keys = statement.query_map(params![after, limit], |row| row.get::<_, [u8; 32]>(0))?;
            keys.map(|key| key.map(AccountKey::from_raw)).collect()
        })
    }
}

/// Serials of an account's kept versions, oldest first. `None`: nothing is known of it.
fn kept_serials(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<Vec<u64>>> {
    connection
        .prepare_cached("SELECT history, serial FROM head WHERE kind = ?1 AND key = ?2")?
        .query_row(params![SubjectKind::Account, key.raw()], |row| {
            let history = row.get_ref(0)?.as_blob()?;
            let mut serials: Vec<u64> =
                history.as_chunks::<8>().0.iter().map(|serial| u64::from_be_bytes(*serial)).collect();
            serials.extend(Some(row.get::<_, u64>(1)?).filter(|serial| *serial != 0));
            Ok(serials)
        })
        .optional()
}

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    Ok(Version {
        serial: row.get(0)?,
        at: row.get(1)?,
        via: Via::from_label(row.get_ref(2)?.as_str()?).unwrap_or(Via::Post),
        iat: row.get(3)?,
        exp: row.get(4)?,
        identity: row.get(5)?,
        digest: row.get(6)?,
    })
}
