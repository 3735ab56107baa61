//! Figures about a journal, for metrics: its files, and counts that need a look at an index.
//!
//! Nothing here is asked on the way of a request.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension as _;

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::folder::{FolderError, beside, private, put_in_place};

/// What the name of the note on the last backup adds to the journal's.
const BACKED_UP: &str = ".backed-up";
/// The note is no longer than this, in bytes.
const LONGEST_NOTE: u64 = 32;

/// The files of a journal and their disk. What is unknown is `None`; of a journal in memory everything is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFigures {
    /// Size of the database, bytes.
    pub journal: Option<u64>,
    /// Size of its log, bytes.
    pub log: Option<u64>,
    /// What the file system has free for this user, bytes.
    pub free: Option<u64>,
    /// Size of the file system, bytes.
    pub size: Option<u64>,
    /// When the command `backup` last copied it, unix seconds.
    pub backed_up: Option<i64>,
}

/// Accounts by the time of their expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryFigures {
    /// They have expired.
    pub expired: u64,
    /// They expire within each of the periods that were asked for. A longer period has those of a shorter one, too.
    pub within: Vec<u64>,
}

impl ExpiryFigures {
    fn new(periods: usize) -> Self {
        Self { expired: 0, within: vec![0; periods] }
    }

    /// Counts accounts with one time of expiry, or takes them out again. `periods`: see [`JournalReader::expiry_figures`].
    fn count(&mut self, exp: i64, accounts: i64, now: i64, periods: &[i64]) {
        if exp < now {
            self.expired = self.expired.saturating_add_signed(accounts);
            return;
        }
        for (count, period) in self.within.iter_mut().zip(periods) {
            if exp < now.saturating_add(*period) {
                *count = count.saturating_add_signed(accounts);
            }
        }
    }
}

/// All accounts whose newest JWT expires. The index has everything that this asks for.
const EXPIRING: &str = "
    SELECT exp, count(*) FROM head INDEXED BY expiry WHERE kind = 1 AND exp > 0 AND exp < ?1 GROUP BY exp";
/// Those of them that are deleted.
const DELETED: &str = "
    SELECT exp, -1 FROM head INDEXED BY deleted
    WHERE kind = 1 AND deleted IS NOT NULL AND iat <= deleted AND exp > 0 AND exp < ?1";
/// Those of them whose file left a read-only folder. This reads every head.
const REMOVED: &str = "
    SELECT exp, -1 FROM head
    WHERE kind = 1 AND removed <> 0 AND (deleted IS NULL OR iat > deleted) AND exp > 0 AND exp < ?1";

impl JournalReader {
    /// The journal's files, as they are now. Blocks for a few system calls.
    pub fn disk_figures(&self) -> DiskFigures {
        if !self.files.is_on_disk() {
            return DiskFigures::default();
        }
        let size = |path: &Path| fs::metadata(path).ok().map(|meta| meta.len());
        let disk = rustix::fs::statvfs(&self.path).ok();
        DiskFigures {
            journal: size(&self.path),
            log: size(&beside(&self.path, "-wal")),
            free: disk.as_ref().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            size: disk.as_ref().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
            backed_up: backed_up(&self.path),
        }
    }

    /// How many accounts have a deletion that is remembered, those included that were pushed again since. Blocks for a query
    /// along an index.
    pub fn count_tombstones(&self) -> Result<u64, StoreError> {
        self.read_bulk(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM head INDEXED BY deleted WHERE kind = 1 AND deleted IS NOT NULL")?
                .query_row([], |row| row.get(0))
        })
    }

    /// How many keys have a head. Blocks for a query that reads all heads.
    pub fn count_heads(&self) -> Result<u64, StoreError> {
        self.read_bulk(|connection| {
            connection.prepare_cached("SELECT count(*) FROM head")?.query_row([], |row| row.get(0))
        })
    }

    /// How many activations are stored. Blocks for a query along an index.
    pub fn count_activations(&self) -> Result<u64, StoreError> {
        self.read_bulk(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM activation INDEXED BY activation_key")?
                .query_row([], |row| row.get(0))
        })
    }

    /// When the next account expires after `now`; both unix seconds. `None`: none will. Blocks for a query along an index.
    pub fn earliest_expiry(&self, now: i64) -> Result<Option<i64>, StoreError> {
        self.read_bulk(|connection| {
            connection
                .prepare_cached("SELECT exp FROM live WHERE exp > 0 AND exp >= ?1 ORDER BY exp LIMIT 1")?
                .query_row([now], |row| row.get(0))
                .optional()
        })
    }

    /// Counts the accounts that have expired, and those that expire within periods, in seconds, of which the last is the
    /// longest. `is_read_only`: files may have left the folder. Blocks for queries along indexes; in a read-only folder, one
    /// of them reads everything.
    pub fn expiry_figures(&self, now: i64, periods: &[i64], is_read_only: bool) -> Result<ExpiryFigures, StoreError> {
        let end = now.saturating_add(periods.last().copied().unwrap_or(0));
        self.read_bulk(|connection| {
            // One view for all queries.
            let transaction = connection.unchecked_transaction()?;
            let mut figures = ExpiryFigures::new(periods.len());
            for query in [EXPIRING, DELETED].into_iter().chain(is_read_only.then_some(REMOVED)) {
                let mut statement = transaction.prepare_cached(query)?;
                let mut rows = statement.query([end])?;
                while let Some(row) = rows.next()? {
                    figures.count(row.get(0)?, row.get(1)?, now, periods);
                }
            }
            Ok(figures)
        })
    }
}

fn note_of(journal: &Path) -> PathBuf {
    beside(journal, BACKED_UP)
}

/// When the command `backup` last copied the journal at a path, unix seconds. `None`: never, or that is unreadable.
fn backed_up(journal: &Path) -> Option<i64> {
    let mut text = String::new();
    File::open(note_of(journal)).ok()?.take(LONGEST_NOTE).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok().filter(|at| *at > 0)
}

/// Notes next to a journal when it was backed up, unix seconds, for the server whose journal it is.
pub fn note_backup(journal: &Path, at: i64) -> Result<(), FolderError> {
    let (note, made) = (note_of(journal), beside(journal, format!("{BACKED_UP}.part")));
    private::write(&made, format!("{at}\n").as_bytes()).map_err(FolderError::io("write", &made))?;
    put_in_place(&made, &note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_period_has_the_accounts_of_a_shorter_one_and_what_has_expired_is_in_none() {
        let (now, periods) = (1_000, [10, 100]);
        let mut figures = ExpiryFigures::new(2);
        for exp in [1, 999, 1_000, 1_009, 1_010, 1_099, 1_100] {
            figures.count(exp, 2, now, &periods);
        }
        for deleted in [999, 1_009] {
            figures.count(deleted, -1, now, &periods);
        }
        assert_eq!(figures, ExpiryFigures { expired: 3, within: vec![3, 7] });
    }

    #[test]
    fn the_time_of_a_backup_is_read_as_it_was_noted_and_anything_else_is_never() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal.sqlite");
        assert_eq!(backed_up(&journal), None);
        note_backup(&journal, 1_795_503_912).expect("noted");
        assert_eq!(backed_up(&journal), Some(1_795_503_912));
        for strange in ["", "x", "0", "-5", &"1".repeat(100)] {
            fs::write(note_of(&journal), strange).expect("written");
            assert_eq!(backed_up(&journal), None, "{strange:?}");
        }
    }
}
