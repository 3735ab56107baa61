//! Sub-folders that cannot be read: said once, again when they are others, and rarely as a reminder.

use std::time::{Duration, Instant};

use crate::folder::{Closed, FolderShard};

/// Sub-folders that are named one by one.
const NAMED: usize = 10;
/// How long nothing is said of what was said before.
const REMIND: Duration = Duration::from_secs(3600);

/// The sub-folders that could not be read at the last look.
#[derive(Debug, Default)]
pub(super) struct ClosedFolders {
    reasons: Vec<String>,
    shards: Vec<FolderShard>,
    /// Whether one of them is no shard.
    has_others: bool,
    said: Option<Instant>,
}

impl ClosedFolders {
    /// Takes over what a look found, and says so if it is news. `then`: what that means, for people.
    pub(super) fn are(&mut self, closed: &[Closed], then: &str) {
        let reasons = closed.iter().map(|closed| closed.error.to_string()).collect();
        self.shards = shards(closed);
        self.has_others = self.shards.len() < closed.len();
        let had = self.reasons.len();
        if !self.is_due(reasons, Instant::now()) {
            return;
        }
        match self.reasons.len() {
            0 if had > 0 => tracing::info!("all sub-folders of the token folder can be read again"),
            0 => {}
            _ => {
                for reason in self.reasons.iter().take(NAMED) {
                    tracing::warn!("part of the token folder is left out: {reason}; {then}");
                }
                if let Some(more) = self.reasons.len().checked_sub(NAMED).filter(|more| *more > 0) {
                    tracing::warn!("{more} more sub-folders of the token folder cannot be read");
                }
            }
        }
    }

    /// The shards among them.
    pub(super) fn shards(&self) -> &[FolderShard] {
        &self.shards
    }

    /// Whether a copy of any account may be in one of them.
    pub(super) const fn has_others(&self) -> bool {
        self.has_others
    }

    /// Whether there is something to say of these at `now`.
    fn is_due(&mut self, mut reasons: Vec<String>, now: Instant) -> bool {
        reasons.sort_unstable();
        let is_news = reasons != self.reasons;
        let is_old = self.said.is_none_or(|said| now.saturating_duration_since(said) >= REMIND);
        if !is_news && (reasons.is_empty() || !is_old) {
            return false;
        }
        self.reasons = reasons;
        self.said = Some(now);
        true
    }
}

/// The shards among some sub-folders.
pub(super) fn shards(closed: &[Closed]) -> Vec<FolderShard> {
    closed.iter().filter_map(|closed| closed.shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_once_again_when_it_changes_and_once_an_hour() {
        let (mut closed, start) = (ClosedFolders::default(), Instant::now());
        let mut at = |minutes: u64, reasons: &[&str]| {
            let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
            closed.is_due(reasons, start + Duration::from_secs(minutes * 60))
        };
        assert!(!at(0, &[]));
        assert!(at(1, &["a"]));
        assert!(!at(2, &["a"]));
        assert!(at(3, &["b", "a"]));
        assert!(!at(62, &["a", "b"]), "in whatever order they are found");
        assert!(at(63, &["a", "b"]));
        assert!(!at(122, &["a", "b"]));
        assert!(at(123, &[]));
        assert!(!at(500, &[]));
    }
}
