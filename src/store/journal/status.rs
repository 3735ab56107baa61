//! The status of one account: its JWT, or why it has none.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::error::StoreError;
use super::change::record;
use super::head;
use super::read::{JournalReader, Stored};
use crate::feed::{Subject, SubjectKind};
use crate::gate::{Held, Tombstone};
use crate::key::AccountKey;

/// Whether an account has a JWT, and if not, why.
#[derive(Debug, Clone)]
pub enum AccountStatus {
    /// The journal does not know it.
    Unknown,
    /// It has this JWT.
    Live(Stored),
    /// It was deleted.
    Deleted,
    /// Its file left a read-only folder.
    Removed,
}

impl JournalReader {
    /// The status of an account. Blocks for a query.
    pub fn status(&self, key: &AccountKey) -> Result<AccountStatus, StoreError> {
        let found = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT h.key, h.iat, h.exp, h.identity, h.issuer, h.digest, c.body, coalesce(c.serial, 0), h.removed,
                            h.row, h.deleted IS NOT NULL AND (h.issuer = x'' OR h.iat <= h.deleted)
                     FROM head h LEFT JOIN change c ON c.id = h.row WHERE h.kind = ?1 AND h.key = ?2",
                )?
                .query_row(params![SubjectKind::Account, key.raw()], |row| {
                    let (serial, removed, deleted): (u64, bool, bool) = (row.get(7)?, row.get(8)?, row.get(10)?);
                    let is_live = row.get::<_, i64>(9)? != 0 && !removed && !deleted;
                    Ok((if is_live { Some((record(row)?, serial)) } else { None }, removed, deleted))
                })
                .optional()
        })?;
        Ok(match found {
            Some((Some((record, serial)), ..)) => AccountStatus::Live(self.stored(record, serial)?),
            Some((None, _, true)) => AccountStatus::Deleted,
            Some((None, true, _)) => AccountStatus::Removed,
            // Either it is unknown, or the journal never had its text.
            _ => AccountStatus::Unknown,
        })
    }

    /// What the order of an account's versions depends on. Blocks for a query.
    pub fn held(&self, key: &AccountKey) -> Result<Held, StoreError> {
        let row = self.read(|connection| head::load(connection, &self.state.log(), &Subject::Account(*key)))?;
        Ok(row.map(|row| row.held).unwrap_or_default())
    }

    /// The delete request by which an account is deleted now; `None` if it is not. The operator may have withdrawn the key
    /// that signed it since. Blocks for a query.
    pub fn tombstone(&self, key: &AccountKey) -> Result<Option<Arc<Tombstone>>, StoreError> {
        let request = self.read(|connection| {
            let Some(id) = deleted_by(connection, key)? else { return Ok(None) };
            let body = connection
                .prepare_cached("SELECT body FROM change WHERE id = ?1")?
                .query_row([id], |row| row.get::<_, Option<Vec<u8>>>(0))
                .optional()?;
            Ok(Some(body.flatten().unwrap_or_default()))
        })?;
        let Some(request) = request else { return Ok(None) };
        match Tombstone::reopen(request.into()) {
            Some(tombstone) => Ok(Some(Arc::new(tombstone))),
            None => Err(self.unusable(&format!("the stored request that deleted account {key} cannot be read back"))),
        }
    }

    /// Whether each of these accounts is deleted now. Blocks for a query for each.
    pub fn are_all_deleted(&self, keys: &[AccountKey]) -> Result<bool, StoreError> {
        self.read(|connection| {
            for key in keys {
                if deleted_by(connection, key)?.is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}

/// The change with the delete request, if the account is deleted.
fn deleted_by(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT deleted_row FROM head
             WHERE kind = ?1 AND key = ?2 AND deleted_row <> 0 AND (issuer = x'' OR iat <= deleted)",
        )?
        .query_row(params![SubjectKind::Account, key.raw()], |row| row.get(0))
        .optional()
}
