//! What is said of files that stay as they are: once for each, and not of each of a hundred thousand.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::folder;
use crate::gate::Refusal;
use crate::jwt::Called;
use crate::key::AccountKey;

/// So many files are named one by one in the log within [`PERIOD`]; the rest is counted, in the metrics.
const NAMED: usize = 100;
/// So many files are named that were removed, likewise.
const RESTORED: usize = 10;
const PERIOD: Duration = Duration::from_secs(60);
/// Files of which it is remembered that they were judged.
const REMEMBERED: u64 = 1 << 16;

/// Files that were judged and stay as they are.
#[derive(Debug)]
pub(super) struct Reports {
    /// When each was last changed.
    judged: moka::sync::Cache<PathBuf, SystemTime>,
    named: NamingBound,
    restored: NamingBound,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            judged: moka::sync::Cache::new(REMEMBERED),
            named: NamingBound::of(NAMED),
            restored: NamingBound::of(RESTORED),
        }
    }
}

/// How many files are named.
#[derive(Debug)]
struct NamingBound {
    most: usize,
    /// Since when they are counted, and how many were named.
    lately: Mutex<(Instant, usize)>,
}

/// Whether a file may be named.
#[derive(Debug, PartialEq, Eq)]
enum NamingTurn {
    Named,
    /// The first one that is not.
    First,
    Silent,
}

impl NamingBound {
    fn of(most: usize) -> Self {
        Self { most, lately: Mutex::new((Instant::now(), 0)) }
    }

    fn turn(&self) -> NamingTurn {
        let mut lately = self.lately.lock();
        if lately.0.elapsed() >= PERIOD {
            *lately = (Instant::now(), 0);
        }
        lately.1 += 1;
        match lately.1.cmp(&(self.most + 1)) {
            std::cmp::Ordering::Less => NamingTurn::Named,
            std::cmp::Ordering::Equal => NamingTurn::First,
            std::cmp::Ordering::Greater => NamingTurn::Silent,
        }
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
        match self.named.turn() {
            NamingTurn::Named => tracing::warn!("{} {reason}; {then}", path.display()),
            NamingTurn::First => tracing::warn!("further files that are refused are counted, not named"),
            NamingTurn::Silent => {}
        }
    }

    /// Says that a file was removed and is there again, and how an account is deleted, unless too many were named lately.
    pub(super) fn restored(&self, path: &Path, account: &Called) {
        let key = account.key();
        match self.restored.turn() {
            NamingTurn::Named => tracing::warn!(
                account = %key,
                "the file of {account} was removed and is restored: {}. To delete the account, sign a request with \
                 `nats-account-server delete-request --seed-file operator.nk {key} > request.jwt` and send it with \
                 `curl -X DELETE --data-binary @request.jwt URL-OF-THIS-SERVER/jwt/v1/accounts/{key}`",
                path.display()
            ),
            NamingTurn::First => tracing::warn!("further files that were removed are restored and not named"),
            NamingTurn::Silent => {}
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

/// Why a file is refused, and what to do if its name is at fault.
pub(super) fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::WrongAccount { subject, .. } if AccountKey::parse(subject).is_ok() => {
            format!("is refused: {refusal}; if that JWT is to be served, rename the file to {subject}.jwt")
        }
        refusal => format!("is refused: {refusal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_are_named_and_the_next_one_ends_it() {
        let bound = NamingBound::of(2);
        let turns: Vec<_> = (0..5).map(|_| bound.turn()).collect();
        assert_eq!(
            turns,
            [NamingTurn::Named, NamingTurn::Named, NamingTurn::First, NamingTurn::Silent, NamingTurn::Silent]
        );
    }
}
