//! What a cache keeps: the texts of what was asked for, and of the latest changes within a bound.

use rusqlite::params;

use super::super::head::Row;
use super::super::tail::AROUND;
use super::super::transaction::Transaction;
use crate::feed::{Chain, Operation, Subject, SubjectKind};
use crate::key::AccountKey;

/// Changes that leave the log in one go.
const PIECE: u64 = 256;

impl Transaction<'_> {
    /// Forgets the texts of accounts that left the cache. What is remembered of them stays.
    pub(super) fn evict(&mut self, keys: &[AccountKey]) -> rusqlite::Result<()> {
        for key in keys {
            let subject = Subject::Account(*key);
            let Some(before) = self.load(&subject)?.filter(|row| row.row != 0) else { continue };
            // What is in the log leaves with that.
            if before.row > self.meta.log.id(self.meta.log.floor.0) {
                continue;
            }
            self.drop_text(&subject, &before)?;
        }
        Ok(())
    }

    fn drop_text(&mut self, subject: &Subject, before: &Row) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([before.row])?;
        let now = Row { row: 0, ..before.clone() };
        self.count(before.counted(), None);
        self.save(subject, &now)?;
        self.repaired.set(true);
        Ok(())
    }

    /// Moves the floor of the log up by some changes. What `is_wanted` stays without its place in the log. Returns the bytes
    /// that left.
    pub(in super::super) fn shorten(&mut self, is_wanted: &dyn Fn(&AccountKey) -> bool) -> rusqlite::Result<u64> {
        let (log, mut floor, mut bytes) = (self.meta.log, self.meta.log.floor, 0);
        let (first, last) = (log.id(floor.0), log.id((floor.0 + PIECE).min(self.meta.head.serial)));
        type Logged = (i64, u64, Chain, i64, u8, Option<[u8; 32]>, u64);
        let rows: Vec<Logged> = self
            .connection
            .prepare_cached(
                "SELECT id, serial, chain, kind, op, key, coalesce(length(body), 0) FROM change
                 WHERE id > ?1 AND id <= ?2 ORDER BY id",
            )?
            .query_map(params![first, last], |row| {
                Ok((row.get(0)?, row.get(1)?, Chain(row.get(2)?), row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (id, serial, chain, kind, op, key, length) in rows {
            (floor, bytes) = ((serial, chain), bytes + length + AROUND as u64);
            let account = key
                .filter(|_| SubjectKind::from_code(kind) == Some(SubjectKind::Account) && op == Operation::Put.tag())
                .map(AccountKey::from_raw);
            let Some(key) = account else {
                self.connection.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([id])?;
                continue;
            };
            let subject = Subject::Account(key);
            match self.load(&subject)? {
                Some(row) if row.row == id && is_wanted(&key) => {}
                Some(row) if row.row == id => self.drop_text(&subject, &row)?,
                _ => _ = self.connection.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([id])?,
            }
        }
        self.meta.log.floor = floor;
        self.repaired.set(true);
        Ok(bytes)
    }
}
