//! Judges JWTs that upstream did not give, and applies them if the rule says so.

use std::sync::Arc;

use super::Held;
use super::apply::CopySource;
use crate::clock;
use crate::gate::{Entry, Ordering as Order, Refusal, Via};
use crate::replica::cached_copy::CachedCopy;
use crate::replica::rule::{KnownCopy, Ruling, rule};

impl Held {
    /// Judges a hint that passed the gate, and applies it if the rule says so.
    pub(in crate::replica) fn hear(&self, entry: &Arc<Entry>) -> Result<Ruling, Refusal> {
        // If no client wants the account, the first GET for it asks upstream anyway.
        if self.is_wanted(entry.key()) { self.judge(entry, false) } else { Ok(Ruling::Nothing) }
    }

    /// Applies [`rule`] to a JWT. `is_accepted`: upstream accepted it from a client of this replica.
    pub(in crate::replica) fn judge(&self, entry: &Arc<Entry>, is_accepted: bool) -> Result<Ruling, Refusal> {
        let (key, version) = (*entry.key(), entry.version());
        let standing = self.env.gate.standing();
        // The operator JWT may have changed since it was admitted.
        if !standing.vouches(entry.issuer()) {
            return Err(Refusal::Untrusted(entry.issuer().text()));
        }
        // The copy of an earlier process counts as well.
        let _ = self.at_hand(&key);
        self.known.versions.with(&key, |seen| {
            let copy = self.cache.get(&key);
            let known = KnownCopy {
                is_confirmed: copy.is_some() && seen.held.is_live() && !seen.removed,
                is_asked: self.flights.contains(&key),
                is_accepted,
            };
            let ruling = rule(seen.order(&version, Via::Hint, &standing), known)?;
            if ruling != Ruling::Apply {
                return Ok(ruling);
            }
            self.generations.bump(&key);
            if is_accepted {
                seen.held.put(version, None, &standing);
                (seen.heard, seen.removed, seen.ahead) = (None, false, false);
                self.cache_if_wanted(&key, entry, None, None, CopySource::Hint);
                self.unknown.forget(&key);
            } else if let Some(copy) = copy {
                seen.heard = Some(version);
                self.put(&key, self.in_place_of(&copy, entry), CopySource::Hint);
            }
            self.generations.bump(&key);
            Ok(ruling)
        })
    }

    /// Serves a JWT that an earlier kind of server left on disk, until upstream says otherwise.
    pub(in crate::replica) fn find(&self, entry: &Arc<Entry>) -> Result<(), Refusal> {
        let (key, version) = (*entry.key(), entry.version());
        self.generations.bump(&key);
        let found = self.known.versions.with(&key, |seen| {
            match seen.order(&version, Via::FirstScan, &self.env.gate.standing()) {
                Order::Newer => seen.heard = Some(version),
                Order::Same => {}
                Order::Refused(refusal) => return Err(refusal),
                Order::Behind | Order::Refetch => return Err(Refusal::Tie(version.iat)),
            }
            self.cache_if_wanted(&key, entry, None, None, CopySource::Asked(None));
            Ok(())
        });
        self.unknown.forget(&key);
        self.generations.bump(&key);
        found
    }

    /// The copy that replaces another one. Upstream is asked about it when it would have been asked about the earlier
    /// one, or after a time-to-live if the feed confirmed that.
    fn in_place_of(&self, copy: &CachedCopy, entry: &Arc<Entry>) -> CachedCopy {
        let now = clock::uptime_millis();
        let checked = if self.freshness.confirms(copy.stretch()) { now } else { copy.checked() };
        CachedCopy::heard(entry.clone(), checked, now)
    }
}
