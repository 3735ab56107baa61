//! What a cache keeps: the texts of what was asked for, and of the latest changes within a bound.

use rusqlite::{OptionalExtension as _, params};

use super::super::head::NO_CHANGE;
use super::super::tail::{AROUND, Keeping};
use super::super::transaction::Transaction;
use crate::feed::{Chain, Operation, Subject, SubjectKind};
use crate::gate::Tombstone;
use crate::key::AccountKey;

/// Changes that leave the log in one go.
const PIECE: u64 = 256;

/// A change that leaves the log.
struct Leaving {
    id: i64,
    serial: u64,
    chain: Chain,
    kind: i64,
    op: u8,
    key: Option<[u8; 32]>,
    bytes: u64,
}

impl Transaction<'_> {
    /// Forgets the texts of accounts for which a cache has no room. What is remembered of them stays, and what upstream has
    /// not ordered, which maybe nobody else has.
    pub(super) fn evict(&mut self, keys: &[AccountKey]) -> rusqlite::Result<()> {
        for key in keys {
            let subject = Subject::Account(*key);
            let Some(before) = self.load(&subject)?.filter(|row| row.row != 0) else { continue };
            if before.is_overlay(&subject) {
                continue;
            }
            // What is in the log leaves with that.
            if before.row > self.meta.log.id(self.meta.log.floor.0) {
                continue;
            }
            self.drop_row(before.row)?;
            self.let_go(&subject, before.row)?;
        }
        Ok(())
    }

    /// Moves the floor of the log up by some changes. What `keeping` says stays without its place in the log. Returns the bytes
    /// that left.
    pub(in super::super) fn shorten(&mut self, keeping: &Keeping<'_>) -> rusqlite::Result<u64> {
        let (log, floor) = (self.meta.log, self.meta.log.floor.0);
        let last = (floor + PIECE).min(self.meta.head.serial);
        let (reached, bytes) = self.leave(log.id(floor), log.id(last), keeping)?;
        if let Some(floor) = reached {
            self.meta.log.floor = floor;
        }
        self.repaired.set(true);
        Ok(bytes)
    }

    /// Forgets the changes of a log with ids after `before`, up to `last`. Returns the place of the last one, and the bytes of
    /// text that left.
    pub(in super::super) fn leave(
        &mut self,
        before: i64,
        last: i64,
        keeping: &Keeping<'_>,
    ) -> rusqlite::Result<(Option<(u64, Chain)>, u64)> {
        let leaving: Vec<Leaving> = self
            .connection
            .prepare_cached(
                "SELECT id, serial, chain, kind, op, key, coalesce(length(body), 0) FROM change
                 WHERE id > ?1 AND id <= ?2 ORDER BY id",
            )?
            .query_map(params![before, last], |row| {
                Ok(Leaving {
                    id: row.get(0)?,
                    serial: row.get(1)?,
                    chain: Chain(row.get(2)?),
                    kind: row.get(3)?,
                    op: row.get(4)?,
                    key: row.get(5)?,
                    bytes: row.get(6)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        for change in &leaving {
            self.leave_one(change, keeping)?;
        }
        let reached = leaving.last().map(|change| (change.serial, change.chain));
        Ok((reached, leaving.iter().map(|change| AROUND as u64 + change.bytes).sum()))
    }

    fn leave_one(&mut self, change: &Leaving, keeping: &Keeping<'_>) -> rusqlite::Result<()> {
        let subjects = match (SubjectKind::from_code(change.kind), change.key) {
            (Some(kind), Some(key)) => vec![Subject::from_raw(kind, key)],
            (Some(SubjectKind::Account), None) => self.deleted_by(change.id)?,
            // No head of a cache points to what is passed on.
            _ => Vec::new(),
        };
        let is_put = change.op == Operation::Put.tag();
        for subject in &subjects {
            let Subject::Account(key) = subject else { continue };
            let is_kept = is_put && keeping.keeps(key, self.text_weight.get());
            if is_kept && self.load(subject)?.is_some_and(|row| row.row == change.id) {
                return Ok(());
            }
        }
        self.drop_row(change.id)?;
        subjects.iter().try_for_each(|subject| self.let_go(subject, change.id))
    }

    /// The accounts that a request names; none if the change is no request.
    pub(super) fn deleted_by(&self, id: i64) -> rusqlite::Result<Vec<Subject>> {
        let request: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT body FROM change WHERE id = ?1 AND op = ?2")?
            .query_row(params![id, Operation::Delete.tag()], |row| row.get(0))
            .optional()?
            .flatten();
        let tombstone = request.and_then(|request| Tombstone::reopen(request.into()));
        Ok(tombstone.map(|named| named.keys().iter().map(|key| Subject::Account(*key)).collect()).unwrap_or_default())
    }

    /// A change is no longer here. What its head remembers of it stays.
    fn let_go(&mut self, subject: &Subject, id: i64) -> rusqlite::Result<()> {
        let Some(before) = self.load(subject)?.filter(|row| row.points_to(id)) else { return Ok(()) };
        let mut now = before.clone();
        if now.row == id {
            now.row = 0;
            if let Subject::Activation(activation) = subject {
                self.connection.prepare_cached("DELETE FROM activation WHERE key = ?1")?.execute([activation.raw()])?;
            }
        }
        if now.deleted_row == id {
            now.deleted_row = 0;
        }
        if now.removed == id {
            now.removed = NO_CHANGE;
        }
        if let Some(ordered) = now.ordered.as_mut().filter(|ordered| ordered.under == id) {
            ordered.under = 0;
        }
        now.history.retain(|earlier| *earlier != id);
        if matches!(subject, Subject::Account(_)) {
            self.count(before.counted(), now.counted());
        }
        self.settle(subject, &before, &now, None)
    }
}
