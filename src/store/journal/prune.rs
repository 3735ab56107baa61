//! The texts of versions that were replaced: how many of an account are kept, and for how long.

use rusqlite::{OptionalExtension as _, params};

use super::transaction::Transaction;
use crate::feed::{Operation, Subject, SubjectKind};
use crate::key::AccountKey;

/// The name of the cursor up to which versions have been pruned for their age.
const PRUNED: &str = "pruned";
/// Earlier versions of an account that are at least remembered, without their texts: a file may still hold one of them.
const REMEMBERED: usize = 8;

impl Transaction<'_> {
    /// Adds a change to the history of a head, and drops the body that falls out of it. Of some versions more it is
    /// remembered which they were.
    pub(super) fn push_history(&self, history: &[i64], id: i64) -> rusqlite::Result<Vec<i64>> {
        let mut ids = history.to_vec();
        ids.push(id);
        if let Some(at) = ids.len().checked_sub(self.history + 1) {
            self.drop_body(ids[at])?;
        }
        let surplus = ids.len().saturating_sub(self.history.max(REMEMBERED));
        ids.drain(..surplus);
        Ok(ids)
    }

    /// Forgets the texts of versions that were replaced before a time, looking at some thousand changes in one go, and
    /// going on where it stopped. Returns whether anything was written.
    pub(super) fn prune(&self, before: i64) -> rusqlite::Result<bool> {
        const PIECE: i64 = 5000;
        let from: Option<i64> = self
            .connection
            .prepare_cached("SELECT serial FROM cursor WHERE name = ?1")?
            .query_row([PRUNED], |row| row.get(0))
            .optional()?;
        let from = from.unwrap_or(0);
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM change WHERE id > ?1 ORDER BY id LIMIT 1")?
            .query_row([from], |row| row.get(0))
            .optional()?;
        if next.is_none_or(|at| at >= before) {
            return Ok(false);
        }
        let to: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(id) FROM change WHERE id > ?1 AND id <= ?2 AND at < ?3")?
            .query_row(params![from, from + PIECE, before], |row| row.get(0))?;
        let Some(to) = to else { return Ok(false) };
        let mut statement = self.connection.prepare_cached(
            "SELECT key, max(id) FROM change WHERE id > ?1 AND id <= ?2 AND kind = ?3 AND op = ?4 GROUP BY key",
        )?;
        let replaced = statement
            .query_map(params![from, to, SubjectKind::Account, Operation::Put.tag()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<Vec<([u8; 32], i64)>>>()?;
        for (key, by) in replaced {
            self.forget_before(&AccountKey::from_raw(key), by)?;
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)")?
            .execute(params![PRUNED, to])?;
        Ok(true)
    }

    /// Forgets the versions of an account that came before a change.
    fn forget_before(&self, key: &AccountKey, id: i64) -> rusqlite::Result<()> {
        let Some(row) = self.load(&Subject::Account(*key))? else { return Ok(()) };
        // Ids outside the order say nothing about which came first.
        let before = row.history.iter().position(|kept| *kept == id).or((row.row == id).then_some(row.history.len()));
        for kept in row.history.iter().take(before.unwrap_or(0)) {
            self.drop_body(*kept)?;
        }
        Ok(())
    }
}
