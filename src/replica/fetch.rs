//! Pulling one JWT: a single request per account, however many ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use super::take::AskedAt;
use super::upstream::{Class, Fetched, UpstreamError};
use super::{Offer, Replica, Slot};
use crate::clock;
use crate::epoch::Epoch;
use crate::feed::Head;
use crate::gate::{Entry, Position, Refusal, Via};
use crate::key::AccountKey;
use crate::node::Unavailable;

/// What a request brings. `Ok(None)`: the primary does not know the account.
type Found = Result<Option<Arc<Slot>>, Unavailable>;

/// A request under way, shared by all who wait for it.
pub(super) type Flight = Shared<Pin<Box<dyn Future<Output = Found> + Send>>>;

/// Accounts that can be asked for at the same time.
const MAX_FLIGHTS: usize = 50_000;

/// How things were with an account when the primary was asked about it.
#[derive(Debug)]
pub(super) struct Asked {
    /// The copy at hand.
    held: Option<Arc<Slot>>,
    /// The stretch of feed that was live.
    stretch: Option<u64>,
    /// The value of [`Replica::epochs`].
    heard: Epoch,
    /// The value of [`Replica::forgotten`].
    forgotten: Epoch,
    /// Where this replica was on the feed.
    position: Option<Head>,
}

impl Asked {
    /// The copy whose entity tag goes with the request. Only a server of our kind gives places, and only its entity tags
    /// are known to change with the bytes.
    pub(super) fn named(&self) -> Option<&Arc<Slot>> {
        self.held.as_ref().filter(|slot| slot.position().is_some())
    }
}

/// What the primary answered about an account.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) said: Said,
    /// Whether the feed says how long that stays true.
    pub(super) is_followed: bool,
    /// Whether it came from the server whose feed is followed.
    pub(super) is_of_followed: bool,
    /// Whether it came from the primary itself.
    pub(super) is_of_primary: bool,
    /// How old it was already, in milliseconds.
    pub(super) age: i64,
}

#[derive(Debug)]
pub(super) enum Said {
    /// This is the current version, committed there.
    Version(Arc<Entry>, Option<Position>),
    /// Something that did not pass the gate.
    Refused(Refusal),
    /// The copy at hand is the current version.
    Unchanged,
    /// There is none.
    Absent,
    /// It could not be asked.
    Nothing(UpstreamError),
}

/// Takes a request off the list when it has ended, however it ended.
struct Landing {
    replica: Arc<Replica>,
    key: AccountKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.replica.flights.lock().remove(&self.key);
    }
}

impl Replica {
    /// The request for an account that is under way, if there is one.
    pub(super) fn under_way(&self, key: &AccountKey) -> Option<Flight> {
        self.flights.lock().get(key).cloned()
    }

    /// Asks the primary about an account, by a request that begins after this was called, and does not wait for it.
    pub(super) fn refetch(self: &Arc<Self>, key: AccountKey) {
        let (replica, before) = (self.clone(), self.under_way(&key));
        self.runtime.spawn(async move {
            // The request applies its own answer.
            let _ = replica.flight_after(before, key).await;
        });
    }

    /// Waits for a request that was under way, and then for another one.
    pub(super) async fn flight_after(self: &Arc<Self>, before: Option<Flight>, key: AccountKey) -> Found {
        if let Some(before) = before {
            let _ = before.await;
        }
        self.flight(key).await
    }

    /// Joins the request for `key` that is under way, or starts one. It runs to its end even if nobody waits any more.
    pub(super) fn flight(self: &Arc<Self>, key: AccountKey) -> Flight {
        let mut flights = self.flights.lock();
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

    async fn fetch(&self, key: &AccountKey) -> Found {
        let asked = self.asked(key);
        let answer = self.ask(key, &asked).await;
        if !self.is_outdated(key, &asked, &answer) {
            return self.answered(key, &asked, answer);
        }
        let asked = self.asked(key);
        let answer = self.ask(key, &asked).await;
        self.answered(key, &asked, answer)
    }

    /// Notes how things are with an account before the primary is asked about it.
    pub(super) fn asked(&self, key: &AccountKey) -> Asked {
        Asked {
            forgotten: self.forgotten.of(key),
            stretch: self.live(),
            heard: self.epochs.of(key),
            held: self.cache.get(key),
            position: self.keeping.stand().position,
        }
    }

    async fn ask(&self, key: &AccountKey, asked: &Asked) -> Answered {
        let etag = asked.named().map(|slot| slot.entry().etag());
        let class = if self.may_exist(key) { Class::Known } else { Class::Unknown };
        let answer = self.upstream.fetch(&format!("accounts/{key}"), etag, class).await;
        if answer.is_ok() && !self.is_following() {
            self.feed.reached.notify_waiters();
        }
        let is_followed = answer.as_ref().is_ok_and(|answer| answer.is_followed);
        let is_of_followed = answer.as_ref().is_ok_and(|answer| answer.is_of_followed);
        let is_of_primary = answer.as_ref().is_ok_and(|answer| answer.is_of_primary);
        let age = answer.as_ref().map_or(0, |answer| answer.age);
        let (result, said) = match answer.map(|answer| answer.fetched) {
            Ok(Fetched::Token(token, at)) => {
                let admitted = self.gate.admit(&token, Some(key), Via::Upstream, clock::unix_seconds());
                ("found", admitted.map_or_else(Said::Refused, |entry| Said::Version(Arc::new(entry), at)))
            }
            Ok(Fetched::NotModified) => ("unchanged", Said::Unchanged),
            Ok(Fetched::Absent) => ("absent", Said::Absent),
            Err(error) => ("failed", Said::Nothing(error)),
        };
        self.metrics.replica_fetches.with_label_values(&[result]).inc();
        Answered { said, is_followed, is_of_followed, is_of_primary, age }
    }

    /// Whether an answer may be older than something that came while it was under way, so that only a later answer tells:
    /// the primary let go of the account, or two versions of one second come from servers with different orders.
    pub(super) fn is_outdated(&self, key: &AccountKey, asked: &Asked, answer: &Answered) -> bool {
        if self.forgotten.of(key) != asked.forgotten {
            return true;
        }
        match &answer.said {
            Said::Version(entry, at) if self.epochs.of(key) != asked.heard => {
                self.memory.with(key, |seen| seen.held.is_open(&entry.version(), *at))
            }
            _ => false,
        }
    }

    /// Applies what the primary answered. A version always goes through the order, whatever was heard since the request
    /// began.
    pub(super) fn answered(&self, key: &AccountKey, asked: &Asked, answer: Answered) -> Found {
        let Answered { said, is_followed, is_of_followed, is_of_primary, age } = answer;
        let now = clock::uptime_millis();
        // Only an answer that nothing happened during, by who sends the feed, is current by the feed; any other one is
        // asked about again.
        let is_undisturbed = is_followed && self.epochs.of(key) == asked.heard;
        let stretch = asked.stretch.filter(|_| is_undisturbed && self.live() == asked.stretch);
        // The answer of a feed's server that was live throughout, or of a primary in the same session, is not from before.
        let was_live = is_followed && asked.stretch.is_some() && self.live() == asked.stretch;
        let asked_at = |at: Option<Position>| {
            let is_later =
                |position: &Head| was_live || (is_of_primary && at.is_some_and(|at| at.session == position.session.0));
            AskedAt { forgotten: asked.forgotten, at: asked.position.filter(is_later) }
        };
        match said {
            Said::Version(entry, at) => match self.offer(entry, Via::Upstream, at, stretch, Some(asked_at(at))) {
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
            },
            Said::Refused(refusal) => self.refused(key, &refusal, now),
            Said::Unchanged => {
                if let Some(slot) = &asked.held {
                    self.confirm(slot, None, stretch, now);
                    slot.set_back(age);
                    if is_undisturbed {
                        self.is_level(key);
                    }
                }
                let held = asked.held.clone();
                Ok(self.cache.get(key).or_else(|| self.unless_deleted(key, held?)))
            }
            Said::Absent => {
                if let Some(slot) = self.unconfirmed(key, now) {
                    tracing::debug!(account = %key, "the primary does not know {key}; the copy at hand is kept");
                    if is_undisturbed {
                        self.notice_ahead(key);
                    }
                    return Ok(Some(slot));
                }
                // While the feed is live, another server may be further behind.
                self.unknown
                    .remember(key, || self.epochs.of(key) == asked.heard && (is_of_followed || self.live().is_none()));
                Ok(None)
            }
            // What deleted it is known, and that the primary cannot be asked changes nothing about it.
            Said::Nothing(_) if self.is_deleted(key) => Ok(None),
            Said::Nothing(error) => Err(self.unavailable(&error.to_string())),
        }
    }

    /// The stretch of feed that is live, if one is.
    fn live(&self) -> Option<u64> {
        Some(self.feed.live.load(Ordering::Acquire)).filter(|live| *live != 0)
    }

    pub(super) fn is_deleted(&self, key: &AccountKey) -> bool {
        self.memory.peek(key, |seen| seen.held.deleted().is_some() && !seen.is_live()).unwrap_or(false)
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
