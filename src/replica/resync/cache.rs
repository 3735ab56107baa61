//! Compares the copies of a cache piece by piece, while they are served.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{ResyncError, Run, have};
use crate::clock;
use crate::feed::Subject;
use crate::feed::digest::Leaf;
use crate::feed::wire::DigestAsk;
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::replica::known::leaf;

/// The number of keys of one question.
pub(super) const PIECE: usize = 1000;
/// The pause between two questions, in which other requests come first.
pub(super) const PAUSE: Duration = Duration::from_millis(25);
/// The pause between two checks whether all copies of an earlier process are restored.
const WARMING: Duration = Duration::from_millis(50);

/// A copy to compare, and the generation of its account from before it was read.
struct ComparedCopy {
    key: AccountKey,
    leaf: Leaf,
    heard: Generation,
    /// Whether the primary is known to have the same.
    is_noted: bool,
}

impl Run {
    pub(super) async fn cache(&self) -> Result<(), ResyncError> {
        while !self.resync.parts.held.disk.is_warm() {
            self.is_current()?;
            tokio::time::sleep(WARMING).await;
        }
        let held: Vec<AccountKey> = self.resync.parts.held.accounts();
        for keys in held.chunks(PIECE) {
            self.compare(keys).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Compares copies, and applies what differs.
    pub(super) async fn compare(&self, keys: &[AccountKey]) -> Result<(), ResyncError> {
        let parts = &self.resync.parts;
        let mut held: Vec<ComparedCopy> = Vec::new();
        for key in keys {
            let heard = parts.held.generation(key);
            let known = parts.held.known.versions.peek(key, |seen| {
                let is_noted = !seen.ahead && seen.heard.is_none();
                leaf(key, seen).map(|leaf| ComparedCopy { key: *key, leaf, heard, is_noted })
            });
            held.extend(known.flatten());
        }
        let leaves: Vec<(Subject, Leaf)> = held.iter().map(|held| (Subject::Account(held.key), held.leaf)).collect();
        let asked: HashSet<AccountKey> = held.iter().map(|held| held.key).collect();
        let mut ask = DigestAsk { have: have(&leaves), ..DigestAsk::default() };
        let mut differing = HashSet::new();
        // Each answer is about at least one of the keys.
        let mut left = held.len();
        loop {
            let answer = self.ask(&ask).await?;
            let goes_on = Self::goes_on(&mut ask, &answer)?;
            differing.extend(self.apply(answer, Some(asked.clone())).await?);
            if !goes_on {
                break;
            }
            left = left.checked_sub(1).ok_or(ResyncError::Format("an end"))?;
        }
        let now = clock::uptime_millis();
        for ComparedCopy { key, heard, is_noted, .. } in held {
            // The replica heard something later of it.
            if differing.contains(&key) || parts.held.generation(&key) != heard {
                continue;
            }
            // Nearly always it is noted, and there are many.
            if !is_noted || parts.held.known.versions.ahead() > 0 {
                parts.held.is_level(&key);
            }
            if let Some(copy) = parts.held.copy(&key) {
                self.confirm(&copy, now);
            }
        }
        if !parts.env.is_mirror() {
            keys.iter().for_each(|key| self.note_unless_confirmed(key));
        }
        Ok(())
    }

    fn confirm(&self, copy: &CachedCopy, now: i64) {
        // On disk, every earlier stretch counts as confirmed once everything was compared.
        if copy.stretch() == 0 {
            self.resync.parts.held.confirm(copy, None, Some(self.stretch), now);
        } else {
            copy.confirm(None, Some(self.stretch), now);
            self.resync.parts.held.positions.confirm(copy.entry().key());
        }
    }

    /// Something may have changed in between, of this account or of another one with the same generation counter.
    fn note_unless_confirmed(&self, key: &AccountKey) {
        let parts = &self.resync.parts;
        let is_other = |copy: Arc<CachedCopy>| copy.stretch() != self.stretch;
        let is_ahead = || parts.held.known.versions.peek(key, |seen| seen.ahead).unwrap_or(false);
        if parts.held.copy(key).is_some_and(is_other) && !is_ahead() {
            parts.held.is_unconfirmed(key, parts.held.positions.confirmed_or_beginning());
        }
    }
}
