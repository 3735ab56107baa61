//! Keeping one account's file and the journal in agreement, whichever of the two has moved.
//!
//! [`Keeper::settle`] looks at both and does what is missing: it writes what the journal has and the folder has not,
//! marks what was deleted, and takes in what somebody wrote. It can be called at any time and any number of times, for
//! whatever reason: after a change, after a crash, because the system reported something, or because it is time to look.
//!
//! A file that we wrote is known by inode, size and time. Where it is the journal that has moved, a file that holds an
//! earlier version of the account is ours, too: it waits to be written. Any other content is somebody's: it goes through the gate before anything is written over it. What the gate refuses,
//! or what is older, is moved to the folder of refused things, and what the journal holds is put in its place. Where
//! the journal holds nothing, the file is left alone and reported.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::Primary;
use super::judge::Verdict;
use super::reports::{self, Reports};
use crate::folder::{self, Folder, Stamp, Unread};
use crate::gate::{Digest, Entry, Via};
use crate::jwt::given;
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::AccountStatus;

/// A file is judged when nothing has happened to it for this long: editors empty a file before they write it.
pub(super) const STILL: Duration = Duration::from_secs(1);
/// Files whose stamp is remembered. One that is not is read to be known.
const REMEMBERED: u64 = 1 << 16;
/// Accounts are settled one by one within each of so many groups, and side by side among them.
const GROUPS: usize = 64;
/// A file that is changed again each time it was settled is left for later.
const ATTEMPTS: usize = 8;

/// Why an account is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The journal has moved.
    Journal,
    /// The file was found, or has moved. A token in it would come on this path.
    File(Via),
}

/// What settling an account came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// File and journal agree: they did before, or something was done about it.
    Agreed,
    /// The file holds what nobody can use, and the journal has nothing for its place.
    Left,
    /// Somebody is writing the file now.
    NotStill,
}

/// Keeps the files of a folder of ours.
#[derive(Debug)]
pub(super) struct Keeper {
    primary: Arc<Primary>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    groups: [Mutex<()>; GROUPS],
    /// Whether files may wait to be written.
    behind: AtomicBool,
    /// Up to which change all files were written.
    written: AtomicU64,
    /// What we wrote, or found to be what is held.
    known: moka::sync::Cache<AccountKey, (Stamp, Digest)>,
    /// What cannot be used in the place of ours: when it was last changed, and first seen.
    suspects: moka::sync::Cache<AccountKey, (SystemTime, Instant)>,
    reports: Reports,
}

/// What there is in an account's place.
enum There {
    Nothing,
    /// The JWT with this digest, as far as white space at its end goes; and its stamp, if we wrote it.
    Token(Digest, Option<Stamp>),
    /// What is held, with something around it: lines of dashes, quotes.
    Decorated(Stamp),
    /// Something that cannot be read as a token; the reason.
    Junk(String),
    NotStill,
}

impl Keeper {
    /// A keeper of the folder that `primary` has, which must be one of ours. Called on a thread of `runtime`, which may
    /// be blocked.
    pub(super) fn new(primary: Arc<Primary>, metrics: Arc<Metrics>, runtime: Handle) -> Self {
        Self {
            primary,
            metrics,
            runtime,
            groups: std::array::from_fn(|_| Mutex::default()),
            behind: AtomicBool::new(true),
            written: AtomicU64::new(0),
            known: moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
            suspects: moka::sync::Cache::new(REMEMBERED),
            reports: Reports::default(),
        }
    }

    pub(super) const fn primary(&self) -> &Arc<Primary> {
        &self.primary
    }

    /// Where something can be waited for.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What was said of files that stay as they are.
    pub(super) const fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Says whether files wait to be written: then one that holds an earlier version is ours.
    pub(super) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Release);
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

    /// One attempt. `None`: something has moved, and both are to be looked at again.
    fn step(&self, folder: &Folder, key: &AccountKey, cause: Cause) -> Result<Option<Settled>, StoreError> {
        let home = folder.home(key);
        // What the journal cannot read may be put back by the file.
        let presence = self.primary.journal.status(key);
        let there = self.there(&home, key, &presence, cause)?;
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
                self.known.invalidate(key);
                Ok(Some(Settled::Agreed))
            }
            (_, There::Token(..)) => self.take_in(folder, key, &home, cause, presence),
            // A nats-server or an older account server that opens the folder reads bare JWTs only.
            (Ok(AccountStatus::Live(held)), There::Decorated(there)) => {
                let settled = self.write(folder, key, &held.entry, Some(there))?;
                if settled.is_some() {
                    tracing::info!(account = %key, "{} has the bare JWT now, without what was around it", home.display());
                }
                Ok(settled)
            }
            (_, There::Decorated(_)) => Ok(None),
            (Ok(AccountStatus::Live(_) | AccountStatus::Deleted), There::Junk(_)) if !self.is_certain(&home, key) => {
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

    /// What is in an account's place.
    fn there(
        &self,
        home: &Path,
        key: &AccountKey,
        presence: &Result<AccountStatus, StoreError>,
        cause: Cause,
    ) -> Result<There, StoreError> {
        let look = match folder::look(home) {
            Ok(look) => look,
            Err(Unread::Missing) => return Ok(There::Nothing),
            Err(unread) => return self.junk(home, unread),
        };
        if let Some((stamp, digest)) = self.known.get(key)
            && stamp == look.stamp
        {
            return Ok(There::Token(digest, Some(stamp)));
        }
        match folder::read(home) {
            Ok((look, bytes)) => {
                let (digest, is_bare) = digest_of(&bytes);
                let is_held = matches!(presence, Ok(AccountStatus::Live(held)) if digest == *held.entry.digest());
                if is_held && !is_bare {
                    let is_still = look.is_still(STILL);
                    return Ok(if is_still { There::Decorated(look.stamp) } else { There::NotStill });
                }
                if is_held {
                    self.known.insert(*key, (look.stamp, digest));
                    return Ok(There::Token(digest, Some(look.stamp)));
                }
                let may_wait = cause == Cause::Journal || self.behind.load(Ordering::Acquire);
                let waits = may_wait && self.primary.journal.was_held(key, &digest)?;
                if !waits && !look.is_still(STILL) {
                    return Ok(There::NotStill);
                }
                Ok(There::Token(digest, waits.then_some(look.stamp)))
            }
            Err(Unread::Missing) => Ok(There::Nothing),
            Err(unread) => self.junk(home, unread),
        }
    }

    /// A file that cannot be read as a token. If the system fails, that says nothing of the file.
    fn junk(&self, path: &Path, unread: Unread) -> Result<There, StoreError> {
        match unread {
            Unread::Io(error) if is_system(&error) => Err(StoreError::io("read", path)(error)),
            Unread::Changing => Ok(There::NotStill),
            // Not even the place can be looked at.
            Unread::Io(error) if folder::changed(path).is_none() => Err(StoreError::io("read", path)(error)),
            // It was whole a moment ago, perhaps, and will be again.
            _ if !folder::is_still(path, STILL) => Ok(There::NotStill),
            unread => Ok(There::Junk(unread.to_string())),
        }
    }

    /// Whether what cannot be used has been there for a while by our own clock, too. File systems show that a file was
    /// emptied a moment before they show when that was, and until then it looks as if it had been empty for long.
    fn is_certain(&self, home: &Path, key: &AccountKey) -> bool {
        let Some(changed) = folder::changed(home) else { return false };
        match self.suspects.get(key) {
            Some((then, seen)) if then == changed => seen.elapsed() >= STILL,
            _ => {
                self.suspects.insert(*key, (changed, Instant::now()));
                false
            }
        }
    }

    fn judge(&self, path: &Path, key: &AccountKey, bytes: &[u8], via: Via) -> Result<Verdict, StoreError> {
        let verdict = self.runtime.block_on(self.primary.judge(bytes, Some(key), via, &self.metrics));
        if verdict.is_err() {
            self.reports.forget(path);
        }
        verdict
    }

    /// Somebody wrote this file.
    fn take_in(
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
        // If not, it is gone, or different, again.
        let Ok((look, bytes)) = folder::read(home) else { return Ok(None) };
        let is_unknown = matches!(presence, Ok(AccountStatus::Unknown | AccountStatus::Removed));
        if is_unknown && !self.reports.is_news(home) {
            return Ok(Some(Settled::Left));
        }
        match self.judge(home, key, &bytes, via)? {
            Verdict::Taken(entry) => {
                tracing::info!(account = %key, via = via.label(), "updated JWT for account - {} from {}", entry.called(), home.display());
                if via == Via::FirstScan {
                    self.primary.remark(home, &entry);
                }
                if digest_of(&bytes).1 {
                    self.known.insert(*key, (look.stamp, *entry.digest()));
                }
                Ok(None)
            }
            Verdict::Same => {
                // The same version in another spelling: ours is the one that is served.
                let AccountStatus::Live(held) = self.primary.journal.status(key)? else { return Ok(None) };
                self.write(folder, key, &held.entry, Some(look.stamp))
            }
            Verdict::Conflict(refusal) | Verdict::Refused(refusal) => {
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

    /// Writes what the journal holds, if what was `there` still is. `None`: it is not.
    fn write(
        &self,
        folder: &Folder,
        key: &AccountKey,
        entry: &Entry,
        there: Option<Stamp>,
    ) -> Result<Option<Settled>, StoreError> {
        let Some(stamp) = folder.write(key, entry.token(), there)? else { return Ok(None) };
        self.known.insert(*key, (stamp, *entry.digest()));
        self.metrics.folder_written.inc();
        Ok(Some(Settled::Agreed))
    }

    fn put_aside(&self, folder: &Folder, key: &AccountKey, path: &Path, reason: &str) -> Result<(), StoreError> {
        let aside = folder.put_aside(path, key, reason)?;
        self.metrics.folder_put_aside.inc();
        tracing::warn!(
            account = %key,
            "{} {reason}; it was moved to {}, and what the journal holds is put in its place",
            path.display(),
            aside.display()
        );
        Ok(())
    }

    /// Takes in a copy that lies where no file of ours would: it is read, and never touched.
    pub(super) fn take_in_copy(&self, path: &Path, key: &AccountKey, via: Via) -> Result<Settled, StoreError> {
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
            Verdict::Taken(entry) => {
                tracing::info!(account = %key, via = via.label(), "updated JWT for account - {} from {}", entry.called(), path.display());
                Ok(Settled::Agreed)
            }
            Verdict::Same | Verdict::Conflict(_) => Ok(Settled::Agreed),
            Verdict::Refused(refusal) => {
                self.reports.say(path, &reports::refused(&refusal));
                Ok(Settled::Left)
            }
        }
    }
}

/// The digest of the JWT in a file, and whether nothing but white space at its end is around it.
fn digest_of(bytes: &[u8]) -> (Digest, bool) {
    let bare = bytes.trim_ascii_end();
    match given(bytes) {
        Ok(jwt) => (Sha256::digest(jwt.as_bytes()).into(), jwt.as_bytes() == bare),
        Err(_) => (Sha256::digest(bare).into(), true),
    }
}

fn is_system(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let failures = [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM, Errno::STALE, Errno::NOTCONN];
    error.raw_os_error().is_some_and(|code| failures.iter().any(|failure| failure.raw_os_error() == code))
}
