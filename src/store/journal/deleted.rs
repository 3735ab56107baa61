//! Which delete request keeps an account away.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::SubjectKind;
use crate::gate::Tombstone;
use crate::key::AccountKey;

impl JournalReader {
    /// The delete request by which an account is deleted now; `None` if it is not. The operator may have withdrawn the key
    /// that signed it since. Blocks for a query.
    pub fn tombstone(&self, key: &AccountKey) -> Result<Option<Arc<Tombstone>>, StoreError> {
        let request = self.read(|connection| {
            let Some(serial) = deleted_by(connection, key)? else { return Ok(None) };
            let body = connection
                .prepare_cached("SELECT body FROM change WHERE serial = ?1")?
                .query_row([serial], |row| row.get::<_, Option<Vec<u8>>>(0))
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

/// The serial of the delete request, if the account is deleted.
fn deleted_by(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT deleted_serial FROM head
             WHERE kind = ?1 AND key = ?2 AND deleted_serial IS NOT NULL AND (issuer = x'' OR iat <= deleted)",
        )?
        .query_row(params![SubjectKind::Account, key.raw()], |row| row.get(0))
        .optional()
}
