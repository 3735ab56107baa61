//! Brings the sound part of a replica's damaged store to a new file.
//!
//! Only a replica does that: what is lost, it gets again from upstream. A primary's journal is restored from a backup.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::error::StoreError;
use super::super::{followers, operator};
use super::digests;
use super::head::{self, Found, NO_CHANGE, Row};
use super::open;
use super::schema::{self, Meta, Role};
use super::signers::{self, Signers, Tally};
use crate::clock;
use crate::feed::{Chain, Head, Session, Subject, SubjectKind};
use crate::folder::{self, beside};
use crate::gate::Activation;
use crate::jwt::HashId;

/// A file that is said to be larger than this is not given its length back, in bytes.
const LARGEST: u64 = 1 << 40;

/// What was done to a damaged store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// Its sound part is in a new file.
    Brought {
        /// Rows that were lost, at least.
        lost: u64,
        /// Where the damaged file is.
        kept: PathBuf,
    },
    /// Nothing of it can be used.
    MovedAway(PathBuf),
}

/// Whether the store at `path` is cut off, no database, or was found damaged by an earlier process. That is logged.
pub(super) fn is_damaged(path: &Path) -> bool {
    let how = if !has_its_length(path) {
        "it was cut off"
    } else if mark(path).exists() || !is_readable(path) {
        "it is damaged"
    } else {
        return false;
    };
    tracing::error!("journal {}: {how}; this replica uses the rest", path.display());
    true
}

/// Notes for the next start that the store is damaged.
pub(super) fn note(path: &Path) {
    // A temporary database has no name. Without the note, the damage is found again.
    if path.is_file() {
        let _ = folder::private::create_if_missing(&mark(path));
    }
}

fn mark(path: &Path) -> PathBuf {
    beside(path, ".damaged")
}

/// Whether the file is as long as its header says. A log can make up for what is missing.
fn has_its_length(path: &Path) -> bool {
    let log = fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len());
    lengths(path).is_some_and(|(length, wanted)| log > 0 || length >= wanted)
}

/// Gives a file that was cut off its length back, so that what is left of it can be read.
fn fill_up(path: &Path) {
    if let Some((length, wanted)) = lengths(path).filter(|(length, wanted)| length < wanted)
        && wanted < LARGEST
        && let Ok(file) = fs::File::options().write(true).open(path)
        && let Err(error) = file.set_len(wanted)
    {
        tracing::debug!("{} keeps its {length} bytes: {error}", path.display());
    }
}

/// The length of a database, and the one that its header says, in bytes. `None`: it has no header.
fn lengths(path: &Path) -> Option<(u64, u64)> {
    let mut header = [0; 100];
    let mut file = fs::File::open(path).ok()?;
    std::io::Read::read_exact(&mut file, &mut header).ok()?;
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // The count of pages is only kept up to date where these two agree.
    let pages = if number(24) == number(92) { u64::from(number(28)) } else { 0 };
    Some((file.metadata().ok()?.len(), page.saturating_mul(pages)))
}

fn is_readable(path: &Path) -> bool {
    match open::open_foreign(path) {
        Ok(connection) => schema::meta(&connection).is_ok(),
        // Another format, or another program's: that is no damage.
        Err(StoreError::Folder(_)) => true,
        Err(_) => false,
    }
}

/// Brings the sound part of the store at `path` to a new file, and keeps the damaged one next to it.
pub(super) fn mend(path: &Path, role: Role) -> Result<Mended, StoreError> {
    fill_up(path);
    let rescued = open::open_reader(path).ok().and_then(|damaged| {
        schema::meta(&damaged).ok()?;
        open::make_beside(path, role, |new| Rescue::new(&damaged, new).all()).ok()
    });
    let ending = format!(".damaged-{}", clock::unix_seconds());
    let kept = folder::move_aside(path, &ending)?.unwrap_or_else(|| beside(path, ending));
    let mended = match rescued {
        Some((made, lost)) => {
            open::put_in_place(&made, path)?;
            tracing::warn!(
                "{} was damaged: what was sound of it was brought to a new file, at least {lost} rows were lost; the damaged \
                 file is kept as {}",
                path.display(),
                kept.display()
            );
            Mended::Brought { lost, kept }
        }
        None => {
            tracing::error!(
                "{} is unusable and was moved to {}; this replica forgets what it saw of accounts, and begins a new one",
                path.display(),
                kept.display()
            );
            Mended::MovedAway(kept)
        }
    };
    // If it stays, the next start does the same again.
    let _ = fs::remove_file(mark(path));
    Ok(mended)
}

struct Rescue<'c> {
    damaged: &'c Connection,
    new: &'c Connection,
    lost: u64,
    accounts: u64,
    tally: Tally,
}

impl<'c> Rescue<'c> {
    fn new(damaged: &'c Connection, new: &'c Connection) -> Self {
        Self { damaged, new, lost: 0, accounts: 0, tally: Tally::new(0) }
    }

    fn all(mut self) -> rusqlite::Result<u64> {
        let transaction = self.new.unchecked_transaction()?;
        let meta = self.meta()?;
        self.small_tables()?;
        for kind in SubjectKind::ALL {
            self.heads(kind, &meta)?;
        }
        signers::write(self.new, &Signers::default().after(&self.tally))?;
        let meta = Meta { count: self.accounts, ..meta };
        meta.write(self.new)?;
        digests::recompute(self.new, &meta)?;
        transaction.commit()?;
        Ok(self.lost)
    }

    /// The state row. The log begins where the damaged one ended, and everything is compared again.
    fn meta(&mut self) -> rusqlite::Result<Meta> {
        let fresh = schema::meta(self.new)?;
        let Ok(old) = schema::meta(self.damaged) else {
            self.lost += 1;
            return Ok(fresh);
        };
        let mut meta = Meta { role: fresh.role, is_level: false, is_whole: false, count: 0, ..old };
        meta.log.floor = (meta.head.serial, meta.head.chain);
        if meta.head.session == Session([0; 16]) {
            meta.head = Head { session: Session([0; 16]), serial: 0, chain: Chain::default() };
            meta.log.floor = (0, Chain::default());
        }
        meta.confirmed = (0, Chain::default());
        meta.write(self.new)?;
        let small = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<[u8; 16]>>(1)?));
        if let Ok((heard, replica)) = self.damaged.query_row("SELECT heard, replica FROM meta", [], small) {
            self.new.execute("UPDATE meta SET heard = ?1, replica = ?2", params![heard, replica])?;
        }
        Ok(meta)
    }

    /// The operator, the withdrawn keys, and the replicas that follow this one.
    fn small_tables(&mut self) -> rusqlite::Result<()> {
        match operator::load(self.damaged) {
            Ok(Some(chain)) => operator::save(self.new, &chain)?,
            Ok(None) => {}
            Err(_) => self.lost += 1,
        }
        match super::operator::withdrawn(self.damaged) {
            Ok(withdrawn) => {
                for (key, at) in withdrawn {
                    self.new.execute("INSERT INTO withdrawn (issuer, at) VALUES (?1, ?2)", params![key.raw(), at])?;
                }
            }
            Err(_) => self.lost += 1,
        }
        match followers::load(self.damaged) {
            Ok(all) => {
                let changes: Vec<_> = all.into_iter().map(|follower| (follower.id, Some(follower))).collect();
                followers::save(self.new, &changes)?;
            }
            Err(_) => self.lost += 1,
        }
        Ok(())
    }

    /// The heads of a kind, in small ranges, so that little is lost next to an unreadable page.
    fn heads(&mut self, kind: SubjectKind, meta: &Meta) -> rusqlite::Result<()> {
        for first in 0..=u8::MAX {
            let to = first.checked_add(1).map(|next| vec![next]);
            if self.range(kind, meta, &[first], to.as_deref())? {
                continue;
            }
            for second in 0..=u8::MAX {
                let to = match (second.checked_add(1), first.checked_add(1)) {
                    (Some(next), _) => Some(vec![first, next]),
                    (None, Some(next)) => Some(vec![next]),
                    (None, None) => None,
                };
                if !self.range(kind, meta, &[first, second], to.as_deref())? {
                    self.lost += 1;
                }
            }
        }
        Ok(())
    }

    /// Copies the sound heads of a range with their texts. `false`: it cannot be read, and nothing was copied.
    fn range(&mut self, kind: SubjectKind, meta: &Meta, from: &[u8], to: Option<&[u8]>) -> rusqlite::Result<bool> {
        let (mut rows, mut lost) = (Vec::new(), 0);
        let read = head::each_found(self.damaged, &meta.log, kind, (from, to), |found| {
            match found {
                Found::Sound(row) => rows.push(row),
                Found::Damaged => lost += 1,
            }
            Ok(true)
        });
        if read.is_err() {
            return Ok(false);
        }
        self.lost += lost;
        for (subject, mut row) in rows {
            self.texts(&mut row)?;
            match subject {
                Subject::Account(_) => {
                    let counted = row.counted();
                    self.accounts += u64::from(counted.is_some());
                    self.tally.step(None, counted);
                }
                Subject::Activation(id) if row.row != 0 && row.removed == 0 => self.activation(&id, &mut row)?,
                Subject::Activation(_) | Subject::Operator(_) => {}
            }
            head::save(self.new, &meta.log, &subject, &row)?;
        }
        Ok(true)
    }

    /// Copies the changes that a head points to. What cannot be read is not pointed to any more.
    fn texts(&mut self, row: &mut Row) -> rusqlite::Result<()> {
        for id in [&mut row.row, &mut row.deleted_row] {
            if *id != 0 && !self.change(*id)? {
                *id = 0;
                self.lost += 1;
            }
        }
        if row.removed != 0 && row.removed != NO_CHANGE && !self.change(row.removed)? {
            row.removed = NO_CHANGE;
        }
        if let Some(ordered) = &mut row.ordered
            && ordered.under != 0
            && !self.change(ordered.under)?
        {
            ordered.under = 0;
        }
        let mut history = Vec::with_capacity(row.history.len());
        for id in std::mem::take(&mut row.history) {
            if self.change(id)? {
                history.push(id);
            }
        }
        row.history = history;
        Ok(())
    }

    /// Lists an activation with its account.
    fn activation(&mut self, id: &HashId, row: &mut Row) -> rusqlite::Result<()> {
        let body: Option<Vec<u8>> =
            self.new.query_row("SELECT body FROM change WHERE id = ?1", [row.row], |found| found.get(0))?;
        match body.and_then(|body| Activation::reopen(&body, &row.digest)) {
            Some(activation) => self
                .new
                .prepare_cached("INSERT OR IGNORE INTO activation (account, key) VALUES (?1, ?2)")?
                .execute(params![activation.account().raw(), id.raw()])
                .map(drop),
            None => {
                row.row = 0;
                self.lost += 1;
                Ok(())
            }
        }
    }

    fn change(&self, id: i64) -> rusqlite::Result<bool> {
        const COLUMNS: &str = "id, serial, at, op, kind, via, actor, key, iat, exp, identity, issuer, digest, chain, body, toggles, links";
        const DIGEST: usize = 12;
        const BODY: usize = 14;
        let read = self
            .damaged
            .prepare_cached(&format!("SELECT {COLUMNS} FROM change WHERE id = ?1"))?
            .query_row([id], |row| (0..17).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<_>>>())
            .optional();
        let Ok(Some(values)) = read else { return Ok(false) };
        let values: Vec<Value> = values;
        if let (Value::Blob(digest), Value::Blob(body)) = (&values[DIGEST], &values[BODY])
            && Sha256::digest(body)[..] != digest[..]
        {
            return Ok(false);
        }
        self.new
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO change ({COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
            ))?
            .execute(rusqlite::params_from_iter(values))?;
        Ok(true)
    }
}
