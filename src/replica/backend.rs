//! The port of a replica. Each question goes to the part that knows the answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::cached_copy::CachedCopy;
use super::onward::RelayFeed;
use super::relay::Onward;
use super::{Replica, ahead};
use crate::clock;
use crate::config::ReplicaWrites;
use crate::feed::Subject;
use crate::feed::digest::{Ask, Comparison, LeafPage, Prefix, View};
use crate::gate::operator::Way;
use crate::gate::{Entry, Judged, OperatorChange, Refusal, SentFor, Trust};
use crate::generation::Generation;
use crate::jwt::{Called, HashId};
use crate::key::AccountKey;
use crate::metrics::{Metrics, gauge};
use crate::node::{
    Ages, AheadPage, Answer, Backend, Check, Digested, Feed, ForwardError, JournalFeed, KeyList, LookupError,
    LookupNow, Miss, NoKeyList, Now, Question, Relayed, SyncState, Upstream, Whole, Withheld, Write, WriteError,
};
use crate::store::journal::DiskFigures;
use crate::store::{Follower, FollowerChange, JournalReader, StoreError, blocking};

impl Backend for Replica {
    fn at_hand(&self, key: &AccountKey) -> Option<Answer> {
        self.parts.held.fresh(key).map(|copy| copy.answer())
    }

    fn look(&self, key: &AccountKey) -> Now {
        Now::Miss(match self.parts.pull.miss(key) {
            // `get` says why.
            Miss::Absent if self.parts.pull.is_withheld(key) => Miss::Ask,
            miss => miss,
        })
    }

    fn generation(&self, key: &AccountKey) -> Generation {
        self.parts.held.generation(key)
    }

    fn is_fresh(&self, answer: &Answer) -> bool {
        self.parts.held.is_fresh(answer.entry().key(), answer.stamp())
    }

    fn ages(&self, answer: &Answer) -> Option<Ages> {
        Some(self.parts.held.freshness.ages(answer.stamp()))
    }

    fn is_confirmed(&self, answer: &Answer) -> bool {
        self.parts.held.freshness.is_confirmed(answer.stamp())
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Option<Answer>, LookupError>> {
        async move {
            match self.parts.pull.get(key).await? {
                Some(copy) => Ok(Some(copy.answer())),
                None => match self.parts.held.withheld_by(key) {
                    Some(issuer) => Err(Withheld { account: *key, issuer }.into()),
                    None => Ok(None),
                },
            }
        }
        .boxed()
    }

    fn called(&self, key: &AccountKey) -> Called {
        self.parts.held.fresh(key).map_or_else(|| (*key).into(), |copy| copy.entry().called())
    }

    fn lookup_now(&self, key: &AccountKey) -> LookupNow {
        let held = &self.parts.held;
        match held.confirmed(key) {
            Some(copy) => valid(copy.entry()).map_or(LookupNow::Absent, LookupNow::Served),
            // A request upstream may bring what the feed then confirms.
            None if held.freshness.is_following()
                && held.freshness.is_current()
                && !held.copies.unknown.contains(key) =>
            {
                LookupNow::Unsure
            }
            None => LookupNow::Absent,
        }
    }

    fn lookup<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Option<Bytes>> {
        async move {
            self.parts.pull.get(key).await.ok()?;
            valid(self.parts.held.confirmed(key)?.entry())
        }
        .boxed()
    }

    fn miss_activation(&self, id: &HashId) -> Miss {
        self.parts.activations.miss(id)
    }

    fn activation<'a>(&'a self, id: &'a HashId) -> BoxFuture<'a, Result<Option<Arc<Judged>>, LookupError>> {
        async move { Ok(self.parts.activations.get(id).await?) }.boxed()
    }

    fn feed(&self) -> Feed {
        match self.relay.onward() {
            Onward::Open => {
                let (held, relay, name) = (self.parts.held.clone(), self.relay.clone(), self.parts.env.name.clone());
                let feed = JournalFeed::new(held.store.reader().clone());
                Feed::Open(Arc::new(RelayFeed { held, relay, name, feed }))
            }
            Onward::NotYet => Feed::NotYet,
            Onward::None => Feed::None,
        }
    }

    fn digests(&self, prefix: Option<Prefix>) -> BoxFuture<'_, Result<Digested<View>, StoreError>> {
        self.of_mirror(move |journal| journal.digests(prefix)).boxed()
    }

    fn leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
    ) -> BoxFuture<'_, Result<Digested<LeafPage>, StoreError>> {
        self.of_mirror(move |journal| journal.leaves(prefix, after)).boxed()
    }

    fn compare(&self, ask: Ask) -> BoxFuture<'_, Result<Digested<Comparison>, StoreError>> {
        self.of_mirror(move |journal| journal.compare(&ask)).map(|compared| Ok(compared?.flatten())).boxed()
    }

    fn whole(&self) -> Whole {
        self.parts.held.whole()
    }

    fn key_list(&self) -> BoxFuture<'_, Result<KeyList, NoKeyList>> {
        let held = self.parts.held.clone();
        async move {
            blocking(move || {
                Ok(match held.whole() {
                    Whole::Stored { journal, is_current: true } => KeyList::read(&journal),
                    _ => Err(NoKeyList::NotYet),
                })
            })
            .await?
        }
        .boxed()
    }

    fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        self.parts.held.store.reader().followers()
    }

    fn note_followers(&self, changes: Vec<FollowerChange>) -> BoxFuture<'_, ()> {
        self.parts.held.store.journal().notes().set_followers(changes).boxed()
    }

    fn operator_way(&self) -> Way {
        Way::FollowerFile
    }

    fn set_operator(&self, trust: Arc<Trust>) -> BoxFuture<'_, Result<OperatorChange, WriteError>> {
        let operators = self.parts.operators.clone();
        // It looks through the whole cache.
        async move { Ok(blocking(move || Ok(operators.configure(&trust))).await.map_err(Arc::new)??) }.boxed()
    }

    fn operator_note(&self) -> Option<String> {
        let why = self.parts.operators.unconnected()?;
        Some(format!("the JWT of {} cannot be connected with it: {why}", self.parts.upstream.shown()))
    }

    fn checks(&self) -> Vec<Check> {
        self.readiness()
    }

    fn measure(&self, metrics: &Metrics) {
        let held = &self.parts.held;
        let (entries, bytes) = held.copies.size();
        metrics.replica.cache_entries.set(gauge(entries));
        metrics.replica.cache_bytes.set(gauge(bytes));
        metrics.replica.stored_bytes.set(gauge(held.store.reader().texts().map_or(0, |(texts, _)| texts)));
        metrics.store.serial.set(gauge(held.freshness.serial()));
        metrics.replica.ahead.set(gauge(held.store.stand().ahead));
        metrics.replica.clock_difference.show(self.parts.upstream.clock_difference());
        // The age of the primary itself, not of a replica on the way.
        metrics.replica.heard.show(Some(held.freshness.heard_at() / 1000));
    }

    fn disk_figures(&self) -> DiskFigures {
        self.parts.held.store.reader().disk_figures()
    }
}

impl Upstream for Replica {
    fn primary(&self) -> String {
        self.parts.upstream.shown().to_owned()
    }

    fn public_url(&self) -> &str {
        self.parts.upstream.public()
    }

    fn writes(&self) -> ReplicaWrites {
        self.parts.env.setup.writes
    }

    fn route(&self) -> Vec<String> {
        self.parts.upstream.route()
    }

    fn certificate_end(&self) -> Option<i64> {
        self.tls_files().not_after()
    }

    fn primary_age(&self) -> Option<u64> {
        self.parts.held.freshness.silence().and_then(|silence| u64::try_from(silence / 1000).ok())
    }

    fn room_for_unasked(&self) -> Option<u64> {
        let env = &self.parts.env;
        env.is_warm().then_some(env.setup.cache_bytes)
    }

    fn sync(&self) -> SyncState {
        let held = &self.parts.held;
        let (stand, confirmed) = (held.store.stand(), held.positions.confirmed());
        SyncState {
            is_mirror: self.parts.env.is_mirror(),
            is_following: held.freshness.is_following() && held.freshness.is_current(),
            position: stand.position,
            confirmed: confirmed.map(|confirmed| confirmed.serial),
            ahead: stand.ahead,
        }
    }

    fn forward<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Relayed, ForwardError>> {
        self.forwarding.forward(write).boxed()
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Relayed, ForwardError>> {
        self.forwarding.ask(question).boxed()
    }

    fn ahead(&self, after: Option<&AccountKey>) -> Result<AheadPage, StoreError> {
        ahead::page(&self.parts.held, after)
    }

    fn hint<'a>(&'a self, token: &'a [u8], key: &'a AccountKey) -> BoxFuture<'a, Result<(), Refusal>> {
        self.parts.hints.hear(token, key).boxed()
    }

    fn hint_activation(&self, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        self.parts.activations.hear(token, sent_for)
    }
}

impl CachedCopy {
    /// The JWT, and how current it is now.
    fn answer(&self) -> Answer {
        Answer::cached(self.entry().clone(), self.position(), self.stamp())
    }
}

/// The JWT, unless it has expired: a nats-server would not load it.
fn valid(entry: &Entry) -> Option<Bytes> {
    (!entry.is_expired(clock::unix_seconds())).then(|| entry.token().clone())
}

impl Replica {
    /// The answer of a mirror that holds everything, to a question about the digest tree. The primary answers others.
    async fn of_mirror<T: Send + 'static>(
        &self,
        find: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Digested<T>, StoreError> {
        if self.parts.held.knows_all().is_none() {
            return Ok(Digested::Unknown);
        }
        let reader = self.parts.held.store.reader().clone();
        blocking(move || find(&reader)).await.map(Digested::Known)
    }
}

#[cfg(test)]
mod tests;
