//! What is said of files that stay as they are: once for each, and not of each of a hundred thousand.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::store::folder;

/// So many files are named one by one in the log within [`PERIOD`]; the rest is counted, in the metrics.
const NAMED: usize = 100;
const PERIOD: Duration = Duration::from_secs(60);
/// Files of which it is remembered that they were judged.
const REMEMBERED: u64 = 1 << 16;

/// Files that were judged and stay as they are.
#[derive(Debug)]
pub(super) struct Reports {
    /// When each was last changed.
    judged: moka::sync::Cache<PathBuf, SystemTime>,
    /// Since when it is counted how many are named, and how many those are.
    named: Mutex<(Instant, usize)>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { judged: moka::sync::Cache::new(REMEMBERED), named: Mutex::new((Instant::now(), 0)) }
    }
}

impl Reports {
    /// Whether something has happened to a file since it was last judged, or reported. Asking remembers it.
    pub(super) fn is_news(&self, path: &Path) -> bool {
        // What cannot even be looked at has not changed as long as that is so.
        let changed = folder::changed(path).unwrap_or(UNIX_EPOCH);
        if self.judged.get(path) == Some(changed) {
            return false;
        }
        self.judged.insert(path.to_owned(), changed);
        true
    }

    /// Says why a file stays as it is, if that is news and not too much.
    pub(super) fn left(&self, path: &Path, reason: &str) {
        if self.is_news(path) {
            self.say(path, reason);
        }
    }

    /// Says why a file stays as it is, unless too many were named lately.
    pub(super) fn say(&self, path: &Path, reason: &str) {
        self.say_with(path, reason, "it is left as it is");
    }

    /// Says what is wrong with a file, and what that means, unless too many were named lately.
    pub(super) fn say_with(&self, path: &Path, reason: &str, then: &str) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.0.elapsed() >= PERIOD {
            *named = (Instant::now(), 0);
        }
        named.1 += 1;
        match named.1.cmp(&(NAMED + 1)) {
            std::cmp::Ordering::Less => tracing::warn!("{} {reason}; {then}", path.display()),
            std::cmp::Ordering::Equal => tracing::warn!("further files that are refused are counted, not named"),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// Forgets that a file was judged.
    pub(super) fn forget(&self, path: &Path) {
        self.judged.invalidate(path);
    }

    /// Forgets what was judged: another operator may think otherwise.
    pub(super) fn forget_all(&self) {
        self.judged.invalidate_all();
    }
}
