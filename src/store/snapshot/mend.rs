//! Rescues the sound rows of a damaged snapshot into a new file.

use std::fs;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, params};

use super::row::{self, RowRead};
use super::{ProofKind, Snapshot, StoreError, is_damage, proof, save_operator, save_stand, schema};
use crate::folder::beside;

/// The raw key that `n` of `of` even steps through all keys lead to, in `of` steps of one or two bytes.
fn bound(n: u32, bytes: usize) -> Vec<u8> {
    n.to_be_bytes()[4 - bytes..].to_vec()
}

impl Snapshot {
    /// Writes the sound rows to a new file and continues with that. The damaged file is kept next to it.
    pub(super) fn mend(&self) -> Result<(), StoreError> {
        let (Some(path), Some(reader)) = (&self.path, &self.reader) else {
            return Ok(());
        };
        let made = beside(path, ".new");
        for ending in ["", "-wal", "-shm"] {
            // Possibly left by an interrupted start.
            let _ = fs::remove_file(beside(&made, ending));
        }
        let failed = StoreError::snapshot(&made);
        let mut writer = self.writer.lock();
        let new = schema::make(&made)?;
        let lost = self.rescue(&new).map_err(failed)?;
        // All of it is in the one file before that takes the old one's place.
        new.close().map_err(|(_, source)| failed(source))?;
        let mut reader = reader.lock();
        // The old file's last connections end before it is moved, so that its log does not stay behind.
        let nothing = || Connection::open_in_memory().map_err(failed);
        drop(std::mem::replace(&mut *writer, nothing()?));
        drop(std::mem::replace(&mut *reader, nothing()?));
        let away = schema::move_away(path)?;
        fs::rename(&made, path).map_err(StoreError::io("put in place", path))?;
        *writer = schema::make(path)?;
        *reader = schema::open_reader(path).map_err(failed)?;
        self.mended.fetch_add(1, Ordering::AcqRel);
        self.damaged.store(false, Ordering::Release);
        self.lost.fetch_add(lost, Ordering::Relaxed);
        tracing::warn!(
            "{} was damaged: what was sound of it was brought to a new file, at least {lost} rows were lost; the damaged \
             file is kept as {}",
            self.shown(),
            away.display()
        );
        Ok(())
    }

    /// Copies the sound rows. Returns the number of damaged rows that were seen. The number of rows in unreadable pages is
    /// unknown.
    fn rescue(&self, new: &Connection) -> rusqlite::Result<u64> {
        let mut lost = 0;
        // Without its position the replica compares everything, which is safe.
        if let Some(stand) = self.stand() {
            save_stand(new, &stand)?;
        }
        self.rescue_identity(new)?;
        if let Some(operator) = self.operator() {
            save_operator(new, &operator)?;
        }
        let mut rescue = |from: &[u8], to: Option<&[u8]>| -> rusqlite::Result<()> {
            let rows = self.read_range(from, to);
            let transaction = new.unchecked_transaction()?;
            for read in rows? {
                match read {
                    RowRead::Sound((key, seen)) => row::save_seen(&transaction, &key, &seen)?,
                    RowRead::Damaged => lost += 1,
                }
            }
            transaction.commit()
        };
        let mut in_steps = |bytes: usize, first: u32, count: u32, retry: &mut Vec<u32>| -> rusqlite::Result<()> {
            for n in first..first + count {
                let to = (n + 1 < 1 << (8 * bytes)).then(|| bound(n + 1, bytes));
                match rescue(&bound(n, bytes), to.as_deref()) {
                    Err(error) if is_damage(&error) => retry.push(n),
                    other => other?,
                }
            }
            Ok(())
        };
        let mut broken = Vec::new();
        in_steps(1, 0, 256, &mut broken)?;
        for first in broken {
            in_steps(2, first << 8, 256, &mut Vec::new())?;
        }
        lost += self.rescue_proofs(new)?;
        lost += self.rescue_copies(new)?;
        Ok(lost)
    }

    fn read_range(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> rusqlite::Result<Vec<RowRead<(crate::key::AccountKey, super::Seen)>>> {
        let Some(reader) = &self.reader else { return Ok(Vec::new()) };
        let reader = reader.lock();
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {} FROM seen WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key",
            row::SEEN
        ))?;
        statement.query_map(params![from, to], row::read_seen)?.collect()
    }

    fn rescue_proofs(&self, new: &Connection) -> rusqlite::Result<u64> {
        let Some(reader) = &self.reader else { return Ok(0) };
        let reader = reader.lock();
        let transaction = new.unchecked_transaction()?;
        let mut lost = 0;
        for kind in [ProofKind::Delete, ProofKind::Activation] {
            let each = |read| {
                match read {
                    RowRead::Sound((key, proof)) => proof::save_proof(&transaction, kind, &key, &proof)?,
                    RowRead::Damaged => lost += 1,
                }
                Ok(true)
            };
            match proof::each_proof(&reader, kind, &[], each) {
                // They are few, and the primary has them: those after an unreadable page are dropped.
                Err(error) if is_damage(&error) => lost += 1,
                other => other?,
            }
        }
        transaction.commit()?;
        Ok(lost)
    }

    fn rescue_copies(&self, new: &Connection) -> rusqlite::Result<u64> {
        let Some(reader) = &self.reader else { return Ok(0) };
        let reader = reader.lock();
        let last: i64 = match reader.query_row("SELECT max(id) FROM copy", [], |row| row.get::<_, Option<i64>>(0)) {
            Ok(last) => last.unwrap_or(0),
            Err(error) if is_damage(&error) => return Ok(1),
            Err(error) => return Err(error),
        };
        let mut lost = 0;
        let mut statement =
            reader.prepare(&format!("SELECT {} FROM copy WHERE id > ?1 AND id <= ?2 ORDER BY id", row::COPY))?;
        // A page has a few rows, so little is lost next to an unreadable one.
        const STEP: i64 = 16;
        let mut id = 0;
        while id < last {
            let transaction = new.unchecked_transaction()?;
            for _ in 0..64 {
                let rows = statement.query_map(params![id, id + STEP], row::read_copy)?.collect::<Result<Vec<_>, _>>();
                match rows {
                    Ok(rows) => {
                        for read in rows {
                            match read {
                                RowRead::Sound(copy) => row::save_copy(&transaction, &copy)?,
                                RowRead::Damaged => lost += 1,
                            }
                        }
                    }
                    Err(error) if is_damage(&error) => lost += 1,
                    Err(error) => return Err(error),
                }
                id += STEP;
            }
            transaction.commit()?;
        }
        Ok(lost)
    }
}
