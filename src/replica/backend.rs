//! A replica as the port sees it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::onward::RelayFeed;
use super::{Onward, Replica, Slot};
use crate::clock;
use crate::config::ReplicaWrites;
use crate::epoch::Epoch;
use crate::feed::digest::{Ask, Comparison, Prefix, View};
use crate::gate::operator::Way;
use crate::gate::{Entry, Judged, OperatorChange, Refusal, SentFor, Trust};
use crate::jwt::{Called, HashId};
use crate::key::AccountKey;
use crate::metrics::{Metrics, gauge};
use crate::node::{
    Ages, AheadPage, Answer, Backend, Changes, Check, Digested, Feed, ForwardError, Found, KeyList, LookupError, Miss,
    NoKeyList, Now, Question, Relayed, Upstream, Withheld, Write, WriteError,
};
use crate::store::{Follower, FollowerChange, StoreError, blocking};

impl Backend for Arc<Replica> {
    fn at_hand(&self, key: &AccountKey) -> Option<Answer> {
        Replica::cached(self, key).map(|slot| slot.answer())
    }

    fn look(&self, key: &AccountKey) -> Now {
        Now::Miss(match Replica::miss(self, key) {
            // The long way says why.
            Miss::Absent if self.is_withheld(key) => Miss::Ask,
            miss => miss,
        })
    }

    fn epoch(&self, key: &AccountKey) -> Epoch {
        Replica::epoch(self, key)
    }

    fn is_fresh(&self, answer: &Answer) -> bool {
        self.is_fresh_stamp(answer.entry().key(), answer.stamp())
    }

    fn ages(&self, answer: &Answer) -> Option<Ages> {
        Some(Replica::ages(self, answer.stamp()))
    }

    fn is_confirmed(&self, answer: &Answer) -> bool {
        Replica::is_confirmed(self, answer.stamp())
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Option<Answer>, LookupError>> {
        async move {
            match Replica::get(self, key).await? {
                Some(slot) => Ok(Some(slot.answer())),
                None => match self.withheld_by(key) {
                    Some(issuer) => Err(Withheld { account: *key, issuer }.into()),
                    None => Ok(None),
                },
            }
        }
        .boxed()
    }

    fn called(&self, key: &AccountKey) -> Called {
        Replica::cached(self, key).map_or_else(|| (*key).into(), |slot| slot.entry().called())
    }

    fn lookup_now(&self, key: &AccountKey) -> Found {
        match self.confirmed(key) {
            Some(slot) => valid(slot.entry()).map_or(Found::Absent, Found::Served),
            None if self.may_find(key) => Found::Unsure,
            None => Found::Absent,
        }
    }

    fn lookup<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Option<Bytes>> {
        async move {
            Replica::get(self, key).await.ok()?;
            valid(self.confirmed(key)?.entry())
        }
        .boxed()
    }

    fn miss_activation(&self, id: &HashId) -> Miss {
        Replica::miss_activation(self, id)
    }

    fn activation<'a>(&'a self, id: &'a HashId) -> BoxFuture<'a, Result<Option<Arc<Judged>>, LookupError>> {
        async move { Ok(Replica::activation(self, id).await?) }.boxed()
    }

    fn feed(&self) -> Feed {
        match self.onward() {
            Onward::Ring(ring) => Feed::Open(Changes::of(Arc::new(RelayFeed { replica: self.clone(), ring }))),
            Onward::NotYet => Feed::NotYet,
            Onward::None => Feed::None,
        }
    }

    fn digests(&self, prefix: Option<Prefix>) -> BoxFuture<'_, Result<Digested<View>, StoreError>> {
        let replica = self.clone();
        of_mirror(move || Replica::digests(&replica, prefix)).boxed()
    }

    fn compare(&self, ask: Ask) -> BoxFuture<'_, Result<Digested<Comparison>, StoreError>> {
        let replica = self.clone();
        of_mirror(move || Replica::compare(&replica, &ask)).boxed()
    }

    fn key_list(&self) -> BoxFuture<'_, Result<KeyList, NoKeyList>> {
        let list = Replica::key_list(self).map(|(position, keys)| KeyList::of(position, keys.into_iter()));
        ready(list.ok_or(NoKeyList::NotYet)).boxed()
    }

    fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        Ok(Replica::followers(self))
    }

    fn note_followers(&self, changes: Vec<FollowerChange>) -> BoxFuture<'_, ()> {
        let replica = self.clone();
        async move {
            if let Err(error) = blocking(move || Replica::note_followers(&replica, &changes)).await {
                tracing::warn!("cannot write down the replicas behind this one: {error}");
            }
        }
        .boxed()
    }

    fn operator_way(&self) -> Way {
        Way::FollowerFile
    }

    fn set_operator(&self, trust: Arc<Trust>) -> BoxFuture<'_, Result<OperatorChange, WriteError>> {
        ready(self.configure_operator(&trust).map_err(Into::into)).boxed()
    }

    fn operator_note(&self) -> Option<String> {
        let why = self.operator_unconnected()?;
        Some(format!("the JWT of {} cannot be connected with it: {why}", Replica::primary(self)))
    }

    fn checks(&self) -> Vec<Check> {
        Replica::checks(self)
    }

    fn measure(&self, metrics: &Metrics) {
        let (entries, bytes) = self.size();
        metrics.replica_cache_entries.set(gauge(entries));
        metrics.replica_cache_bytes.set(gauge(bytes));
        metrics.serial.set(gauge(self.serial()));
        metrics.replica_ahead.set(Replica::ahead(self));
        metrics.clock_difference(self.clock_difference());
        // Of the primary itself, whatever is between.
        metrics.replica_heard.set(self.silence().map_or(0, |silence| (clock::unix_millis() - silence) / 1000));
    }
}

impl Upstream for Arc<Replica> {
    fn primary(&self) -> String {
        Replica::primary(self).to_owned()
    }

    fn public_url(&self) -> &str {
        Replica::public_url(self)
    }

    fn writes(&self) -> ReplicaWrites {
        Replica::writes(self)
    }

    fn route(&self) -> Vec<String> {
        Replica::route(self)
    }

    fn primary_age(&self) -> Option<u64> {
        self.silence().and_then(|silence| u64::try_from(silence / 1000).ok())
    }

    fn forward<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Relayed, ForwardError>> {
        Replica::forward(self, write).boxed()
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Relayed, ForwardError>> {
        self.relay_digests(question).boxed()
    }

    fn ahead(&self, after: Option<&AccountKey>) -> AheadPage {
        self.ahead_page(after)
    }

    fn hint(&self, token: &[u8], key: &AccountKey) -> Result<(), Refusal> {
        Replica::hint(self, token, key)
    }

    fn hint_activation(&self, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        Replica::hint_activation(self, token, sent_for)
    }
}

impl Slot {
    /// The JWT, and how current it is known to be now.
    fn answer(&self) -> Answer {
        Answer::cached(self.entry().clone(), self.position(), self.stamp())
    }
}

/// The JWT, unless it has expired: a nats-server would not load it.
fn valid(entry: &Entry) -> Option<Bytes> {
    (!entry.is_expired(clock::unix_seconds())).then(|| entry.token().clone())
}

/// What a mirror knows; a cache never does.
async fn of_mirror<T: Send + 'static>(
    find: impl FnOnce() -> Option<T> + Send + 'static,
) -> Result<Digested<T>, StoreError> {
    Ok(blocking(move || Ok(find())).await?.map_or(Digested::Unknown, Digested::Known))
}

#[cfg(test)]
mod tests;
