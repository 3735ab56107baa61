//! What is served of accounts: the read cache, and the store behind it.
//!
//! All of it passed the gate. Nothing here sends a request. Other parts call this one to write what upstream answers, sends
//! or removes.

mod answer;
mod early;
mod system;
mod whole;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(super) use answer::{PullAnswer, PullContext, PullResult};
pub(super) use early::Heard;

use super::cached_copy::CachedCopy;
use super::copies::Copies;
use super::flights::Flights;
use super::freshness::Freshness;
use super::position::Positions;
use super::setup::Env;
use super::spread::Spread;
use super::store::Store;
use crate::clock;
use crate::feed::{Head, Subject};
use crate::gate::Held as Order;
use crate::generation::Generation;
use crate::key::{AccountKey, PublicKey};
use crate::node::Stamp;
use crate::store::StoreError;
use crate::throttle::Throttle;

/// How often a copy is read that commits come in between of.
const READS: usize = 4;

/// The cache and the store, and what says how current they are.
#[derive(Debug)]
pub(super) struct Held {
    env: Env,
    pub(super) store: Arc<Store>,
    pub(super) copies: Arc<Copies>,
    /// How far the feed is.
    pub(super) freshness: Freshness,
    /// Up to where everything is current.
    pub(super) positions: Positions,
    flights: Arc<Flights>,
    spread: Spread,
    /// The order as of which the texts of all accounts were found here; 0: none.
    texts_of: AtomicU64,
    /// The system account's JWT, if it is configured.
    system: OnceLock<Arc<CachedCopy>>,
    /// Lines about what the store cannot read.
    unreadable: Throttle,
}

impl Held {
    /// Opens the store, with a cache of at most `bytes` in front of it.
    pub(super) fn open(env: &Env, bytes: u64, flights: Arc<Flights>) -> Result<Self, StoreError> {
        let copies = Arc::new(Copies::new(env, bytes));
        let store = Arc::new(Store::open(env, &copies)?);
        let held = Self {
            env: env.clone(),
            freshness: Freshness::after(&store, env.is_mirror())?,
            positions: Positions::new(&store),
            store,
            copies,
            flights,
            spread: Spread::default(),
            texts_of: AtomicU64::new(0),
            system: OnceLock::new(),
            unreadable: Throttle::every(Duration::from_secs(1)),
        };
        held.look_for_texts();
        Ok(held)
    }

    /// A copy in memory that can be served without a request.
    pub(super) fn fresh(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.copies.get(key).filter(|copy| self.is_fresh(key, &copy.stamp()))
    }

    /// A copy that the live feed confirms, if the primary itself was heard lately. May block for a query.
    pub(super) fn confirmed(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.at_hand(key).filter(|copy| self.freshness.confirms(copy.stretch()) && self.freshness.is_current())
    }

    /// Whether a copy can be served without a request.
    pub(super) fn is_fresh(&self, key: &AccountKey, stamp: &Stamp) -> bool {
        self.freshness.confirms(stamp.stretch)
            || stamp.is_checked_within(self.spread.of(self.env.setup.ttl, key), clock::uptime_millis())
    }

    /// The copy of an account, in memory or in the store. May block for a query, about 10 µs when the pages are in memory.
    pub(super) fn at_hand(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        if let Some(copy) = self.copies.get(key) {
            return Some(copy);
        }
        if self.store.reader().is_unknown(key) == Some(true) {
            return None;
        }
        let mut copy = None;
        // What a commit came in between of is read again: a cache keeps only what is in memory when its log ends.
        for _ in 0..READS {
            let read = self.copies.generation(key);
            copy = match self.store.reader().get(key) {
                Ok(stored) => self.copies.take(key, &stored?, read),
                Err(error) => {
                    self.unreadable(key, "the JWT", &error);
                    return None;
                }
            };
            if copy.is_none() || self.copies.contains(key) {
                break;
            }
        }
        copy
    }

    /// Each request for an account may find the same damage.
    fn unreadable(&self, key: &AccountKey, what: &str, error: &StoreError) {
        if let Some(more) = self.unreadable.turn(Instant::now()) {
            tracing::error!(account = %key, "{what} of {key} cannot be read: {error}{more}");
        }
    }

    /// The copy of an account, or else the one from `before`, if that has only been evicted since: it was not deleted or
    /// removed, and its signer not withdrawn. `gone`: [`Copies::gone`] before `before` was read. May block for a query.
    pub(super) fn at_hand_or(
        &self,
        key: &AccountKey,
        before: Option<&Arc<CachedCopy>>,
        gone: Generation,
    ) -> Option<Arc<CachedCopy>> {
        let is_still_right =
            |copy: &&Arc<CachedCopy>| self.copies.gone(key) == gone && self.env.gate.vouches(copy.entry().issuer());
        self.at_hand(key).or_else(|| before.filter(is_still_right).cloned())
    }

    /// What is known of the versions of an account. May block for a query.
    pub(super) fn order(&self, key: &AccountKey) -> Order {
        if self.store.reader().is_unknown(key) == Some(true) {
            return Order::default();
        }
        self.store.reader().held(key).unwrap_or_else(|error| {
            self.unreadable(key, "what is known", &error);
            Order::default()
        })
    }

    /// Whether a request deleted an account. May block for a query.
    pub(super) fn is_deleted(&self, key: &AccountKey) -> bool {
        let order = self.order(key);
        order.deleted().is_some() && !order.is_live()
    }

    /// The key that signed an account's JWT, if that is withheld. May block for a query.
    pub(super) fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        self.order(key).withheld_by(&self.env.gate.standing())
    }

    /// Whether an account is known to exist, or to have existed. May block for a query.
    pub(super) fn was_seen(&self, key: &AccountKey) -> bool {
        match self.store.reader().is_unknown(key) {
            Some(is_unknown) => !is_unknown,
            None => {
                // What cannot be read may exist.
                let Ok(order) = self.store.reader().held(key) else { return true };
                // Of some keys only a digest is known.
                let has_leaf =
                    || self.store.reader().leaf_of(&Subject::Account(*key)).map_or(true, |leaf| leaf.is_some());
                order.version().is_some() || order.deleted().is_some() || has_leaf()
            }
        }
    }

    /// The position of this mirror, if it holds everything.
    pub(super) fn knows_all(&self) -> Option<Head> {
        let stand = self.store.stand();
        let is_sure = self.env.is_mirror() && self.freshness.is_following() && stand.is_level;
        stand.position.filter(|_| is_sure)
    }

    /// Whether every key that upstream has is known, up to the position of the live feed.
    pub(super) fn knows_all_keys(&self) -> bool {
        self.freshness.is_following() && self.freshness.is_current() && self.store.stand().is_whole
    }

    /// Moves when something happens to an account.
    pub(super) fn generation(&self, key: &AccountKey) -> Generation {
        self.copies.generation(key)
    }

    /// Whether a client asked for an account lately, or it is held: it has a copy, a request, or an answer that it is
    /// unknown.
    pub(super) fn is_wanted(&self, key: &AccountKey) -> bool {
        self.env.is_mirror()
            || self.copies.contains(key)
            || self.copies.unknown.contains(key)
            || self.flights.contains(key)
            || self.at_hand(key).is_some()
    }

    /// Whether a text must stay in the store of a cache: it is in memory, or a request has just brought it for a client.
    pub(super) fn is_in_use(&self, key: &AccountKey) -> bool {
        // A request ends after its text is in memory, so it is looked at first.
        self.flights.contains(key) || self.copies.contains(key)
    }

    /// Logs how many accounts are newer here than at the primary.
    pub(super) fn report_ahead(&self, primary: &str) {
        let count = self.store.stand().ahead;
        if count > 0 {
            tracing::warn!(
                "{count} accounts are newer here than at the primary {primary}, which was restored from a backup or replaced; this \
                 replica goes on serving them; hand them back with `nats-account-server restore --from URL-OF-THIS-SERVER`"
            );
        }
    }

    #[cfg(test)]
    pub(super) const fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }
}
