//! The history of an account: its stored versions, and when and how each change of it was committed.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::{Operation, SubjectKind};
use crate::gate::{Client, Digest, Identity, Via};
use crate::key::AccountKey;

/// The id of no change.
const NO_CHANGE: i64 = 0;

/// A version of an account's JWT, as its history tells.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// Its place in the order of changes.
    pub serial: u64,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// The path on which it came.
    pub via: Via,
    /// The sender, to this server: its address, and the certificate that it showed. `None`: unknown, or it came from another
    /// server.
    pub actor: Option<Client>,
    /// Issue time, unix seconds.
    pub iat: i64,
    /// Expiry, unix seconds; 0 is never.
    pub exp: i64,
    /// SHA-256 of the signing input.
    pub identity: Identity,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// What the journal tells of one change of an account, its text aside.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Its place in the order of changes.
    pub serial: u64,
    /// The place of the account's newest change.
    pub newest: u64,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// The path on which it came.
    pub via: Via,
    /// Issue time of the JWT or of the delete request, unix seconds.
    pub iat: i64,
    /// SHA-256 of the signing input.
    pub identity: Identity,
    /// Whether it deleted the account.
    pub deletes: bool,
    /// Whether the account has left a read-only folder since.
    pub removed: bool,
    /// Whether earlier versions of the account are known.
    pub has_older: bool,
    /// Length of the JWT, or of the one before it if that is longer; bytes.
    pub bytes: usize,
}

impl JournalReader {
    /// A change of an account, its newest unless a serial is given. `None`: there is no such change. Blocks for a
    /// query.
    pub fn fact(&self, key: &AccountKey, serial: Option<u64>) -> Result<Option<Fact>, StoreError> {
        // The journal counts with signed numbers.
        if serial.is_some_and(|serial| i64::try_from(serial).is_err()) {
            return Ok(None);
        }
        self.read(|connection| {
            let id = match serial {
                None => None,
                Some(serial) => Some(self.id_of(connection, key, serial)?),
            };
            let found = connection
                .prepare_cached(
                    "SELECT c.serial, n.serial, c.at, c.via, c.iat, c.identity,
                         c.op, h.removed, h.ties <> x'' OR h.history <> x'' OR h.deleted IS NOT NULL,
                         coalesce(length(c.body), 0), h.history
                     FROM head h
                     JOIN change n ON n.id = iif(
                         h.deleted_row <> 0 AND (h.row = 0 OR h.iat <= h.deleted), h.deleted_row, h.row)
                     JOIN change c ON c.id = coalesce(?3, n.id)
                     WHERE h.kind = ?1 AND h.key = ?2 AND (c.key = h.key OR c.id = h.deleted_row)",
                )?
                .query_row(params![SubjectKind::Account, key.raw(), id], |row| {
                    let op: u8 = row.get(6)?;
                    let before = row.get_ref(10)?.as_blob()?.as_rchunks::<8>().1.last().copied();
                    let fact = Fact {
                        serial: row.get(0)?,
                        newest: row.get(1)?,
                        at: row.get(2)?,
                        via: Via::from_label(row.get_ref(3)?.as_str()?).unwrap_or(Via::Post),
                        iat: row.get(4)?,
                        identity: row.get(5)?,
                        deletes: op == Operation::Delete.tag(),
                        removed: row.get(7)?,
                        has_older: row.get(8)?,
                        bytes: row.get(9)?,
                    };
                    Ok((fact, before.map(i64::from_be_bytes)))
                })
                .optional()?;
            let Some((mut fact, before)) = found else { return Ok(None) };
            if let Some(before) = before {
                let mut length = connection.prepare_cached("SELECT length(body) FROM change WHERE id = ?1")?;
                let length: Option<usize> = length.query_row([before], |row| row.get(0)).optional()?.flatten();
                fact.bytes = fact.bytes.max(length.unwrap_or(0));
            }
            Ok(Some(fact))
        })
    }

    /// The versions of an account that are kept, oldest first; the last is its newest. Blocks for a query.
    pub fn versions(&self, key: &AccountKey) -> Result<Vec<StoredVersion>, StoreError> {
        self.read(|connection| {
            let Some(ids) = kept_ids(connection, key)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(
                "SELECT serial, at, via, iat, exp, identity, digest, actor FROM change
                     WHERE id = ?1 AND body IS NOT NULL",
            )?;
            let mut versions = Vec::with_capacity(ids.len());
            for id in ids {
                versions.extend(statement.query_row([id], version).optional()?);
            }
            Ok(versions)
        })
    }

    /// Whether a text is an earlier version that the account had here, be it that its text is no longer kept. The last few
    /// are known. Blocks for a query.
    pub fn was_held(&self, key: &AccountKey, digest: &Digest) -> Result<bool, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE id = ?1 AND digest = ?2)")?;
            for id in kept_ids(connection, key)?.unwrap_or_default() {
                if statement.query_row(params![id, digest], |row| row.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The text of one kept version of an account. Blocks for a query.
    pub fn text_of(&self, key: &AccountKey, serial: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let id = self.id_of(connection, key, serial)?;
            let kept = kept_ids(connection, key)?.is_some_and(|ids| ids.contains(&id));
            if !kept {
                return Ok(None);
            }
            let text = connection
                .prepare_cached("SELECT body FROM change WHERE id = ?1")?
                .query_row([id], |row| row.get::<_, Option<Vec<u8>>>(0))
                .optional()?;
            Ok(text.flatten())
        })
    }

    /// The id of a change of an account. What came outside the order may have a place in it, too.
    fn id_of(&self, connection: &Connection, key: &AccountKey, serial: u64) -> rusqlite::Result<i64> {
        let meta = self.state.meta();
        let kept = kept_ids(connection, key)?.unwrap_or_default();
        // A version of an order before may have a serial that is in use again.
        if serial > meta.log.floor.0 && kept.contains(&meta.log.id(serial)) {
            return Ok(meta.log.id(serial));
        }
        let mut place = connection.prepare_cached("SELECT serial FROM change WHERE id = ?1")?;
        for id in kept.into_iter().rev() {
            if serial != 0 && place.query_row([id], |row| row.get(0)).optional()? == Some(serial) {
                return Ok(id);
            }
        }
        // Below the floor are changes of the order before, which have other places.
        Ok(if serial <= meta.log.floor.0 { NO_CHANGE } else { meta.log.id(serial) })
    }
}

/// The changes with an account's kept versions, oldest first. `None`: nothing is known of it.
fn kept_ids(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<Vec<i64>>> {
    connection
        .prepare_cached("SELECT history, row FROM head WHERE kind = ?1 AND key = ?2")?
        .query_row(params![SubjectKind::Account, key.raw()], |row| {
            let history = row.get_ref(0)?.as_blob()?;
            let mut ids: Vec<i64> = history.as_chunks::<8>().0.iter().map(|id| i64::from_be_bytes(*id)).collect();
            ids.extend(Some(row.get::<_, i64>(1)?).filter(|id| *id != 0));
            Ok(ids)
        })
        .optional()
}

fn version(row: &Row<'_>) -> rusqlite::Result<StoredVersion> {
    Ok(StoredVersion {
        serial: row.get(0)?,
        at: row.get(1)?,
        via: Via::from_label(row.get_ref(2)?.as_str()?).unwrap_or(Via::Post),
        iat: row.get(3)?,
        exp: row.get(4)?,
        identity: row.get(5)?,
        digest: row.get(6)?,
        actor: row.get::<_, Option<String>>(7)?.map(|stored| Client::of_stored(&stored)),
    })
}
