//! The accounts and activations that changed, for the token folder that follows the journal.

use rusqlite::params;

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::{Operation, SubjectKind};
use crate::gate::{Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

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

impl JournalReader {
    /// The accounts and activations that changed after `serial`, except those that the first scan brought from a file. It
    /// reads at most `limit` changes. Blocks for a query.
    pub fn pending(&self, serial: u64, limit: u64) -> Result<Pending, StoreError> {
        let reached = self.head().serial.min(serial.saturating_add(limit));
        self.read_bulk(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT serial, kind, key, iif(op = ?4, body, NULL) FROM change
                 WHERE id > ?1 AND id <= ?2 AND via <> ?3 AND kind IN (?5, ?6) ORDER BY id",
            )?;
            let (scan, delete) = (Via::FirstScan.label(), Operation::Delete.tag());
            let log = self.state.log();
            let args =
                params![log.id(serial), log.id(reached), scan, delete, SubjectKind::Account, SubjectKind::Activation];
            let mut rows = statement.query(args)?;
            let mut pending = Pending { reached, ..Pending::default() };
            while let Some(row) = rows.next()? {
                let serial = row.get(0)?;
                match (SubjectKind::from_code(row.get(1)?), row.get(2)?) {
                    (Some(SubjectKind::Activation), Some(key)) => {
                        pending.activations.push((HashId::from_raw(key), serial));
                    }
                    (_, Some(key)) => pending.keys.push((AccountKey::from_raw(key), serial)),
                    (_, None) => {}
                }
                let request: Option<Vec<u8>> = row.get(3)?;
                if let Some(tombstone) = request.and_then(|request| Tombstone::reopen(request.into())) {
                    pending.keys.extend(tombstone.keys().iter().map(|key| (*key, serial)));
                }
            }
            Ok(pending)
        })
    }
}
