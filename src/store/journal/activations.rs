//! Activations in the journal: the newest of each hash, a limited number for each account, forgotten when they have expired.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::super::error::StoreError;
use super::head::Row;
use super::listed::HeadChange;
use super::read::JournalReader;
use super::transaction::{Record, Transaction};
use super::weigh::has_room;
use super::write::{CommitError, Outcome};
use crate::feed::digest::Toggle;
use crate::feed::{Content, Subject, SubjectKind};
use crate::gate::{Activation, Standing, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// An activation as the journal holds it.
#[derive(Debug, Clone)]
pub struct StoredActivation {
    /// The activation.
    pub activation: Arc<Activation>,
    /// The serial of the change that brought it.
    pub serial: u64,
}

impl Transaction<'_> {
    /// Sets an activation. `limit`: how many its account may have.
    pub(super) fn activation(
        &mut self,
        activation: &Arc<Activation>,
        via: Via,
        limit: u64,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let place = Subject::Activation(*activation.id());
        let row = self.load(&place)?.unwrap_or_default();
        match row.weigh_activation(activation, via) {
            Ok(true) => {}
            // What was forgotten stays so.
            Ok(false) if row.removed != 0 || row.row == 0 => return Ok(Ok(Outcome::Same { serial: 0 })),
            Ok(false) => {
                self.repair(&row, activation.digest(), activation.token(), &activation.id().text())?;
                return Ok(Ok(Outcome::Same { serial: self.serial_of(row.row)? }));
            }
            Err(refusal) => return Ok(Err(refusal.into())),
        }
        if let Err(refusal) = has_room(self.connection, activation, limit)? {
            return Ok(Err(refusal.into()));
        }
        let mut now = Row { held: row.held.clone(), ..Row::default() };
        now.held.put(activation.version(), Some(self.next_position()), &Standing::default());
        let toggle = Toggle::between(&place, row.leaf(&place), now.own_leaf(&place));
        let id = self
            .append(Content::Activation(activation.clone()), Record::of_activation(activation, via, at, &[toggle]))?;
        self.store_activation(row.row, now, activation, id)?;
        Ok(Ok(Outcome::Changed { serial: self.meta.head.serial }))
    }

    /// Makes a change the one with the newest text of an activation, in the place of another; 0: there was none.
    pub(super) fn store_activation(
        &self,
        before: i64,
        mut now: Row,
        activation: &Activation,
        id: i64,
    ) -> rusqlite::Result<()> {
        if before != 0 && before != id {
            self.drop_body(before)?;
        }
        (now.row, now.exp, now.digest) = (id, activation.exp(), *activation.digest());
        self.save(&Subject::Activation(*activation.id()), &now)?;
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO activation (account, key) VALUES (?1, ?2)")?
            .execute(params![activation.account().raw(), activation.id().raw()])
            .map(drop)
    }

    /// Forgets activations that have expired. Each is a change, so that followers forget the same. What was issued before
    /// them stays barred by their heads.
    pub(super) fn forget(&mut self, ids: &[HashId], now: i64, at: i64) -> rusqlite::Result<Outcome> {
        let mut outcome = Outcome::Same { serial: 0 };
        for id in ids {
            let place = Subject::Activation(*id);
            // A newer one may have come since.
            let row = self.load(&place)?.filter(|row| row.removed == 0 && row.exp > 0 && row.exp < now);
            let Some(mut row) = row else { continue };
            let Some(version) = row.held.version().copied() else { continue };
            let toggle = Toggle::between(&place, row.leaf(&place), None);
            row.removed = self.append(
                Content::Forgotten { id: *id, digest: row.digest },
                // No client asked for it. The nearest path is what the configuration wants.
                Record {
                    exp: row.exp,
                    ..Record::of_removal(
                        &place,
                        (&version.identity, version.iat),
                        &row.digest,
                        Via::Configured,
                        at,
                        &[toggle],
                    )
                },
            )?;
            self.forget_activation(&place, row)?;
            outcome = Outcome::Changed { serial: self.meta.head.serial };
        }
        Ok(outcome)
    }

    /// Drops the text of an activation. Its head stays, so that what was issued before it stays rejected.
    pub(super) fn forget_activation(&self, place: &Subject, mut row: Row) -> rusqlite::Result<()> {
        if row.row != 0 {
            self.drop_body(row.row)?;
        }
        row.row = row.row.max(0);
        row.is_level();
        self.save(place, &row)?;
        self.connection.prepare_cached("DELETE FROM activation WHERE key = ?1")?.execute([place.raw()]).map(drop)
    }
}

impl JournalReader {
    /// The newest activation of a hash, vouched for or not. Blocks for a query.
    pub fn activation(&self, id: &HashId) -> Result<Option<StoredActivation>, StoreError> {
        let found: Option<(Vec<u8>, [u8; 32], u64)> = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT c.body, h.digest, c.serial FROM head h JOIN change c ON c.id = h.row
                     WHERE h.kind = ?1 AND h.key = ?2 AND c.body IS NOT NULL",
                )?
                .query_row(params![SubjectKind::Activation, id.raw()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
        })?;
        let Some((token, digest, serial)) = found else { return Ok(None) };
        let activation = Activation::reopen(&token, &digest).ok_or_else(|| {
            self.unusable(&format!("the stored activation {id} is damaged: its bytes do not match their digest"))
        })?;
        Ok(Some(StoredActivation { activation: Arc::new(activation), serial }))
    }

    /// The activations of an account after one of them, in the order of their hashes, each with the change that brought it.
    /// Blocks for a query.
    pub fn activations_of(
        &self,
        account: &AccountKey,
        after: Option<&HashId>,
        limit: usize,
    ) -> Result<Vec<(HashId, HeadChange)>, StoreError> {
        self.read_bulk(|connection| {
            let after: &[u8] = after.map_or(&[], |id| id.raw());
            connection
                .prepare_cached(
                    "SELECT a.key, c.serial, c.at, c.via
                     FROM activation a JOIN head h ON h.kind = ?1 AND h.key = a.key JOIN change c ON c.id = h.row
                     WHERE a.account = ?2 AND a.key > ?3 ORDER BY a.key LIMIT ?4",
                )?
                .query_map(params![SubjectKind::Activation, account.raw(), after, limit], |row| {
                    Ok((HashId::from_raw(row.get(0)?), HeadChange::read(row, 1)?))
                })?
                .collect()
        })
    }

    /// Activations that expired before `now`, in unix seconds, and whose texts are still kept. Looks at every activation.
    pub fn expired_activations(&self, now: i64, limit: usize) -> Result<Vec<HashId>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT a.key FROM activation a JOIN head h ON h.kind = ?1 AND h.key = a.key
                     WHERE h.exp > 0 AND h.exp < ?2 LIMIT ?3",
                )?
                .query_map(params![SubjectKind::Activation, now, limit], |row| Ok(HashId::from_raw(row.get(0)?)))?
                .collect()
        })
    }
}
