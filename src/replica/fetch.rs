//! Pulling one JWT: a single request per account, however many ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use super::take::Asked;
use super::upstream::Fetched;
use super::{Offer, Replica, Slot};
use crate::clock;
use crate::epoch::Epoch;
use crate::gate::{Position, Refusal, Via};
use crate::key::AccountKey;

/// A request under way, shared by all who wait for it.
pub(super) type Flight = Shared<Pin<Box<dyn Future<Output = Result<Option<Arc<Slot>>, Unavailable>> + Send>>>;

/// Accounts that can be asked for at the same time.
const MAX_FLIGHTS: usize = 50_000;

/// Takes a request off the list when it has ended, however it ended.
struct Landing {
    replica: Arc<Replica>,
    key: AccountKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.replica.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The primary could not be asked, and nothing is at hand.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the primary {primary} gave no usable answer: {reason}")]
pub struct Unavailable {
    primary: Arc<str>,
    reason: Arc<str>,
}

impl Replica {
    /// Joins the request for `key` that is under way, or starts one. It runs to its end even if nobody waits any more.
    pub(super) fn flight(self: &Arc<Self>, key: AccountKey) -> Flight {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        if flights.len() >= MAX_FLIGHTS {
            return std::future::ready(Err(self.unavailable("too many accounts are being asked for"))).boxed().shared();
        }
        let (done, result) = oneshot::channel();
        let landing = Landing { replica: self.clone(), key };
        self.runtime.spawn(async move {
            let outcome = landing.replica.fetch(&key).await;
            drop(landing);
            // Nobody may be waiting any more.
            let _ = done.send(outcome);
        });
        let aborted = self.unavailable("the request was given up");
        let flight: Flight = async move { result.await.unwrap_or(Err(aborted)) }.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    async fn fetch(&self, key: &AccountKey) -> Result<Option<Arc<Slot>>, Unavailable> {
        let asked = self.forgotten.of(key);
        let found = self.fetch_once(key, asked).await;
        // The primary let go of the account while it answered: what it says now counts.
        if self.forgotten.of(key) == asked { found } else { self.fetch_once(key, self.forgotten.of(key)).await }
    }

    async fn fetch_once(&self, key: &AccountKey, asked: Epoch) -> Result<Option<Arc<Slot>>, Unavailable> {
        let live = || Some(self.feed.live.load(Ordering::Acquire)).filter(|live| *live != 0);
        let (stretch, position) = (live(), self.keeping.stand().position);
        let before = self.epochs.of(key);
        let held = self.cache.get(key);
        // A server of our kind says where an entry stands; only its entity tags are known to change with the bytes.
        let etag = held.as_ref().filter(|slot| slot.position().is_some()).map(|slot| slot.entry().etag());
        let answer = self.upstream.fetch(&format!("accounts/{key}"), etag).await;
        // Only an answer that nothing happened during, by who sends the feed, is current by the feed; any other one is
        // asked about again.
        let is_followed = answer.as_ref().is_ok_and(|answer| answer.is_followed);
        let is_undisturbed = is_followed && self.epochs.of(key) == before;
        let is_of_followed = answer.as_ref().is_ok_and(|answer| answer.is_of_followed);
        let is_of_primary = answer.as_ref().is_ok_and(|answer| answer.is_of_primary);
        // The answer of a feed's server that was live throughout, or of a primary in the same session, is not from before.
        let was_live = is_followed && stretch.is_some() && live() == stretch;
        let asked_at = |at: Option<Position>| {
            position
                .filter(|position| was_live || (is_of_primary && at.is_some_and(|at| at.session == position.session.0)))
        };
        let stretch = stretch.filter(|_| is_undisturbed && live() == stretch);
        if answer.is_ok() && !self.is_following() {
            self.feed.reached.notify_waiters();
        }
        let age = answer.as_ref().map_or(0, |answer| answer.age);
        let fetched = answer.map(|answer| answer.fetched);
        let now = clock::uptime_millis();
        let result = match &fetched {
            Ok(Fetched::Token(..)) => "found",
            Ok(Fetched::NotModified) => "unchanged",
            Ok(Fetched::Absent) => "absent",
            Err(_) => "failed",
        };
        self.metrics.replica_fetches.with_label_values(&[result]).inc();
        match fetched {
            // Something was heard of the account while the request was under way, and is in the cache: it is later.
            Ok(Fetched::Token(..)) if self.epochs.of(key) != before && self.overtaken(key, held.as_ref()) => {
                Ok(self.cache.get(key))
            }
            Ok(Fetched::Token(token, at)) => {
                let admitted = self.gate.admit(&token, Some(key), Via::Upstream, clock::unix_seconds());
                let asked = Asked { forgotten: asked, at: asked_at(at) };
                match admitted.and_then(|entry| self.offer(Arc::new(entry), Via::Upstream, at, stretch, Some(asked))) {
                    Ok(Offer::Taken(Some(slot))) => {
                        slot.set_back(age);
                        Ok(Some(slot))
                    }
                    Ok(Offer::Taken(None) | Offer::Kept | Offer::Refetch) => self
                        .unconfirmed(key, now)
                        .map(Some)
                        .ok_or_else(|| self.unavailable("it offers an earlier version than was seen here")),
                    Err(refusal) => {
                        if is_undisturbed && refusal.is_conflict() {
                            self.notice_ahead(key);
                        }
                        self.refused(key, &refusal, now)
                    }
                }
            }
            Ok(Fetched::NotModified) => {
                if let Some(slot) = &held {
                    self.confirm(slot, None, stretch, now);
                    slot.set_back(age);
                    if is_undisturbed {
                        self.is_level(key);
                    }
                }
                Ok(self.cache.get(key).or_else(|| self.unless_deleted(key, held?)))
            }
            Ok(Fetched::Absent) => {
                if let Some(slot) = self.unconfirmed(key, now) {
                    tracing::debug!(account = %key, "the primary does not know {key}; the copy at hand is kept");
                    if is_undisturbed {
                        self.notice_ahead(key);
                    }
                    return Ok(Some(slot));
                }
                // While the feed is live, another server may be further behind.
                let is_believed = || self.epochs.of(key) == before && (is_of_followed || live().is_none());
                self.unknown.remember(key, is_believed);
                Ok(None)
            }
            // What deleted it is known, and that the primary cannot be asked changes nothing about it.
            Err(_) if self.is_deleted(key) => Ok(None),
            Err(error) => Err(self.unavailable(&error.to_string())),
        }
    }

    fn is_deleted(&self, key: &AccountKey) -> bool {
        self.memory.peek(key, |seen| seen.held.deleted().is_some() && !seen.held.is_live()).unwrap_or(false)
    }

    /// The primary's answer is no use. If it is merely older than what was seen, that is no attack.
    fn refused(&self, key: &AccountKey, refusal: &Refusal, now: i64) -> Result<Option<Arc<Slot>>, Unavailable> {
        if let Refusal::Deleted { .. } = refusal {
            return Ok(None);
        }
        self.metrics.refused(Via::Upstream, refusal);
        if refusal.is_conflict() {
            tracing::debug!(account = %key, "the primary's JWT for {key} is not taken: {refusal}");
        } else {
            tracing::warn!(account = %key, "the primary's JWT for {key} is refused: {refusal}");
        }
        self.unconfirmed(key, now).map(Some).ok_or_else(|| self.unavailable(&refusal.to_string()))
    }

    /// Whether the cache holds something that was not there before.
    fn overtaken(&self, key: &AccountKey, before: Option<&Arc<Slot>>) -> bool {
        self.cache.get(key).is_some_and(|now| before.is_none_or(|before| !Arc::ptr_eq(before, &now)))
    }

    /// What is in the cache although the primary did not confirm it: it is not asked about again for a while.
    fn unconfirmed(&self, key: &AccountKey, now: i64) -> Option<Arc<Slot>> {
        let slot = self.cache.get(key)?;
        slot.check(now);
        Some(slot)
    }

    pub(super) fn unavailable(&self, reason: &str) -> Unavailable {
        Unavailable { primary: self.upstream.shown().into(), reason: reason.into() }
    }
}
