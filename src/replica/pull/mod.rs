//! Pulls JWTs: one request for each account, shared by all clients that wait for it.

mod miss;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cached_copy::CachedCopy;
use super::flights::{Flight, Flights, Pulled};
use super::held::{Held, PullAnswer, PullContext, PullResult};
use super::setup::Env;
use crate::clock;
use crate::gate::Via;
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::node::{Miss, Unavailable};
use crate::upstream::{Class, Fetched, Upstream, UpstreamError};

/// How long an answer waits for the primary and the store if there is no copy. A nats-server gives up after 1.9 s.
const ANSWER_WAIT: Duration = Duration::from_millis(1_600);
/// How long an answer waits for the primary if there is a copy.
const STALE_WAIT: Duration = Duration::from_millis(700);
/// The same for a primary that has not answered yet since the start.
const FIRST_WAIT: Duration = Duration::from_millis(150);

/// Requests for accounts.
#[derive(Debug)]
pub(super) struct Pull {
    env: Env,
    held: Arc<Held>,
    upstream: Arc<Upstream>,
    flights: Arc<Flights>,
}

/// Removes a request from the list when it has ended, even by a panic.
struct Landing {
    pull: Arc<Pull>,
    key: AccountKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.pull.flights.remove(&self.key);
    }
}

impl Pull {
    /// `flights`: those that `held` knows.
    pub(super) fn new(env: &Env, held: &Arc<Held>, upstream: &Arc<Upstream>, flights: Arc<Flights>) -> Self {
        Self { env: env.clone(), held: held.clone(), upstream: upstream.clone(), flights }
    }

    /// The JWT of an account: from the cache, or pulled. `Ok(None)`: the primary does not know it.
    ///
    /// Takes at most [`ANSWER_WAIT`], and less than a second if there is a copy.
    pub(super) async fn get(self: &Arc<Self>, key: &AccountKey) -> Result<Option<Arc<CachedCopy>>, Unavailable> {
        let gone = self.held.copies.gone(key);
        let held = self.held.at_hand(key);
        let found = match held {
            Some(copy) if self.held.is_fresh(key, &copy.stamp()) => Ok(Some(copy)),
            Some(copy) => Ok(self.revalidated(key, copy, gone).await),
            None => match self.miss(key) {
                Miss::Absent => Ok(None),
                Miss::Ask | Miss::AskUnknown { .. } => tokio::time::timeout(ANSWER_WAIT, self.flight(*key))
                    .await
                    .unwrap_or_else(|_| Err(self.unavailable("no answer in time"))),
                Miss::Crowded => Err(self.crowded()),
            },
        };
        match found {
            Ok(Some(copy)) => Ok(Some(copy)),
            nothing => self.held.configured(key).map_or(nothing, |copy| Ok(Some(copy))),
        }
    }

    /// `gone`: the generation of deletions and removals before the copy was read.
    async fn revalidated(
        self: &Arc<Self>,
        key: &AccountKey,
        copy: Arc<CachedCopy>,
        gone: Generation,
    ) -> Option<Arc<CachedCopy>> {
        let wait = if self.upstream.was_reached() { STALE_WAIT } else { FIRST_WAIT };
        if !self.upstream.is_resting()
            && let Ok(Ok(Some(fresh))) = tokio::time::timeout(wait, self.flight(*key)).await
        {
            return Some(fresh);
        }
        // The account is unknown there, or the server is unreachable or slow. Absence is never a deletion, and a stale
        // answer now is better than a late one.
        self.env.metrics.replica.stale.inc();
        self.held.at_hand_or(key, Some(&copy), gone)
    }

    /// Whether an account is not served because its JWT is withheld.
    pub(super) fn is_withheld(&self, key: &AccountKey) -> bool {
        !self.held.copies.contains(key) && self.held.withheld_by(key).is_some()
    }

    pub(super) fn under_way(&self, key: &AccountKey) -> Option<Flight> {
        self.flights.get(key)
    }

    /// Sends a request for an account in the background, which begins after this call.
    pub(super) fn refetch(self: &Arc<Self>, key: AccountKey) {
        let (pull, before) = (self.clone(), self.under_way(&key));
        self.env.runtime.spawn(async move {
            // The request applies its own answer.
            let _ = pull.flight_after(before, key).await;
        });
    }

    /// Waits for a request under way, and then for another one.
    pub(super) async fn flight_after(self: &Arc<Self>, before: Option<Flight>, key: AccountKey) -> Pulled {
        if let Some(before) = before {
            let _ = before.await;
        }
        self.flight(key).await
    }

    /// Joins the request for `key` that is under way, or begins one. It runs to its end even if all waiting clients
    /// leave.
    pub(super) fn flight(self: &Arc<Self>, key: AccountKey) -> Flight {
        let too_many = || Err(self.unavailable("requests for too many accounts are under way"));
        self.flights.join(key, || self.take_off(key)).unwrap_or_else(|| std::future::ready(too_many()).boxed().shared())
    }

    fn take_off(self: &Arc<Self>, key: AccountKey) -> Flight {
        let (done, result) = oneshot::channel();
        let landing = Landing { pull: self.clone(), key };
        self.env.runtime.spawn(async move {
            let outcome = landing.pull.fetch(&key).await;
            drop(landing);
            // All waiting clients may have left.
            let _ = done.send(outcome);
        });
        let aborted = self.unavailable("the request was given up");
        async move { result.await.unwrap_or(Err(aborted)) }.boxed().shared()
    }

    async fn fetch(&self, key: &AccountKey) -> Pulled {
        // Both requests together must be in time.
        let deadline = Upstream::deadline();
        let mut asked = self.held.asked(key);
        let mut answer = self.ask(key, &asked, deadline).await;
        if self.held.is_outdated(key, &asked, &answer) {
            asked = self.held.asked(key);
            answer = self.ask(key, &asked, deadline).await;
        }
        self.held.answered(key, &asked, answer).await.map_err(|reason| self.unavailable(&reason))
    }

    async fn ask(&self, key: &AccountKey, asked: &PullContext, deadline: Instant) -> PullAnswer {
        let etag = asked.named().map(|copy| copy.entry().etag());
        let class = if self.held.was_seen(key) { Class::Known } else { Class::Unknown };
        let answer = self.upstream.fetch(&format!("accounts/{key}"), etag, class, deadline).await;
        if answer.is_ok() {
            self.held.freshness.server_answered();
        }
        let source = answer.as_ref().map(|answer| answer.source).unwrap_or_default();
        let (result, said) = match answer.map(|answer| answer.fetched) {
            Ok(Fetched::Token(token, at)) => {
                let admitted = self.env.gate.admit(&token, Some(key), Via::Upstream, clock::unix_seconds());
                ("found", admitted.map_or_else(PullResult::Refused, |entry| PullResult::Version(Arc::new(entry), at)))
            }
            Ok(Fetched::NotModified) => ("unchanged", PullResult::Unchanged),
            Ok(Fetched::Absent) => ("absent", PullResult::Absent),
            Err(error) => {
                let result = if matches!(error, UpstreamError::Denied(..)) { "denied" } else { "failed" };
                (result, PullResult::Nothing(error.to_string()))
            }
        };
        self.env.metrics.replica.fetches.inc([result]);
        PullAnswer { said, source }
    }

    pub(super) fn unavailable(&self, reason: &str) -> Unavailable {
        Unavailable::new(self.upstream.shown(), reason)
    }
}
