//! Applies JWTs and deletions that passed the gate: to the known versions, and to the cache if the account is wanted.

use std::sync::Arc;

use super::Held;
use crate::clock;
use crate::feed::Head;
use crate::gate::{Entry, Ordering as Order, Position, Refusal, Tombstone, Via};
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::store::snapshot::Seen;

/// What became of a JWT.
#[derive(Debug)]
pub(in crate::replica) enum OfferOutcome {
    /// It is the current version, and cached if it is wanted.
    Applied(Option<Arc<CachedCopy>>),
    /// The earlier version stays.
    Kept,
    /// Only the primary knows the order.
    Refetch,
}

/// When the request for a JWT began.
#[derive(Debug, Clone, Copy)]
pub(in crate::replica) struct AskedAt {
    /// The generation of removals.
    pub(in crate::replica) forgotten: Generation,
    /// The position on the feed of the server that answered. `None`: this replica does not follow that feed.
    pub(in crate::replica) at: Option<Head>,
}

/// Where a copy comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::replica) enum CopySource {
    /// From a request upstream, which began at this position on its feed. `None`: unknown.
    Asked(Option<Head>),
    /// Upstream sent it without a request.
    Told,
    /// From NATS, or from a client of this replica that upstream accepted it from. It is newer than what it replaces.
    Hint,
}

impl Held {
    /// Applies a JWT that upstream gave. For any other JWT, see [`Held::judge`].
    ///
    /// `stretch`: the stretch that was live from before the request until now.
    pub(in crate::replica) fn offer(
        &self,
        entry: Arc<Entry>,
        via: Via,
        at: Option<Position>,
        stretch: Option<u64>,
        asked: Option<AskedAt>,
    ) -> Result<OfferOutcome, Refusal> {
        let key = *entry.key();
        let standing = self.env.gate.standing();
        // The operator JWT may have changed since it was admitted.
        if !standing.vouches(entry.issuer()) {
            return Err(Refusal::Untrusted(entry.issuer().text()));
        }
        self.generations.bump(&key);
        let offer = self.known.versions.with(&key, |seen| {
            if asked.is_some_and(|asked| self.forgotten.of(&key) != asked.forgotten) {
                // The primary has removed the account since, and sends nothing more about it.
                return Ok(OfferOutcome::Kept);
            }
            let held = &mut seen.held;
            if via == Via::Feed {
                held.make_room(&entry.version(), &standing);
            }
            let order = held.order(&entry.version(), via, at, &standing);
            if via == Via::Feed && !matches!(order, Order::Newer | Order::Same) {
                held.pass_over(&entry.version(), &standing);
            }
            match order {
                Order::Newer | Order::Same => {
                    held.put(entry.version(), at, &standing);
                    match seen.given(&entry.version(), via, &standing) {
                        Order::Newer | Order::Same => {}
                        Order::Refused(refusal) => return Err(refusal),
                        Order::Behind | Order::Refetch => return Ok(OfferOutcome::Refetch),
                    }
                    (seen.removed, seen.ahead) = (false, false);
                    let from = match via {
                        Via::Upstream => CopySource::Asked(asked.and_then(|asked| asked.at)),
                        _ => CopySource::Told,
                    };
                    Ok(OfferOutcome::Applied(self.cache_if_wanted(&key, &entry, at, stretch, from)))
                }
                Order::Behind => {
                    held.note_behind(&entry.version(), at);
                    Ok(OfferOutcome::Kept)
                }
                Order::Refetch => Ok(OfferOutcome::Refetch),
                Order::Refused(refusal) => Err(refusal),
            }
        });
        self.unknown.forget(&key);
        self.generations.bump(&key);
        offer
    }

    /// Caches the current version if it is wanted. A version that was requested is wanted. Called with the known
    /// versions of the account locked.
    pub(in crate::replica) fn cache_if_wanted(
        &self,
        key: &AccountKey,
        entry: &Arc<Entry>,
        at: Option<Position>,
        stretch: Option<u64>,
        from: CopySource,
    ) -> Option<Arc<CachedCopy>> {
        let now = clock::uptime_millis();
        let cached = self.cache.get(key);
        if let Some(copy) = cached.as_ref().filter(|copy| copy.entry().identity() == entry.identity()) {
            // The bytes that were served first stay, even if the same version is spelt in another way.
            self.confirm(copy, at, stretch, now);
            return cached;
        }
        if !matches!(from, CopySource::Asked(_)) && !self.is_wanted(key) {
            return None;
        }
        self.put(key, CachedCopy::new(entry.clone(), at, stretch, now), from)
    }

    /// Puts a copy into the cache. Called with the known versions of the account locked.
    pub(in crate::replica) fn put(
        &self,
        key: &AccountKey,
        copy: CachedCopy,
        from: CopySource,
    ) -> Option<Arc<CachedCopy>> {
        let (copy, was_cached) = (Arc::new(copy), self.cache.contains_key(key));
        self.cache.insert(*key, copy.clone());
        self.disk.note_copy(key);
        if self.is_current_stretch(copy.stretch()) {
            self.positions.confirm(key);
        } else {
            match from {
                CopySource::Asked(at) => self.is_unconfirmed(key, at.unwrap_or_else(|| self.positions.beginning())),
                CopySource::Told => self.is_unconfirmed(key, self.positions.beginning()),
                CopySource::Hint if self.was_current(key, was_cached) => {}
                CopySource::Hint => self.is_unconfirmed(key, self.positions.beginning()),
            }
        }
        // The operator JWT may have changed after the cache was searched for withdrawn signers.
        if !self.env.gate.vouches(copy.entry().issuer()) {
            self.cache.invalidate(key);
            return None;
        }
        Some(copy)
    }

    /// Whether the copy of an account, or its absence, is current at the position of the feed. A hint replaces only
    /// older copies, so then the hint is current as well.
    fn was_current(&self, key: &AccountKey, is_cached: bool) -> bool {
        if is_cached {
            !self.positions.is_listed(key)
        } else {
            self.env.is_mirror() || (self.freshness.is_following() && self.unknown.contains(key))
        }
    }

    /// Notes that the primary confirmed a copy.
    pub(in crate::replica) fn confirm(&self, copy: &CachedCopy, at: Option<Position>, stretch: Option<u64>, now: i64) {
        let key = copy.entry().key();
        if copy.confirm(at, stretch, now) {
            self.disk.note_copy(key);
        }
        if stretch.is_some_and(|stretch| self.is_current_stretch(stretch)) {
            self.positions.confirm(key);
        }
    }

    /// Whether a copy of this stretch is current at the position of the feed. A mirror has one stretch, and is compared
    /// as a whole.
    fn is_current_stretch(&self, stretch: u64) -> bool {
        stretch != 0 && (self.env.is_mirror() || stretch == self.freshness.stretch())
    }

    /// Applies a deletion. Returns whether it is new for one of its accounts.
    pub(in crate::replica) fn apply_delete(&self, tombstone: &Tombstone, at: Option<Position>) -> bool {
        let mut is_new = false;
        let standing = self.env.gate.standing();
        self.known.store_request(tombstone, at);
        for key in tombstone.keys() {
            self.generations.bump(key);
            self.known.versions.with(key, |seen| {
                if seen.held.delete(tombstone.deletion(), &standing) {
                    is_new = true;
                    seen.deleted_by = Some(*tombstone.identity());
                }
                seen.drop_deleted();
                if !seen.is_live() {
                    seen.ahead = false;
                    self.drop_copy(key);
                }
            });
            self.generations.bump(key);
        }
        is_new
    }

    /// Drops copies that the primary's read-only folder no longer has. The known versions still reject older JWTs. Of
    /// an unknown account nothing is stored, because a removal proves nothing. Returns whether an account was known.
    pub(in crate::replica) fn forget(&self, keys: impl IntoIterator<Item = AccountKey>) -> bool {
        let mut was_known = false;
        for key in keys {
            self.generations.bump(&key);
            // First, so that an answer under way is recognised as outdated.
            self.forgotten.bump(&key);
            if self.known.versions.peek(&key, Seen::is_known).unwrap_or(false) {
                was_known = true;
                self.known.versions.with(&key, |seen| {
                    (seen.removed, seen.ahead, seen.heard) = (true, false, None);
                    self.forgotten.bump(&key);
                    self.drop_copy(&key);
                });
            }
            self.generations.bump(&key);
        }
        was_known
    }
}
