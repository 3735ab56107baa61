//! A replica: a bounded, read-only cache in front of a primary.
//!
//! It pulls a JWT on the first request for it, and keeps it up to date by the primary's change feed ([`follow`]). What it
//! hears over NATS is a hint ([`hint`]). While the feed is connected, what is held is current. Without it, entries are asked
//! about again after a time-to-live, and an answer never waits long for that: whoever has an entry answers it, whatever
//! is down.
//!
//! Everything passes the gate, and what was seen of each account is remembered apart from the cache ([`memory`]), so
//! neither a lying primary nor an eviction takes an account back.

mod activations;
mod ahead;
mod backend;
mod checks;
mod clients;
mod digests;
mod feed;
mod fetch;
mod follow;
mod forward;
mod hint;
mod keeping;
mod keys;
mod memory;
mod mirror;
mod miss;
mod onward;
mod operator;
mod pack;
mod pin;
mod position;
mod relay;
mod report;
mod resync;
mod settings;
mod shelf;
mod slot;
mod spread;
mod sse;
mod sums;
mod system;
mod take;
mod unknown;
mod upstream;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

pub use clients::{MOST_REQUESTS, client};
pub use keeping::Place;
use relay::{Onward, Passed};
pub use slot::Slot;

use crate::clock;
use crate::config::{ReplicaMode, ReplicaWrites, Secret, Tls};
use crate::epoch::{Epoch, Epochs};
use crate::feed::wire::new_name;
use crate::gate::Gate;
use crate::key::{AccountKey, PublicKey};
use crate::metrics::Metrics;
use crate::node::{Ages, Miss, Stamp, Unavailable};
use crate::rarely::Rarely;
use crate::store::StoreError;
use crate::tls::Files;
use activations::Activations;
use clients::Clients;
use feed::Feed;
use fetch::Flight;
use forward::Forwarding;
use hint::Waiting;
use keeping::Keeping;
use keys::Keys;
use memory::Memory;
use position::Limits;
use relay::Relay;
use report::Reporting;
use shelf::Shelf;
use spread::Spread;
use sums::Sums;
use take::Offer;
use unknown::Unknown;
use upstream::Upstream;

/// How a replica is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The primary and who can stand in for it, each as `http://host:port`, without a slash at the end, preferred ones first.
    pub primaries: Vec<String>,
    /// Whether everything is kept here, or what was asked for.
    pub mode: ReplicaMode,
    /// Bound of the cache, in bytes.
    pub cache_bytes: u64,
    /// How long an entry is served without asking again, where there is no feed.
    pub ttl: Duration,
    /// How long one request to the primary may take.
    pub timeout: Duration,
    /// How long an unknown account is remembered as unknown.
    pub negative_ttl: Duration,
    /// What becomes of changes that clients send here.
    pub writes: ReplicaWrites,
    /// How the replica shows the primary who it is, and tells whether the primary is the right one.
    pub access: Access,
    /// Where it keeps what it has seen.
    pub place: Place,
    /// The identity of another operator whose JWT may take the place of the one in the snapshot.
    pub change_operator: Option<PublicKey>,
}

/// Why a replica cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Its snapshot cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The primary cannot be asked the way it is configured.
    #[error("{0}")]
    Primary(String),
    /// The configured operator JWT cannot be used with the snapshot.
    #[error("cannot start with the configured operator JWT: {0}")]
    Operator(crate::gate::OperatorRefusal),
}

/// How a replica and its primary come to trust each other.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A bearer token for the primary.
    pub token: Option<Secret>,
    /// Authorities besides the system's, client certificate and its key.
    pub tls: Tls,
}

impl Access {
    /// Whether it says who we are.
    pub const fn shows_something(&self) -> bool {
        self.token.is_some() || self.tls.cert.is_some()
    }

    /// As the settings say.
    pub fn of(settings: &crate::config::Replica) -> Self {
        Self { token: settings.token.clone(), tls: settings.tls.clone() }
    }
}

/// A primary that was heard so many milliseconds ago may have changed since.
const CURRENT: i64 = 5_000;
/// How long an answer waits for the primary when a copy is at hand.
const STALE_WAIT: Duration = Duration::from_millis(700);
/// How long it waits for one that has not answered yet since this process began.
const FIRST_WAIT: Duration = Duration::from_millis(150);

/// The cache and what keeps it true.
#[derive(Debug)]
pub struct Replica {
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    setup: Setup,
    upstream: Upstream,
    clients: Arc<Clients>,
    tls_files: Arc<Files>,
    cache: moka::sync::Cache<AccountKey, Arc<Slot>>,
    unknown: Unknown<AccountKey>,
    keys: Keys,
    activations: Activations,
    memory: Memory,
    keeping: Arc<Keeping>,
    shelf: Shelf,
    sums: Arc<Sums>,
    /// Whether what was seen before the start is still being counted.
    counting: AtomicBool,
    /// The system account's JWT, if it is configured.
    system: OnceLock<Arc<Slot>>,
    spread: Spread,
    /// Moves when something is heard of a key, so that an answer "unknown" under way is not believed.
    epochs: Epochs,
    /// Moves when the primary lets go of an account: a JWT that was asked for before is not to be cached.
    forgotten: Epochs,
    flights: Mutex<HashMap<AccountKey, Flight>>,
    waiting: Waiting,
    /// How the operator JWTs here stand to the primary's. Held while the operator changes.
    operator_turn: Mutex<operator::Turn>,
    feed: Feed,
    /// What keeps the position down that is confirmed upstream.
    limits: Limits,
    forwarding: Forwarding,
    relay: Relay,
    reporting: Reporting,
    /// Lines about what upstream offers and the gate rejects: it can offer any number of such things.
    refusals: Rarely,
    runtime: tokio::runtime::Handle,
}

impl Replica {
    /// A replica with an empty cache, and at hand what an earlier process kept. Background work runs on `runtime`.
    pub fn new(
        setup: Setup,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Arc<Self>, BeginError> {
        let keeping = Arc::new(Keeping::open(&setup.place, setup.mode == ReplicaMode::Mirror)?);
        let sums = Arc::new(Sums::new(setup.mode == ReplicaMode::Mirror));
        let cache = moka::sync::Cache::builder()
            .max_capacity(setup.cache_bytes - Activations::share(setup.cache_bytes))
            .weigher(|_, slot: &Arc<Slot>| slot.weight())
            .eviction_listener(keeping.on_leave())
            .build();
        let unknown = Unknown::new(setup.negative_ttl);
        let name = new_name();
        let (clients, tls_files) = Clients::load(&setup.access, setup.timeout, name.clone(), metrics.clone())
            .map_err(|error| BeginError::Primary(error.to_string()))?;
        let upstream = Upstream::new(&setup, &clients, gate.clone(), metrics.clone()).map_err(BeginError::Primary)?;
        let replica = Arc::new(Self {
            gate,
            metrics,
            upstream,
            clients,
            tls_files,
            cache,
            unknown,
            keys: Keys::default(),
            activations: Activations::new(&setup),
            memory: Memory::new(keeping.snapshot().clone(), sums.clone()),
            shelf: Shelf::new(keeping.snapshot().clone(), sums.clone()),
            counting: AtomicBool::new(false),
            sums,
            spread: Spread::default(),
            system: OnceLock::new(),
            epochs: Epochs::default(),
            forgotten: Epochs::default(),
            flights: Mutex::default(),
            waiting: Waiting::default(),
            operator_turn: Mutex::default(),
            feed: Feed::after(&keeping.stand()),
            limits: Limits::after(&keeping.stand(), keeping.has_joined(), keeping.is_warm()),
            relay: Relay::new(keeping.stand().position),
            keeping,
            forwarding: Forwarding::new(name),
            reporting: Reporting::new(setup.primaries.len()),
            refusals: Rarely::every(Duration::from_secs(1)),
            runtime,
            setup,
        });
        replica.recall_operator().map_err(BeginError::Operator)?;
        replica.count().map_err(BeginError::Store)?;
        Ok(replica)
    }

    /// The URL of the server that is asked now, without credentials.
    pub fn primary(&self) -> &str {
        self.upstream.shown()
    }

    /// By what this process knows itself.
    pub fn name(&self) -> &str {
        self.forwarding.name()
    }

    /// The servers on the way upstream, the nearest first, as far as they say so.
    pub fn route(&self) -> Vec<String> {
        self.upstream.route()
    }

    /// How many seconds later it is here than at the server that is asked; `None`: not known yet.
    pub fn clock_difference(&self) -> Option<f64> {
        self.upstream.clock_difference()
    }

    /// For people: how the clock here compares with that one, as in `62 s ahead of`, if they are too far apart.
    pub fn clock_problem(&self) -> Option<String> {
        self.upstream.clock_problem()
    }

    /// What speaks against the server that is asked now, if anything does.
    pub fn fault(&self) -> Option<Arc<str>> {
        self.upstream.fault()
    }

    /// The same URL as a client would use it that has credentials of its own, without a slash at its end.
    pub fn public_url(&self) -> &str {
        self.upstream.public()
    }

    /// What becomes of changes that clients send here.
    pub const fn writes(&self) -> ReplicaWrites {
        self.setup.writes
    }

    /// The TLS files towards the primary, to be watched.
    pub const fn tls_files(&self) -> &Arc<Files> {
        &self.tls_files
    }

    /// Meets the primary in another way from the next request on. What is broken is logged and changes nothing. Blocks.
    pub fn set_access(&self, access: &Access) {
        self.clients.set_token(access.token.clone());
        self.tls_files.reload(access.tls.clone());
    }

    /// A JWT that is at hand and fresh.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.cache.get(key).filter(|slot| self.is_fresh(slot))
    }

    /// A JWT that is at hand and that the feed, which is live, confirms; not if the primary itself was not heard lately.
    pub fn confirmed(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.at_hand(key).filter(|slot| self.feed.confirms(slot.stretch()) && self.is_current())
    }

    /// The copy of an account: in the cache, or left by an earlier process.
    fn at_hand(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.cache.get(key).or_else(|| self.recall(key))
    }

    /// Whether asking the primary for an account may bring what the feed confirms: the feed is live, the primary was heard
    /// lately, and the account is not known to be unknown.
    pub fn may_find(&self, key: &AccountKey) -> bool {
        self.is_following() && self.is_current() && !self.unknown.contains(key)
    }

    /// The JWT of an account: from the cache, or pulled. `Ok(None)`: the primary does not know it.
    ///
    /// Takes at most the time-out of one request to the primary when nothing is at hand, and less than a second when a
    /// copy is.
    pub async fn get(self: &Arc<Self>, key: &AccountKey) -> Result<Option<Arc<Slot>>, Unavailable> {
        let held = self.at_hand(key);
        let found = match held {
            Some(slot) if self.is_fresh(&slot) => Ok(Some(slot)),
            Some(slot) => Ok(self.revalidated(key, slot).await),
            None => match self.miss(key) {
                Miss::Absent => Ok(None),
                Miss::Ask | Miss::AskUnknown { .. } => self.flight(*key).await,
                Miss::Crowded => Err(self.crowded()),
            },
        };
        match found {
            Ok(Some(slot)) => Ok(Some(slot)),
            nothing => self.configured(key).map_or(nothing, |slot| Ok(Some(slot))),
        }
    }

    /// Moves whenever something is heard of an account.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        self.epochs.of(key)
    }

    /// Whether an entry can be served without asking.
    pub fn is_fresh(&self, slot: &Slot) -> bool {
        self.is_fresh_stamp(slot.entry().key(), &slot.stamp())
    }

    fn is_fresh_stamp(&self, key: &AccountKey, stamp: &Stamp) -> bool {
        self.feed.confirms(stamp.stretch)
            || slot::checked_within(stamp.checked, self.spread.of(self.setup.ttl, key), clock::uptime_millis())
    }

    /// How old an entry is, and what this replica knows of its primary.
    fn ages(&self, stamp: &Stamp) -> Ages {
        let (now, heard) = (clock::uptime_millis(), self.feed.heard.load(Ordering::Acquire));
        let live = self.feed.live.load(Ordering::Acquire);
        let confirmed = match stamp.stretch {
            0 => stamp.confirmed,
            stretch if stretch == live => heard,
            // It was confirmed as long as the feed was live, and may have been asked about since.
            stretch if stretch == self.feed.stretch.load(Ordering::Acquire) => stamp.confirmed.max(heard),
            _ => stamp.confirmed,
        };
        let seconds = |since: i64| u64::try_from((now - since) / 1000).unwrap_or(0);
        Ages { entry: seconds(confirmed), primary: (heard != 0).then(|| seconds(heard)) }
    }

    /// Whether the feed, up to where this replica stands, confirms an entry.
    fn is_confirmed(&self, stamp: &Stamp) -> bool {
        let stretch = self.feed.stretch.load(Ordering::Acquire);
        stretch != 0 && stamp.stretch == stretch
    }

    async fn revalidated(self: &Arc<Self>, key: &AccountKey, slot: Arc<Slot>) -> Option<Arc<Slot>> {
        let wait = if self.upstream.was_reached() { STALE_WAIT } else { FIRST_WAIT };
        if !self.upstream.is_resting()
            && let Ok(Ok(Some(fresh))) = tokio::time::timeout(wait, self.flight(*key)).await
        {
            return Some(fresh);
        }
        // Unknown there, unreachable, or slow: absence is no deletion, and a stale answer now beats a late one.
        self.metrics.replica_stale.inc();
        self.cache.get(key).or_else(|| self.unless_deleted(key, slot))
    }

    /// A copy that left the cache while somebody waited for a better one; not if it left because of a deletion or a
    /// removal, or because its signer was withdrawn.
    fn unless_deleted(&self, key: &AccountKey, slot: Arc<Slot>) -> Option<Arc<Slot>> {
        let served = self.gate.vouches(slot.entry().issuer()) && self.memory.with(key, |seen| seen.is_served());
        served.then_some(slot)
    }

    /// Entries and bytes in the cache.
    pub fn size(&self) -> (u64, u64) {
        // What was put in and evicted is counted now and then.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// Whether the feed is connected and caught up.
    pub fn is_following(&self) -> bool {
        self.feed.live.load(Ordering::Acquire) != 0
    }

    /// Whether the primary has ever answered, on the feed or to a request.
    pub fn was_reached(&self) -> bool {
        self.silence().is_some() || self.upstream.was_reached()
    }

    /// Milliseconds since the primary was last heard on the feed; `None`: never.
    pub fn silence(&self) -> Option<i64> {
        let heard = self.feed.heard.load(Ordering::Acquire);
        (heard != 0).then(|| clock::uptime_millis() - heard)
    }

    /// Whether the primary itself was heard lately, whatever is between.
    pub fn is_current(&self) -> bool {
        self.silence().is_some_and(|silence| silence < CURRENT)
    }

    /// For people: how the snapshot does. `None`: there is none.
    pub fn snapshot_state(&self) -> Option<String> {
        self.keeping.describe()
    }

    /// The serial up to which the feed was followed.
    pub fn serial(&self) -> u64 {
        self.feed.serial.load(Ordering::Acquire)
    }
}
