//! Bringing the file of one account and the journal into agreement, whichever of the two changed.
//!
//! [`Comparer::settle`] reads both and does what is missing. It writes what only the journal has, marks what was deleted,
//! and imports what somebody wrote. It can be called at any time, any number of times, and for any reason: after a change,
//! after a crash, after an event of the file system, or in a periodic scan.
//!
//! A file that we wrote is known by inode, size and time. If the journal has changed, a file with an earlier version of the
//! account is ours too: it waits to be written. Any other content is somebody's, and passes the gate before anything
//! replaces it. If the gate rejects it, or if it is older, it is moved to the folder of rejected files, and the stored JWT
//! is written in its place. If the journal stores nothing for the place, the file stays as it is and is reported.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Primary;
use super::judge::FileVerdict;
use super::place::{Places, STILL, There, digest_of};
use super::reports::{self, Reports};
use crate::folder::{self, Folder, Stamp, Unread};
use crate::gate::{Entry, Via};
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::AccountStatus;

/// Groups of accounts. Those of one group are settled one after the other.
const GROUPS: usize = 64;
/// Attempts to settle a file that somebody keeps changing.
const ATTEMPTS: usize = 8;

/// Why an account is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The journal has changed.
    Journal,
    /// The file was found or has changed. A token in it comes on this path.
    File(Via),
}

/// How settling an account ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// File and journal agree.
    Agreed,
    /// The file cannot be used, and the journal has nothing for its place.
    Left,
    /// Somebody is writing the file now.
    NotStill,
}

/// Compares the files of a folder of ours with the journal.
#[derive(Debug)]
pub(super) struct Comparer {
    primary: Arc<Primary>,
    metrics: Arc<Metrics>,
    groups: [Mutex<()>; GROUPS],
    /// Up to which change all files were written.
    written: AtomicU64,
    places: Places,
    reports: Reports,
}

impl Comparer {
    /// For the folder of `primary`, which must be one of ours.
    pub(super) fn new(primary: Arc<Primary>, metrics: Arc<Metrics>) -> Self {
        Self {
            primary,
            metrics,
            groups: std::array::from_fn(|_| Mutex::default()),
            written: AtomicU64::new(0),
            places: Places::default(),
            reports: Reports::default(),
        }
    }

    pub(super) const fn primary(&self) -> &Arc<Primary> {
        &self.primary
    }

    /// The log lines about files that stay as they are.
    pub(super) const fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Says whether files wait to be written: then one that holds an earlier version is ours.
    pub(super) fn set_behind(&self, behind: bool) {
        self.places.set_behind(behind);
    }

    /// Says up to which change all files were written: the file of an earlier one that is missing was removed.
    pub(super) fn set_written(&self, serial: u64) {
        self.written.store(serial, Ordering::Release);
    }

    /// Brings the file and the journal of one account into agreement. Blocks.
    pub(super) fn settle(&self, folder: &Folder, key: &AccountKey, cause: Cause) -> Result<Settled, StoreError> {
        let _alone = self.groups[usize::from(key.raw()[31]) % GROUPS].lock();
        for _ in 0..ATTEMPTS {
            if let Some(settled) = self.step(folder, key, cause)? {
                return Ok(settled);
            }
        }
        Ok(Settled::NotStill)
    }

    /// One attempt. `None`: something has changed, so compare both again.
    fn step(&self, folder: &Folder, key: &AccountKey, cause: Cause) -> Result<Option<Settled>, StoreError> {
        let home = folder.home(key);
        // If the journal's text is damaged, the file may restore it.
        let presence = self.primary.journal.status(key);
        let there = self.places.look(&self.primary.journal, &home, key, &presence, cause == Cause::Journal)?;
        if matches!(presence, Ok(AccountStatus::Live(_))) {
            folder.unmark_deleted(key)?;
        }
        match (&presence, there) {
            (_, There::NotStill) => Ok(Some(Settled::NotStill)),
            (Ok(AccountStatus::Live(held)), There::Token(digest, _)) if digest == *held.entry.digest() => {
                Ok(Some(Settled::Agreed))
            }
            (Ok(AccountStatus::Live(held)), There::Nothing) => {
                let was_removed = cause != Cause::Journal && held.serial <= self.written.load(Ordering::Acquire);
                let settled = self.write(folder, key, &held.entry, None)?;
                if was_removed && settled.is_some() {
                    self.reports.restored(&home, &held.entry.called());
                }
                Ok(settled)
            }
            (Ok(_), There::Nothing) => Ok(Some(Settled::Agreed)),
            (Ok(AccountStatus::Live(held)), There::Token(_, Some(ours))) => {
                self.write(folder, key, &held.entry, Some(ours))
            }
            (Ok(AccountStatus::Deleted), There::Token(_, Some(_))) => {
                folder.mark_deleted(key)?;
                self.places.forget(key);
                Ok(Some(Settled::Agreed))
            }
            (_, There::Token(..)) => self.import(folder, key, &home, cause, presence),
            // A nats-server or an older account server that opens the folder reads bare JWTs only.
            (Ok(AccountStatus::Live(held)), There::Decorated(there)) => {
                let settled = self.write(folder, key, &held.entry, Some(there))?;
                if settled.is_some() {
                    tracing::info!(account = %key, "{} has the bare JWT now, without what was around it", home.display());
                }
                Ok(settled)
            }
            (_, There::Decorated(_)) => Ok(None),
            (Ok(AccountStatus::Live(_) | AccountStatus::Deleted), There::Junk(_))
                if !self.places.is_certain(&home, key) =>
            {
                Ok(Some(Settled::NotStill))
            }
            (Ok(AccountStatus::Live(_) | AccountStatus::Deleted), There::Junk(reason)) => {
                self.put_aside(folder, key, &home, &reason)?;
                Ok(None)
            }
            (_, There::Junk(reason)) => {
                self.reports.left(&home, &reason);
                Ok(Some(Settled::Left))
            }
            (Err(_), There::Nothing) => presence.map(|_| None),
        }
    }

    fn judge(&self, path: &Path, key: &AccountKey, bytes: &[u8], via: Via) -> Result<FileVerdict, StoreError> {
        let verdict = self.primary.judge(path, bytes, Some(key), via, &self.metrics);
        if verdict.is_err() {
            self.reports.forget(path);
        }
        verdict
    }

    /// Somebody wrote this file.
    fn import(
        &self,
        folder: &Folder,
        key: &AccountKey,
        home: &Path,
        cause: Cause,
        presence: Result<AccountStatus, StoreError>,
    ) -> Result<Option<Settled>, StoreError> {
        let via = match cause {
            Cause::Journal => Via::EditedFile,
            Cause::File(via) => via,
        };
        // An error means that it changed again.
        let Ok((look, bytes)) = folder::read(home) else { return Ok(None) };
        let is_unknown = matches!(presence, Ok(AccountStatus::Unknown | AccountStatus::Removed));
        if is_unknown && !self.reports.is_news(home) {
            return Ok(Some(Settled::Left));
        }
        match self.judge(home, key, &bytes, via)? {
            FileVerdict::Taken(entry) => {
                if digest_of(&bytes).1 {
                    self.places.wrote(key, look.stamp, *entry.digest());
                }
                Ok(None)
            }
            FileVerdict::Same => {
                // The same version in another spelling. The stored spelling is the one that is served.
                let AccountStatus::Live(held) = self.primary.journal.status(key)? else { return Ok(None) };
                self.write(folder, key, &held.entry, Some(look.stamp))
            }
            FileVerdict::Conflict(refusal) | FileVerdict::Refused(refusal) => {
                let reason = reports::refused(&refusal);
                if is_unknown {
                    self.reports.say(home, &reason);
                    return Ok(Some(Settled::Left));
                }
                self.put_aside(folder, key, home, &reason)?;
                Ok(None)
            }
        }
    }

    /// Writes what the journal holds, unless something else than `there` is in the place now: `None`.
    fn write(
        &self,
        folder: &Folder,
        key: &AccountKey,
        entry: &Entry,
        there: Option<Stamp>,
    ) -> Result<Option<Settled>, StoreError> {
        let Some(stamp) = folder.write(key, entry.token(), there)? else { return Ok(None) };
        self.places.wrote(key, stamp, *entry.digest());
        self.metrics.folder.written.inc();
        Ok(Some(Settled::Agreed))
    }

    fn put_aside(&self, folder: &Folder, key: &AccountKey, path: &Path, reason: &str) -> Result<(), StoreError> {
        let aside = folder.put_aside(path, key, reason)?;
        self.metrics.folder.put_aside.inc();
        tracing::warn!(
            account = %key,
            "{} {reason}; it was moved to {}, and what the journal holds is put in its place",
            path.display(),
            aside.display()
        );
        Ok(())
    }

    /// Imports a copy that is where no file of ours would be. It is only read.
    pub(super) fn import_copy(&self, path: &Path, key: &AccountKey, via: Via) -> Result<Settled, StoreError> {
        let (look, bytes) = match folder::read(path) {
            Ok(read) => read,
            Err(Unread::Missing) => return Ok(Settled::Agreed),
            Err(_) if !folder::is_still(path, STILL) => return Ok(Settled::NotStill),
            Err(unread) => {
                self.reports.left(path, &unread.to_string());
                return Ok(Settled::Left);
            }
        };
        if !look.is_still(STILL) {
            return Ok(Settled::NotStill);
        }
        if !self.reports.is_news(path) {
            return Ok(Settled::Agreed);
        }
        match self.judge(path, key, &bytes, via)? {
            FileVerdict::Taken(_) | FileVerdict::Same | FileVerdict::Conflict(_) => Ok(Settled::Agreed),
            FileVerdict::Refused(refusal) => {
                self.reports.say(path, &reports::refused(&refusal));
                Ok(Settled::Left)
            }
        }
    }
}
