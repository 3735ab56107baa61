//! What is in the place of an account's file, and whether we wrote it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::folder::{self, Stamp, Unread};
use crate::gate::Digest;
use crate::jwt::given;
use crate::key::AccountKey;
use crate::store::journal::AccountStatus;
use crate::store::{JournalReader, StoreError};

/// A file is judged when nothing has happened to it for this long: editors empty a file before they write it.
pub(super) const STILL: Duration = Duration::from_secs(1);
/// A change that comes so soon after another one can have the same time, and one right after our own writing the stamp that
/// was taken for it.
const SAME_TIME: Duration = Duration::from_millis(50);
/// Files whose stamp is remembered. Any other file has to be read.
const REMEMBERED: u64 = 1 << 16;

/// What there is in an account's place.
pub(super) enum There {
    Nothing,
    /// The JWT with this digest, white space at its end aside; and its stamp, if we wrote it.
    Token(Digest, Option<Stamp>),
    /// What is held, with something around it: lines of dashes, quotes.
    Decorated(Stamp),
    /// Something that cannot be read as a token; the reason.
    Junk(String),
    NotStill,
}

/// A file that we wrote or read.
#[derive(Debug, Clone, Copy)]
struct KnownFile {
    stamp: Stamp,
    digest: Digest,
    /// Whether another content has another stamp: it was read when its last change was some time ago.
    is_proven: bool,
}

/// What is remembered of the places of files.
#[derive(Debug)]
pub(super) struct Places {
    /// Whether files may wait to be written.
    behind: AtomicBool,
    /// What we wrote, or found to be what is held.
    known: moka::sync::Cache<AccountKey, KnownFile>,
    /// What cannot be used in the place of ours: when it was last changed, and first seen.
    suspects: moka::sync::Cache<AccountKey, (SystemTime, Instant)>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            behind: AtomicBool::new(true),
            known: moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
            suspects: moka::sync::Cache::new(REMEMBERED),
        }
    }
}

impl Places {
    /// Says whether files wait to be written: then one that holds an earlier version is ours.
    pub(super) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Release);
    }

    /// Says what we wrote.
    pub(super) fn wrote(&self, key: &AccountKey, stamp: Stamp, digest: Digest) {
        self.known.insert(*key, KnownFile { stamp, digest, is_proven: false });
    }

    /// Forgets what we wrote.
    pub(super) fn forget(&self, key: &AccountKey) {
        self.known.invalidate(key);
    }

    /// Looks at an account's place. `is_moved`: the journal has changed.
    pub(super) fn look(
        &self,
        journal: &JournalReader,
        home: &Path,
        key: &AccountKey,
        presence: &Result<AccountStatus, StoreError>,
        is_moved: bool,
    ) -> Result<There, StoreError> {
        let look = match folder::look(home) {
            Ok(look) => look,
            Err(Unread::Missing) => return Ok(There::Nothing),
            Err(unread) => return junk(home, unread),
        };
        let known = self.known.get(key);
        if let Some(KnownFile { stamp, digest, is_proven: true }) = known
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
                let is_ours = known.is_some_and(|known| (known.stamp, known.digest) == (look.stamp, digest));
                if is_held || is_ours {
                    let known = KnownFile { stamp: look.stamp, digest, is_proven: look.is_still(SAME_TIME) };
                    self.known.insert(*key, known);
                    return Ok(There::Token(digest, Some(look.stamp)));
                }
                let may_wait = is_moved || self.behind.load(Ordering::Acquire);
                let waits = may_wait && journal.was_held(key, &digest)?;
                if !waits && !look.is_still(STILL) {
                    return Ok(There::NotStill);
                }
                Ok(There::Token(digest, waits.then_some(look.stamp)))
            }
            Err(Unread::Missing) => Ok(There::Nothing),
            Err(unread) => junk(home, unread),
        }
    }

    /// Whether what cannot be used has been there for a while by our own clock, too. File systems show that a file was
    /// emptied a moment before they show when that was, and until then it looks as if it had been empty for long.
    pub(super) fn is_certain(&self, home: &Path, key: &AccountKey) -> bool {
        let Some(changed) = folder::changed(home) else { return false };
        match self.suspects.get(key) {
            Some((then, seen)) if then == changed => seen.elapsed() >= STILL,
            _ => {
                self.suspects.insert(*key, (changed, Instant::now()));
                false
            }
        }
    }
}

/// A file that cannot be read as a token. If the system fails, that says nothing of the file.
fn junk(path: &Path, unread: Unread) -> Result<There, StoreError> {
    match unread {
        Unread::Io(error) if is_system(&error) => Err(StoreError::io("read", path)(error)),
        Unread::Changing => Ok(There::NotStill),
        // Not even its metadata can be read.
        Unread::Io(error) if folder::changed(path).is_none() => Err(StoreError::io("read", path)(error)),
        // Somebody may be writing it.
        _ if !folder::is_still(path, STILL) => Ok(There::NotStill),
        unread => Ok(There::Junk(unread.to_string())),
    }
}

/// The digest of the JWT in a file, and whether nothing but white space at its end is around it.
pub(super) fn digest_of(bytes: &[u8]) -> (Digest, bool) {
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
