//! Restores copies that an earlier process stored.
//!
//! Nothing is verified before the start. A copy that a client asks for comes first, through the gate, and the others
//! follow in the background.

use std::sync::Arc;

use super::Held;
use crate::clock;
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::replica::position::PositionLimit;
use crate::store::snapshot::{Copy, Seen};

/// The number of copies that are read at once.
const BATCH: u32 = 128;

impl Held {
    /// The copy of an account that an earlier process stored, if it may be served.
    pub(in crate::replica) fn restore(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        if self.disk.is_warm() {
            return None;
        }
        self.restore_copy(self.disk.stored(key)?)
    }

    /// Whether an earlier process stored a copy that is not restored yet.
    pub(in crate::replica) fn is_stored(&self, key: &AccountKey) -> bool {
        !self.disk.is_warm() && self.disk.stored(key).is_some()
    }

    fn restore_copy(&self, stored: Copy) -> Option<Arc<CachedCopy>> {
        let stand = self.positions.stand();
        let key = stored.key;
        let entry = match self.env.gate.admit(&stored.jwt, Some(&key), Via::Snapshot, clock::unix_seconds()) {
            Ok(entry) => Arc::new(entry),
            Err(refusal) => {
                self.env.metrics.refused(Via::Snapshot, &refusal);
                if !matches!(refusal, Refusal::Untrusted(_)) {
                    tracing::warn!("the JWT of {key} in the snapshot is rejected: {refusal}");
                }
                self.disk.note_copy(&key);
                return None;
            }
        };
        let is_current = stored.stretch != 0 && stored.stretch >= stand.joined;
        let confirmed = if is_current { stored.confirmed.max(stand.heard) } else { stored.confirmed };
        // If the clock was set back since, the copy counts as very old.
        let age = clock::millis_since(confirmed).unwrap_or_else(clock::unix_millis);
        let confirmed = clock::uptime_millis() - age;
        self.known.versions.with(&key, |seen| {
            if let Some(copy) = self.cache.get(&key) {
                return Some(copy);
            }
            if seen.newest().is_none() && seen.held.deleted().is_none() {
                // The known version is lost, and begins with the copy. Only upstream gives positions.
                match stored.at {
                    Some(_) => seen.held.put(entry.version(), stored.at, &self.env.gate.standing()),
                    None => seen.heard = Some(entry.version()),
                }
            }
            if !is_of(seen, &entry) || !self.env.gate.vouches(entry.issuer()) {
                self.disk.note_copy(&key);
                return None;
            }
            let copy =
                Arc::new(CachedCopy::restored(entry, stored.at, if is_current { stand.stretch } else { 0 }, confirmed));
            if !is_current && stored.stretch != 0 {
                // It belongs to no stretch from now on, and the disk must say so too.
                self.disk.note_copy(&key);
            }
            self.cache.insert(key, copy.clone());
            if !is_current {
                self.is_unconfirmed(
                    &key,
                    self.positions.get(PositionLimit::WarmUp).unwrap_or_else(|| self.positions.beginning()),
                );
            }
            if !self.env.gate.vouches(copy.entry().issuer()) {
                self.cache.invalidate(&key);
                return None;
            }
            Some(copy)
        })
    }

    /// Restores everything. Returns the number of copies.
    pub(in crate::replica) fn restore_copies(&self) -> u64 {
        let (mut after, mut count) = (0, 0);
        while let Some((copies, last)) = self.disk.snapshot().copies(after, BATCH) {
            after = last;
            for stored in copies {
                let is_cached = self.cache.contains_key(&stored.key) || self.disk.is_noted(&stored.key);
                count += u64::from(is_cached || self.restore_copy(stored).is_some());
            }
        }
        count
    }
}

/// Whether a JWT is the newest known version, and may be served.
fn is_of(seen: &Seen, entry: &crate::gate::Entry) -> bool {
    seen.newest() == Some(&entry.version()) && seen.is_served()
}
