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
mod digests;
mod fetch;
mod follow;
mod forward;
mod freshness;
mod hint;
mod keeping;
mod keys;
mod memory;
mod mirror;
mod miss;
mod operator;
mod pack;
mod pin;
mod position;
mod relay;
mod report;
mod resync;
mod setup;
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
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

pub use ahead::{Ahead, AheadPage};
pub use fetch::Unavailable;
pub use forward::{ForwardError, Relayed, Target, Write};
pub use freshness::Ages;
pub use keeping::Place;
pub use miss::Miss;
pub use relay::{Onward, Passed, Question};
pub use report::BehindUs;
pub use setup::{Access, BeginError, Setup};
pub use slot::Slot;
pub use upstream::{MOST_REQUESTS, client};

use crate::clock;
use crate::config::{ReplicaMode, ReplicaWrites};
use crate::epoch::{Epoch, Epochs};
use crate::feed::Head;
use crate::feed::wire::new_name;
use crate::gate::Gate;
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::rarely::Rarely;
use crate::tls::Files;
use activations::Activations;
use fetch::Flight;
use forward::Forwarding;
use freshness::Freshness;
use hint::Waiting;
use keeping::Keeping;
use keys::Keys;
use memory::Memory;
use position::Positions;
use relay::Relay;
use report::Reporting;
use resync::Turns;
use setup::Env;
use shelf::Shelf;
use spread::Spread;
use sums::Sums;
use take::Offer;
use unknown::Unknown;
use upstream::Upstream;

/// How long an answer waits for the primary when a copy is at hand.
const STALE_WAIT: Duration = Duration::from_millis(700);
/// How long it waits for one that has not answered yet since this process began.
const FIRST_WAIT: Duration = Duration::from_millis(150);

/// The cache and what keeps it true.
#[derive(Debug)]
pub struct Replica {
    env: Env,
    upstream: Arc<Upstream>,
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
    freshness: Freshness,
    positions: Positions,
    comparisons: Turns,
    forwarding: Forwarding,
    relay: Relay,
    reporting: Reporting,
    /// Lines about what upstream offers and the gate rejects: it can offer any number of such things.
    refusals: Rarely,
}

impl Replica {
    /// A replica with an empty cache, and at hand what an earlier process kept. Background work runs on `runtime`.
    pub fn new(
        setup: Setup,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Arc<Self>, BeginError> {
        let (keeping, stand) = Keeping::open(&setup.place, setup.mode == ReplicaMode::Mirror)?;
        let keeping = Arc::new(keeping);
        let sums = Arc::new(Sums::new(setup.mode == ReplicaMode::Mirror));
        let cache = moka::sync::Cache::builder()
            .max_capacity(setup.cache_bytes - Activations::share(setup.cache_bytes))
            .weigher(|_, slot: &Arc<Slot>| slot.weight())
            .eviction_listener(keeping.on_leave())
            .build();
        let unknown = Unknown::new(setup.negative_ttl);
        let env = Env { setup: Arc::new(setup), name: new_name().into(), gate, metrics, runtime };
        let setup = &env.setup;
        let upstream = Arc::new(Upstream::new(&env).map_err(BeginError::Primary)?);
        let replica = Arc::new(Self {
            upstream,
            cache,
            unknown,
            keys: Keys::default(),
            activations: Activations::new(setup),
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
            freshness: Freshness::after(&stand),
            positions: Positions::after(stand, keeping.is_warm()),
            comparisons: Turns::default(),
            relay: Relay::new(stand.position),
            keeping,
            forwarding: Forwarding::new(env.name.clone()),
            reporting: Reporting::new(setup.primaries.len()),
            refusals: Rarely::every(Duration::from_secs(1)),
            env,
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
        &self.env.name
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

    /// Goes back to a preferred server when that is well again, for as long as the process lives.
    pub async fn look_after_upstream(self: Arc<Self>) {
        self.upstream.look_after().await;
    }

    /// What becomes of changes that clients send here.
    pub fn writes(&self) -> ReplicaWrites {
        self.env.setup.writes
    }

    /// The TLS files towards the primary, to be watched.
    pub fn tls_files(&self) -> &Arc<Files> {
        self.upstream.tls_files()
    }

    /// Meets the primary in another way from the next request on. What is broken is logged and changes nothing. Blocks.
    pub fn set_access(&self, access: &Access) {
        self.upstream.set_access(access);
    }

    /// A JWT that is at hand and fresh.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.cache.get(key).filter(|slot| self.is_fresh(slot))
    }

    /// A JWT that is at hand and that the feed, which is live, confirms; not if the primary itself was not heard lately.
    pub fn confirmed(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.at_hand(key).filter(|slot| self.freshness.confirms(slot.stretch()) && self.is_current())
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
        self.freshness.confirms(slot.stretch())
            || slot.checked_within(self.spread.of(self.env.setup.ttl, slot.entry().key()), clock::uptime_millis())
    }

    /// How old an entry is, and what this replica knows of its primary.
    pub fn ages(&self, slot: &Slot) -> Ages {
        self.freshness.ages(slot)
    }

    /// Whether the feed, up to where this replica stands, confirms an entry.
    pub fn is_confirmed(&self, slot: &Slot) -> bool {
        self.freshness.is_confirmed(slot)
    }

    async fn revalidated(self: &Arc<Self>, key: &AccountKey, slot: Arc<Slot>) -> Option<Arc<Slot>> {
        let wait = if self.upstream.was_reached() { STALE_WAIT } else { FIRST_WAIT };
        if !self.upstream.is_resting()
            && let Ok(Ok(Some(fresh))) = tokio::time::timeout(wait, self.flight(*key)).await
        {
            return Some(fresh);
        }
        // Unknown there, unreachable, or slow: absence is no deletion, and a stale answer now beats a late one.
        self.env.metrics.replica_stale.inc();
        self.cache.get(key).or_else(|| self.unless_deleted(key, slot))
    }

    /// A copy that left the cache while somebody waited for a better one; not if it left because of a deletion or a
    /// removal, or because its signer was withdrawn.
    fn unless_deleted(&self, key: &AccountKey, slot: Arc<Slot>) -> Option<Arc<Slot>> {
        let served = self.env.gate.vouches(slot.entry().issuer()) && self.memory.with(key, |seen| seen.is_served());
        served.then_some(slot)
    }

    /// Up to where everything that is served here without asking is current; `None`: no history is followed yet.
    pub fn position(&self) -> Option<Head> {
        self.positions.confirmed()
    }

    /// Entries and bytes in the cache.
    pub fn size(&self) -> (u64, u64) {
        // What was put in and evicted is counted now and then.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// Whether the feed is connected and caught up.
    pub fn is_following(&self) -> bool {
        self.freshness.is_following()
    }

    /// Whether the primary has ever answered, on the feed or to a request.
    pub fn was_reached(&self) -> bool {
        self.silence().is_some() || self.upstream.was_reached()
    }

    /// Milliseconds since the primary was last heard on the feed; `None`: never.
    pub fn silence(&self) -> Option<i64> {
        self.freshness.silence()
    }

    /// Whether the primary itself was heard lately, whatever is between.
    pub fn is_current(&self) -> bool {
        self.freshness.is_current()
    }

    /// For people: how the snapshot does. `None`: there is none.
    pub fn snapshot_state(&self) -> Option<String> {
        self.keeping.describe()
    }

    /// The serial up to which the feed was followed.
    pub fn serial(&self) -> u64 {
        self.freshness.serial()
    }
}
