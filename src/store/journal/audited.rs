//! The changes of the log as the audit log tells them: with their senders, and without their texts.

use rusqlite::{Row, params};

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::{Operation, Subject, SubjectKind};
use crate::gate::{Activation, Client, Tombstone};
use crate::jwt;
use crate::key::AccountKey;

/// Bytes of texts that are read at once: the request that deletes many accounts makes a long line.
const TEXTS: usize = 4 << 20;

/// A change, for the audit log.
#[derive(Debug, Clone)]
pub struct AuditedChange {
    /// Its serial.
    pub serial: u64,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// What it does.
    pub operation: Operation,
    /// What it is about: several accounts, if a request deletes several.
    pub subjects: Vec<Subject>,
    /// The account that vouches, of an activation.
    pub account: Option<AccountKey>,
    /// The name that the JWT gives. `None`: it gives none, or the text is no longer stored.
    pub name: Option<String>,
    /// The path on which it came.
    pub via: String,
    /// The sender: its address, and the certificate that it showed.
    pub actor: Option<Client>,
}

impl JournalReader {
    /// At most `limit` changes after a serial, in order; fewer if their texts are large. Blocks for a query.
    pub fn audited(&self, serial: u64, limit: u64) -> Result<Vec<AuditedChange>, StoreError> {
        self.read_bulk(|connection| {
            let log = self.state.log();
            let serial = serial.max(log.floor.0);
            let last = serial.saturating_add(limit).min(self.head().serial);
            let mut statement = connection.prepare_cached(
                "SELECT serial, at, op, kind, key, via, actor, body, digest FROM change WHERE id > ?1 AND id <= ?2 ORDER BY id",
            )?;
            let mut rows = statement.query(params![log.id(serial), log.id(last)])?;
            let (mut changes, mut bytes) = (Vec::new(), 0);
            while bytes < TEXTS
                && let Some(row) = rows.next()?
            {
                bytes += row.get_ref(7)?.as_blob_or_null()?.map_or(0, <[u8]>::len);
                changes.push(change(row)?);
            }
            Ok(changes)
        })
    }
}

fn change(row: &Row<'_>) -> rusqlite::Result<AuditedChange> {
    let operation = Operation::from_tag(row.get(2)?).unwrap_or(Operation::Put);
    let kind = SubjectKind::from_code(row.get(3)?).unwrap_or(SubjectKind::Account);
    let (key, body): (Option<[u8; 32]>, Option<Vec<u8>>) = (row.get(4)?, row.get(7)?);
    let text = body.as_deref().filter(|_| key.is_some());
    let subjects = match key {
        Some(key) => vec![Subject::from_raw(kind, key)],
        None => deleted(body.as_deref().unwrap_or_default()),
    };
    let claims = text.and_then(jwt::glance);
    let digest = row.get(8)?;
    let activation =
        text.filter(|_| kind == SubjectKind::Activation).and_then(|text| Activation::reopen(text, &digest));
    Ok(AuditedChange {
        serial: row.get(0)?,
        at: row.get(1)?,
        operation,
        subjects,
        account: activation.map(|activation| *activation.account()),
        name: claims.map(|claims| claims.name).filter(|name| !name.is_empty()),
        via: row.get(5)?,
        actor: row.get::<_, Option<String>>(6)?.map(|stored| Client::of_stored(&stored)),
    })
}

/// The accounts that a request deletes.
fn deleted(request: &[u8]) -> Vec<Subject> {
    let tombstone = Tombstone::reopen(request.to_vec().into());
    tombstone.map_or_else(Vec::new, |tombstone| tombstone.keys().iter().map(|key| Subject::Account(*key)).collect())
}
