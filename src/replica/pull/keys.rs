//! Which keys exist upstream: a list from upstream, and the changes of its feed since.
//!
//! A request for a made-up key costs upstream as much as one for a real key, and anyone can make up keys. With the
//! list, requests for real keys come first. While the feed is live, the list also shows which keys do not exist.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::StatusCode;

use super::Pull;
use crate::backoff::Backoff;
use crate::feed::wire::{UpstreamChange, UpstreamContent};
use crate::feed::{Fingerprint, Head, Subject};
use crate::gate::Position;
use crate::key::AccountKey;
use crate::upstream::UpstreamError;

/// The largest number of keys that the feed adds to a list. If there are more, the list is requested again.
const MOST_ADDED: usize = 1 << 19;
/// The first pause after a failed request for the list; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The known keys.
#[derive(Debug, Default)]
pub(in crate::replica) struct UpstreamKeys {
    known: RwLock<KnownKeys>,
    /// The number of the history that is followed.
    history: AtomicU64,
    /// Whether the list is being requested.
    is_asked: AtomicBool,
    /// Whether upstream has no list.
    is_lacking: AtomicBool,
}

#[derive(Debug, Default)]
struct KnownKeys {
    /// Sorted.
    listed: Vec<Fingerprint>,
    added: HashSet<Fingerprint>,
    /// The history whose keys these are, if they are all.
    complete: Option<u64>,
}

impl UpstreamKeys {
    /// Another history begins. Its keys are not known yet, but probably include those of the earlier one.
    pub(in crate::replica) fn begin(&self) {
        self.history.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a key is known to exist.
    pub(in crate::replica) fn contains(&self, key: &Subject) -> bool {
        let key = Fingerprint::of(key);
        let known = self.known.read();
        known.listed.binary_search(&key).is_ok() || known.added.contains(&key)
    }

    /// Whether all other keys do not exist, up to the position of the feed.
    pub(in crate::replica) fn are_complete(&self) -> bool {
        let complete = self.known.read().complete;
        complete == Some(self.history())
    }

    pub(in crate::replica) fn add(&self, key: &Subject) {
        if self.contains(key) {
            return;
        }
        let mut known = self.known.write();
        if known.added.len() >= MOST_ADDED {
            known.added.clear();
            known.complete = None;
        }
        known.added.insert(Fingerprint::of(key));
    }

    /// Sets all keys of a history, besides those that its feed has added.
    fn complete(&self, history: u64, mut keys: Vec<Fingerprint>) {
        keys.sort_unstable();
        let mut known = self.known.write();
        if history == self.history() {
            known.listed = keys;
            known.complete = Some(history);
        }
    }

    fn all(&self) -> Vec<Fingerprint> {
        let known = self.known.read();
        known.listed.iter().chain(&known.added).copied().collect()
    }

    fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }
}

impl Pull {
    /// Whether an account that [`Pull::may_exist`] denies does not exist, up to the position of the feed.
    pub(in crate::replica) fn knows_all_keys(&self) -> bool {
        self.held.freshness.is_following() && self.held.freshness.is_current() && self.keys.are_complete()
    }

    /// Whether an account is known to exist, or to have existed.
    pub(in crate::replica) fn may_exist(&self, key: &AccountKey) -> bool {
        // The second one may take a query.
        self.keys.contains(&Subject::Account(*key)) || self.held.was_seen(key)
    }

    /// All keys that exist, for followers. `None`: they are not known.
    pub(in crate::replica) fn key_list(&self) -> Option<(Position, Vec<Fingerprint>)> {
        // Read first: keys that come in between are in the list as well.
        let (serial, position) = (self.held.freshness.serial(), self.held.positions.stand().position?);
        let keys = self.knows_all_keys().then(|| self.keys.all())?;
        Some((Position { session: position.session.0, serial }, keys))
    }

    /// Adds the key of a change of the feed. Even if the gate rejects the change, the key may exist upstream.
    pub(in crate::replica) fn note_key(&self, change: &UpstreamChange<'_>) {
        match change.content {
            UpstreamContent::Put { key: Some(key), .. } => self.keys.add(&Subject::Account(key)),
            UpstreamContent::Activation { id, .. } => self.keys.add(&Subject::Activation(id)),
            _ => {}
        }
    }

    /// Requests the list of keys, unless it is known, under way, or missing upstream. `from`: the position on the feed.
    /// `is_opened`: the feed was just opened, so upstream may be another version than before.
    pub(in crate::replica) fn list_keys(self: &Arc<Self>, from: Head, is_opened: bool) {
        if is_opened {
            self.keys.is_lacking.store(false, Ordering::Release);
        }
        if self.keys.are_complete()
            || self.keys.is_lacking.load(Ordering::Acquire)
            || self.keys.is_asked.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let pull = self.clone();
        self.env.runtime.spawn(async move {
            let history = pull.keys.history();
            pull.ask_for_keys(history, from).await;
            pull.keys.is_asked.store(false, Ordering::Release);
        });
    }

    async fn ask_for_keys(&self, history: u64, from: Head) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while self.keys.history() == history {
            match self.upstream.followed().keys().await {
                Ok((position, keys)) if position.session == from.session.0 && position.serial >= from.serial => {
                    tracing::debug!(
                        "{} keys exist at {} as of serial {}",
                        keys.len(),
                        self.upstream.shown(),
                        position.serial
                    );
                    return self.keys.complete(history, keys);
                }
                // Another server behind the same address, or an older list.
                Ok(_) => {}
                Err(UpstreamError::Status(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) => {
                    return self.keys.is_lacking.store(true, Ordering::Release);
                }
                Err(error) => {
                    tracing::debug!("cannot read the list of keys of {}: {error}", self.upstream.shown());
                }
            }
            backoff.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(byte: u8) -> Subject {
        Subject::Account(AccountKey::from_raw([byte; 32]))
    }

    #[test]
    fn a_list_is_complete_for_the_history_that_it_was_asked_for() {
        let keys = UpstreamKeys::default();
        assert!(!keys.are_complete() && !keys.contains(&key(1)));
        keys.add(&key(2));
        keys.complete(0, vec![Fingerprint::of(&key(1))]);
        assert!(keys.are_complete() && keys.contains(&key(1)) && keys.contains(&key(2)) && !keys.contains(&key(3)));
        keys.begin();
        assert!(!keys.are_complete() && keys.contains(&key(1)));
        keys.complete(0, vec![Fingerprint::of(&key(3))]);
        assert!(!keys.are_complete() && !keys.contains(&key(3)), "that was asked for before");
        keys.complete(1, vec![Fingerprint::of(&key(3))]);
        assert!(keys.are_complete() && keys.contains(&key(3)) && !keys.contains(&key(1)));
        assert_eq!(keys.all().len(), 2);
    }

    #[test]
    fn what_the_feed_adds_is_bounded() {
        let keys = UpstreamKeys::default();
        keys.complete(0, Vec::new());
        for number in 0..=u32::try_from(MOST_ADDED).expect("small") {
            let mut raw = [0; 32];
            raw[..4].copy_from_slice(&number.to_le_bytes());
            keys.add(&Subject::Account(AccountKey::from_raw(raw)));
        }
        assert!(!keys.are_complete() && keys.all().len() == 1);
    }
}
