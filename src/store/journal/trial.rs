//! A dry run of a write: what the writer would decide about it now. Nothing is written.

use rusqlite::{Connection, OptionalExtension as _};

use super::super::error::StoreError;
use super::head::{self, Row};
use super::read::JournalReader;
use super::weigh::{has_room, may_delete};
use crate::feed::Subject;
use crate::gate::{Activation, Entry, Identity, Refusal, Standing, Tombstone, Via};

/// What a write would come to.
#[derive(Debug)]
pub struct Weighed {
    /// Whether it would be a change; an error: why it would be rejected.
    pub change: Result<bool, Refusal>,
    /// The newest version that is stored of the same key, also if it was deleted or expired. `None`: there never was one.
    pub stored: Option<WeighedAgainst>,
}

/// A version that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeighedAgainst {
    /// Its place in the order in which it came; 0: unknown.
    pub serial: u64,
    /// Issue time, unix seconds.
    pub iat: i64,
    /// SHA-256 of its signing input.
    pub identity: Identity,
}

impl JournalReader {
    /// What the writer would decide about an account JWT. Blocks for a query.
    pub fn weigh_put(&self, entry: &Entry, via: Via, standing: &Standing) -> Result<Weighed, StoreError> {
        self.read(|connection| {
            let row = self.row(connection, &Subject::Account(*entry.key()))?;
            Ok(Weighed { change: row.weigh_put(entry, via, standing), stored: against(connection, &row)? })
        })
    }

    /// What the writer would decide about an activation. `limit`: how many its account may have. Blocks for a query.
    pub fn weigh_activation(&self, activation: &Activation, via: Via, limit: u64) -> Result<Weighed, StoreError> {
        self.read(|connection| {
            let row = self.row(connection, &Subject::Activation(*activation.id()))?;
            let change = match row.weigh_activation(activation, via) {
                Ok(true) => has_room(connection, activation, limit)?.map(|()| true),
                weighed => weighed,
            };
            Ok(Weighed { change, stored: against(connection, &row)? })
        })
    }

    /// Whether a delete request would be a change. Blocks for a query.
    pub fn weigh_delete(
        &self,
        tombstone: &Tombstone,
        standing: &Standing,
    ) -> Result<Result<bool, Refusal>, StoreError> {
        if let Err(refusal) = may_delete(tombstone, standing) {
            return Ok(Err(refusal));
        }
        self.read(|connection| {
            let mut is_change = false;
            for key in tombstone.keys() {
                let row = self.row(connection, &Subject::Account(*key))?;
                match row.weigh_delete(key, tombstone.deletion(), standing) {
                    Ok(after) => is_change |= after.is_some(),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Ok(Ok(is_change))
        })
    }

    fn row(&self, connection: &Connection, subject: &Subject) -> rusqlite::Result<Row> {
        Ok(head::load(connection, &self.state.log(), subject)?.unwrap_or_default())
    }
}

fn against(connection: &Connection, row: &Row) -> rusqlite::Result<Option<WeighedAgainst>> {
    let Some(version) = row.held.version() else { return Ok(None) };
    let serial = connection
        .prepare_cached("SELECT serial FROM change WHERE id = ?1")?
        .query_row([row.row], |found| found.get(0))
        .optional()?;
    Ok(Some(WeighedAgainst { serial: serial.unwrap_or(0), iat: version.iat, identity: version.identity }))
}
