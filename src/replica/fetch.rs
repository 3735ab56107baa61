//! Pulling one JWT: a single request per account, however many ask.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::Replica;
use super::flights::{Flight, Found, Unavailable};
use super::held::{Answered, Asked, Said};
use super::upstream::{Class, Fetched};
use crate::clock;
use crate::gate::Via;
use crate::key::AccountKey;

/// Takes a request off the list when it has ended, however it ended.
struct Landing {
    replica: Arc<Replica>,
    key: AccountKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.replica.flights.remove(&self.key);
    }
}

impl Replica {
    /// The request for an account that is under way, if there is one.
    pub(super) fn under_way(&self, key: &AccountKey) -> Option<Flight> {
        self.flights.get(key)
    }

    /// Asks the primary about an account, by a request that begins after this was called, and does not wait for it.
    pub(super) fn refetch(self: &Arc<Self>, key: AccountKey) {
        let (replica, before) = (self.clone(), self.under_way(&key));
        self.env.runtime.spawn(async move {
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
        let too_many = || Err(self.unavailable("too many accounts are being asked for"));
        self.flights.join(key, || self.take_off(key)).unwrap_or_else(|| std::future::ready(too_many()).boxed().shared())
    }

    fn take_off(self: &Arc<Self>, key: AccountKey) -> Flight {
        let (done, result) = oneshot::channel();
        let landing = Landing { replica: self.clone(), key };
        self.env.runtime.spawn(async move {
            let outcome = landing.replica.fetch(&key).await;
            drop(landing);
            // Nobody may be waiting any more.
            let _ = done.send(outcome);
        });
        let aborted = self.unavailable("the request was given up");
        async move { result.await.unwrap_or(Err(aborted)) }.boxed().shared()
    }

    async fn fetch(&self, key: &AccountKey) -> Found {
        let mut asked = self.held.asked(key);
        let mut answer = self.ask(key, &asked).await;
        if self.held.is_outdated(key, &asked, &answer) {
            asked = self.held.asked(key);
            answer = self.ask(key, &asked).await;
        }
        self.held.answered(key, &asked, answer).map_err(|reason| self.unavailable(&reason))
    }

    async fn ask(&self, key: &AccountKey, asked: &Asked) -> Answered {
        let etag = asked.named().map(|slot| slot.entry().etag());
        let class = if self.may_exist(key) { Class::Known } else { Class::Unknown };
        let answer = self.upstream.fetch(&format!("accounts/{key}"), etag, class).await;
        if answer.is_ok() {
            self.held.freshness().server_answered();
        }
        let is_followed = answer.as_ref().is_ok_and(|answer| answer.is_followed);
        let is_of_followed = answer.as_ref().is_ok_and(|answer| answer.is_of_followed);
        let is_of_primary = answer.as_ref().is_ok_and(|answer| answer.is_of_primary);
        let age = answer.as_ref().map_or(0, |answer| answer.age);
        let (result, said) = match answer.map(|answer| answer.fetched) {
            Ok(Fetched::Token(token, at)) => {
                let admitted = self.env.gate.admit(&token, Some(key), Via::Upstream, clock::unix_seconds());
                ("found", admitted.map_or_else(Said::Refused, |entry| Said::Version(Arc::new(entry), at)))
            }
            Ok(Fetched::NotModified) => ("unchanged", Said::Unchanged),
            Ok(Fetched::Absent) => ("absent", Said::Absent),
            Err(error) => ("failed", Said::Nothing(error.to_string())),
        };
        self.env.metrics.replica_fetches.with_label_values(&[result]).inc();
        Answered { said, is_followed, is_of_followed, is_of_primary, age }
    }

    pub(super) fn unavailable(&self, reason: &str) -> Unavailable {
        Unavailable::new(self.upstream.shown(), reason)
    }
}
