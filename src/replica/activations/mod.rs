//! Activations on a replica: pulled on demand, and judged by the account that vouches for them.
//!
//! They are few and small, and no nats-server waits for one. So this is simpler than for accounts. The feed removes
//! them from the cache instead of updating them, and each of a few lanes asks for one at a time.

mod apply;
mod hint;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::held::Held;
use super::hint::Hints;
use super::pull::Pull;
use super::setup::Env;
use super::unknown::Unknown;
use crate::upstream::{Class, Fetched, Upstream};

use crate::clock;
use crate::feed::Subject;
use crate::gate::{Activation, Judged, Refusal, SentFor, Unproven, Via};
use crate::jwt::HashId;
use crate::node::{Miss, Unavailable};

/// The number of requests that can be under way.
const LANES: usize = 32;
/// How long a request waits for the one before it.
const TURN: Duration = Duration::from_secs(1);
/// The share of the cache for activations is one in this number.
const SHARE: u64 = 16;

/// The activations of a replica.
#[derive(Debug)]
pub(super) struct Activations {
    env: Env,
    held: Arc<Held>,
    pull: Arc<Pull>,
    upstream: Arc<Upstream>,
    hints: Arc<Hints>,
    cache: moka::sync::Cache<HashId, Arc<CachedActivation>>,
    unknown: Unknown<HashId>,
    /// Moves when the primary changes any activation, so that an answer that was under way is not cached.
    heard: AtomicU64,
    lanes: [Lane; LANES],
}

/// One request at a time.
#[derive(Debug, Default)]
struct Lane {
    turn: tokio::sync::Mutex<()>,
    asked: Mutex<Option<AskedActivation>>,
}

#[derive(Debug)]
struct AskedActivation {
    id: HashId,
    /// The replica heard of it since, so the answer may be outdated.
    is_stale: bool,
}

#[derive(Debug)]
struct CachedActivation {
    judged: Arc<Judged>,
    /// The stretch of the feed that confirms it; 0 if none.
    stretch: AtomicU64,
    /// When the primary was last asked, in milliseconds of [`clock::uptime_millis`]; 0: the next request asks it.
    checked: AtomicI64,
}

impl Activations {
    /// The bytes of the cache for activations.
    pub(super) const fn share(bytes: u64) -> u64 {
        bytes / SHARE
    }

    pub(super) fn new(
        env: &Env,
        held: &Arc<Held>,
        pull: &Arc<Pull>,
        upstream: &Arc<Upstream>,
        hints: &Arc<Hints>,
    ) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(Self::share(env.setup.cache_bytes))
            .weigher(|_, cached: &Arc<CachedActivation>| {
                // The token, twice for its decoded claims, and what surrounds it.
                u32::try_from(cached.judged.activation().token().len() * 2 + 640).unwrap_or(u32::MAX)
            })
            .build();
        let unknown = Unknown::new(env.setup.negative_ttl);
        Self {
            env: env.clone(),
            held: held.clone(),
            pull: pull.clone(),
            upstream: upstream.clone(),
            hints: hints.clone(),
            cache,
            unknown,
            heard: AtomicU64::new(0),
            lanes: std::array::from_fn(|_| Lane::default()),
        }
    }

    /// Drops what is cached, because the primary has changed it.
    pub(super) fn forget(&self, id: &HashId) {
        self.heard.fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(id);
        self.unknown.forget(id);
    }

    fn lane(&self, id: &HashId) -> &Lane {
        &self.lanes[usize::from(id.raw()[0]) % LANES]
    }
}

impl CachedActivation {
    const fn new(judged: Arc<Judged>, stretch: u64, checked: i64) -> Self {
        Self { judged, stretch: AtomicU64::new(stretch), checked: AtomicI64::new(checked) }
    }

    /// The next request asks the primary, because it may have something newer.
    fn mark_stale(&self) {
        self.stretch.store(0, Ordering::Release);
        self.checked.store(0, Ordering::Release);
    }
}

impl Activations {
    /// An activation: from the cache, or pulled. Its account has still to vouch for it. `Ok(None)`: the primary does
    /// not know it.
    pub(super) async fn get(&self, id: &HashId) -> Result<Option<Arc<Judged>>, Unavailable> {
        if let Some(answer) = self.at_hand(id) {
            return Ok(answer);
        }
        match self.miss(id) {
            Miss::Absent => return Ok(None),
            Miss::Ask | Miss::AskUnknown { .. } => {}
            Miss::Crowded => return Err(self.pull.crowded()),
        }
        let lane = self.lane(id);
        let Ok(_turn) = timeout(TURN, lane.turn.lock()).await else { return Err(self.pull.crowded()) };
        // The request before may have brought it.
        if let Some(answer) = self.at_hand(id) {
            return Ok(answer);
        }
        *lane.asked.lock() = Some(AskedActivation { id: *id, is_stale: false });
        let answer = self.fetch(id).await;
        if lane.asked.lock().take().is_some_and(|asked| asked.is_stale)
            && let Some(cached) = self.cache.get(id)
        {
            cached.mark_stale();
        }
        answer
    }

    /// What to do about an activation that cannot be served without a request.
    pub(super) fn miss(&self, id: &HashId) -> Miss {
        if let Some(found) = self.at_hand(id) {
            return if found.is_some() { Miss::Ask } else { Miss::Absent };
        }
        let is_certain = self.held.knows_all_keys();
        if self.has(id, true) {
            return Miss::Ask;
        }
        self.pull.weigh(self.exists(id), is_certain)
    }

    /// Whether upstream is known to have it. Blocks for a query.
    fn exists(&self, id: &HashId) -> bool {
        let leaf = self.held.store.reader().leaf_of(&Subject::Activation(*id));
        leaf.is_ok_and(|leaf| leaf.is_some())
    }

    /// Whether there is a copy, even a stale one. `looks_deep`: also in the store, which takes a query.
    pub(super) fn has(&self, id: &HashId, looks_deep: bool) -> bool {
        self.cache.contains_key(id) || (looks_deep && self.held.store.reader().has_activation(id).unwrap_or(false))
    }

    /// The answer that needs no request.
    pub(super) fn at_hand(&self, id: &HashId) -> Option<Option<Arc<Judged>>> {
        let Some(cached) = self.cache.get(id) else {
            return self.unknown.contains(id).then_some(None);
        };
        let current = self.held.freshness.confirms(cached.stretch.load(Ordering::Acquire));
        let checked = cached.checked.load(Ordering::Acquire);
        let age = u128::try_from(clock::uptime_millis() - checked);
        let fresh = current || (checked != 0 && age.is_ok_and(|age| age < self.env.setup.ttl.as_millis()));
        (fresh || self.upstream.is_resting()).then(|| Some(cached.judged.clone()))
    }

    async fn fetch(&self, id: &HashId) -> Result<Option<Arc<Judged>>, Unavailable> {
        let (stretch, heard) = (self.held.freshness.live(), self.heard.load(Ordering::SeqCst));
        let held = self.cache.get(id);
        // A mirror has it, and the feed keeps it current.
        if held.is_none()
            && (stretch.is_some() || self.upstream.is_resting())
            && let Some(judged) = self.restore(id, stretch.unwrap_or(0), heard).await
        {
            return Ok(Some(judged));
        }
        let etag = held.as_ref().map(|cached| cached.judged.activation().etag());
        let exists = held.is_some() || self.exists(id);
        let class = if exists { Class::Known } else { Class::Unknown };
        let answer = self.upstream.fetch(&format!("activations/{id}"), etag, class, Upstream::deadline()).await;
        let is_followed = answer.as_ref().is_ok_and(|answer| answer.source.is_followed);
        let fetched = answer.map(|answer| answer.fetched);
        let undisturbed = || self.held.freshness.live() == stretch && self.heard.load(Ordering::SeqCst) == heard;
        let confirm = |cached: &CachedActivation| {
            cached.stretch.store(stretch.filter(|_| is_followed && undisturbed()).unwrap_or(0), Ordering::Release);
            cached.checked.store(clock::uptime_millis(), Ordering::Release);
        };
        // The copy stays if the primary lacks it: its account and its expiry decide.
        let at_hand = || {
            held.as_ref().map(|cached| {
                cached.checked.store(clock::uptime_millis(), Ordering::Release);
                cached.judged.clone()
            })
        };
        match fetched {
            Ok(Fetched::Token(token, _)) => match self.read_and_prove(&token, id).await? {
                Ok(activation) => {
                    let older = |cached: &&Arc<CachedActivation>| activation.iat() < cached.judged.activation().iat();
                    if held.as_ref().filter(older).is_some() {
                        return Ok(at_hand());
                    }
                    let judged = Arc::new(Judged::new(Arc::new(activation)));
                    let cached = Arc::new(CachedActivation::new(judged.clone(), 0, 0));
                    confirm(&cached);
                    self.insert(id, cached, heard);
                    Ok(Some(judged))
                }
                Err(refusal) => {
                    self.env.refused(Via::Upstream, &refusal, format_args!("the activation {id} of the primary"));
                    at_hand().map(Some).ok_or_else(|| self.pull.unavailable(&refusal.to_string()))
                }
            },
            Ok(Fetched::NotModified) => {
                if let Some(cached) = &held {
                    confirm(cached);
                }
                Ok(at_hand())
            }
            Ok(Fetched::Absent) => {
                let answer = at_hand();
                if answer.is_none() {
                    self.unknown.remember(id, undisturbed);
                }
                Ok(answer)
            }
            Err(error) => match at_hand() {
                Some(judged) => Ok(Some(judged)),
                None => match self.restore(id, 0, heard).await {
                    Some(judged) => Ok(Some(judged)),
                    None => Err(self.pull.unavailable(&error.to_string())),
                },
            },
        }
    }

    /// The activation that a mirror stores, if its account vouches for it.
    async fn restore(&self, id: &HashId, stretch: u64, heard: u64) -> Option<Arc<Judged>> {
        let stored = self.held.store.reader().activation(id).ok()??;
        let activation = self.read_and_prove(stored.activation.token(), id).await.ok()?.ok()?;
        let judged = Arc::new(Judged::new(Arc::new(activation)));
        let cached = Arc::new(CachedActivation::new(judged.clone(), stretch, 0));
        self.insert(id, cached, heard);
        Some(judged)
    }

    /// Passes an activation of the primary through the gate.
    async fn read_and_prove(&self, token: &Bytes, id: &HashId) -> Result<Result<Activation, Refusal>, Unavailable> {
        match self.env.gate.read_activation(token, SentFor::id(id), Via::Upstream, clock::unix_seconds()) {
            Ok(unproven) => self.prove(unproven).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Admits an activation if its account vouches for it. Pulls the account if necessary.
    async fn prove(&self, unproven: Unproven) -> Result<Result<Activation, Refusal>, Unavailable> {
        let account = *unproven.account();
        Ok(match self.pull.get(&account).await? {
            Some(copy) => unproven.prove(copy.entry()),
            None => Err(crate::gate::ActivationRefusal::UnknownAccount(account).into()),
        })
    }

    fn insert(&self, id: &HashId, cached: Arc<CachedActivation>, heard: u64) {
        let moved = || self.heard.load(Ordering::SeqCst) != heard;
        if moved() {
            return;
        }
        self.cache.insert(*id, cached);
        if moved() {
            self.cache.invalidate(id);
        }
    }
}
