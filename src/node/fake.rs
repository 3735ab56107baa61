//! A role for tests of the edges: it holds what it is given, and counts how often it is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::*;
use crate::config::ReplicaWrites;
use crate::feed::Subject;
use crate::feed::digest::{Ask, Comparison, LeafPage, Prefix, View};
use crate::gate::operator::Way;
use crate::gate::{Judged, OperatorChange, Refusal, SentFor};
use crate::generation::{Generation, Generations};
use crate::jwt::{Called, HashId};
use crate::metrics::Profile;
use crate::store::journal::DiskFigures;
use crate::store::{Follower, FollowerChange};

/// A replica without an upstream.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    answers: Mutex<HashMap<AccountKey, Answer>>,
    generations: Generations,
    is_stale: AtomicBool,
    asked: AtomicUsize,
}

impl Fake {
    /// A node with this role.
    pub(crate) fn node(self: &Arc<Self>, gate: &Arc<Gate>) -> Node {
        let metrics = Arc::new(Metrics::new(Profile::replica()).expect("made"));
        Node::replica(self.clone(), "fake".into(), NodeParts::new(gate.clone(), metrics))
    }

    /// Answers with this from now on.
    pub(crate) fn hold(&self, answer: Answer) {
        let key = *answer.entry().key();
        self.answers.lock().insert(key, answer);
        self.generations.bump(&key);
    }

    /// Whether answers are fresh from now on.
    pub(crate) fn set_fresh(&self, is_fresh: bool) {
        self.is_stale.store(!is_fresh, Ordering::Relaxed);
    }

    /// How often an answer was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Backend for Fake {
    fn at_hand(&self, key: &AccountKey) -> Option<Answer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers.lock().get(key).cloned()
    }

    fn look(&self, _key: &AccountKey) -> Now {
        Now::Miss(Miss::Absent)
    }

    fn generation(&self, key: &AccountKey) -> Generation {
        self.generations.of(key)
    }

    fn is_fresh(&self, _answer: &Answer) -> bool {
        !self.is_stale.load(Ordering::Relaxed)
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Option<Answer>, LookupError>> {
        ready(Ok(self.at_hand(key))).boxed()
    }

    fn called(&self, key: &AccountKey) -> Called {
        (*key).into()
    }

    fn lookup_now(&self, _key: &AccountKey) -> LookupNow {
        LookupNow::Absent
    }

    fn lookup<'a>(&'a self, _key: &'a AccountKey) -> BoxFuture<'a, Option<Bytes>> {
        ready(None).boxed()
    }

    fn miss_activation(&self, _id: &HashId) -> Miss {
        Miss::Absent
    }

    fn activation<'a>(&'a self, _id: &'a HashId) -> BoxFuture<'a, Result<Option<Arc<Judged>>, LookupError>> {
        ready(Ok(None)).boxed()
    }

    fn feed(&self) -> Feed {
        Feed::None
    }

    fn digests(&self, _prefix: Option<Prefix>) -> BoxFuture<'_, Result<Digested<View>, StoreError>> {
        ready(Ok(Digested::Unknown)).boxed()
    }

    fn leaves(
        &self,
        _prefix: Option<Prefix>,
        _after: Option<Subject>,
    ) -> BoxFuture<'_, Result<Digested<LeafPage>, StoreError>> {
        ready(Ok(Digested::Unknown)).boxed()
    }

    fn compare(&self, _ask: Ask) -> BoxFuture<'_, Result<Digested<Comparison>, StoreError>> {
        ready(Ok(Digested::Unknown)).boxed()
    }

    fn whole(&self) -> Whole {
        Whole::Never
    }

    fn key_list(&self) -> BoxFuture<'_, Result<KeyList, NoKeyList>> {
        ready(Err(NoKeyList::NotYet)).boxed()
    }

    fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        Ok(Vec::new())
    }

    fn note_followers(&self, _changes: Vec<FollowerChange>) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn operator_way(&self) -> Way {
        Way::FollowerFile
    }

    fn set_operator(&self, _trust: Arc<Trust>) -> BoxFuture<'_, Result<OperatorChange, WriteError>> {
        ready(Err(Refusal::NoOperator.into())).boxed()
    }

    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }

    fn measure(&self, _metrics: &Metrics) {}

    fn disk_figures(&self) -> DiskFigures {
        DiskFigures::default()
    }
}

impl Upstream for Fake {
    fn primary(&self) -> String {
        self.public_url().to_owned()
    }

    fn public_url(&self) -> &str {
        "http://primary.example"
    }

    fn writes(&self) -> ReplicaWrites {
        ReplicaWrites::Refuse
    }

    fn route(&self) -> Vec<String> {
        Vec::new()
    }

    fn certificate_end(&self) -> Option<i64> {
        None
    }

    fn primary_age(&self) -> Option<u64> {
        None
    }

    fn room_for_unasked(&self) -> Option<u64> {
        None
    }

    fn sync(&self) -> SyncState {
        SyncState { is_mirror: false, is_following: false, position: None, confirmed: None, ahead: 0 }
    }

    fn forward<'a>(&'a self, _write: &'a Write) -> BoxFuture<'a, Result<Relayed, ForwardError>> {
        ready(Err(ForwardError::Busy(self.primary()))).boxed()
    }

    fn ask(&self, _question: Question) -> BoxFuture<'_, Result<Relayed, ForwardError>> {
        ready(Err(ForwardError::Busy(self.primary()))).boxed()
    }

    fn ahead(&self, _after: Option<&AccountKey>) -> Result<AheadPage, StoreError> {
        Ok(AheadPage { accounts: Vec::new(), next: None })
    }

    fn hint<'a>(&'a self, _token: &'a [u8], _key: &'a AccountKey) -> BoxFuture<'a, Result<(), Refusal>> {
        ready(Err(Refusal::NoOperator)).boxed()
    }

    fn hint_activation(&self, _token: &[u8], _sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        Err(Refusal::NoOperator)
    }
}
