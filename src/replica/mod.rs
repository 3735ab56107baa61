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
mod disk;
mod fetch;
mod flights;
mod follow;
mod forward;
mod freshness;
mod held;
mod hint;
#[cfg(test)]
mod interleavings;
mod keys;
mod known;
mod mirror;
mod miss;
mod operator;
mod overlay;
mod pack;
mod persist;
mod pin;
mod position;
mod relay;
mod report;
mod resync;
mod rule;
mod setup;
mod slot;
mod spread;
mod sse;
mod unknown;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use ahead::{Ahead, AheadPage};
pub use disk::Place;
pub use flights::Unavailable;
pub use forward::{ForwardError, Relayed, Target, Write};
pub use freshness::Ages;
pub use miss::Miss;
pub use relay::{Onward, Passed, Question};
pub use report::BehindUs;
pub use setup::{Access, BeginError, Setup};
pub use slot::Slot;
pub use upstream::{MOST_REQUESTS, client};

use crate::config::{ReplicaMode, ReplicaWrites};
use crate::epoch::Epoch;
use crate::feed::Head;
use crate::feed::wire::new_name;
use crate::gate::{Gate, Refusal};
use crate::key::{AccountKey, PublicKey};
use crate::metrics::Metrics;
use crate::rarely::Rarely;
use crate::store::{Follower, FollowerChange, StoreError};
use crate::tls::Files;
use activations::Activations;
use disk::Disk;
use flights::Flights;
use forward::Forwarding;
use held::{Held, Offer};
use hint::Waiting;
use keys::Keys;
use persist::Writing;
use relay::Relay;
use report::Reporting;
use resync::Turns;
use setup::Env;
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
    flights: Arc<Flights>,
    held: Arc<Held>,
    keys: Keys,
    activations: Activations,
    writing: Writing,
    waiting: Waiting,
    /// How the operator JWTs here stand to the primary's. Held while the operator changes.
    operator_turn: Mutex<operator::Turn>,
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
        let (disk, stand) = Disk::open(&setup.place, setup.mode == ReplicaMode::Mirror)?;
        let env = Env { setup: Arc::new(setup), name: new_name().into(), gate, metrics, runtime };
        let (setup, flights) = (&env.setup, Arc::new(Flights::default()));
        let cache_bytes = setup.cache_bytes - Activations::share(setup.cache_bytes);
        let replica = Arc::new(Self {
            upstream: Arc::new(Upstream::new(&env).map_err(BeginError::Primary)?),
            held: Arc::new(Held::new(&env, cache_bytes, Arc::new(disk), stand, flights.clone())),
            flights,
            keys: Keys::default(),
            activations: Activations::new(setup),
            writing: Writing::default(),
            waiting: Waiting::default(),
            operator_turn: Mutex::default(),
            comparisons: Turns::default(),
            relay: Relay::new(stand.position),
            forwarding: Forwarding::new(env.name.clone()),
            reporting: Reporting::new(setup.primaries.len()),
            refusals: Rarely::every(Duration::from_secs(1)),
            env,
        });
        replica.recall_operator().map_err(BeginError::Operator)?;
        replica.held.known().count().map_err(BeginError::Store)?;
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
        self.held.fresh(key)
    }

    /// A JWT that is at hand and that the feed, which is live, confirms; not if the primary itself was not heard lately.
    pub fn confirmed(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.held.confirmed(key)
    }

    /// Whether asking the primary for an account may bring what the feed confirms: the feed is live, the primary was heard
    /// lately, and the account is not known to be unknown.
    pub fn may_find(&self, key: &AccountKey) -> bool {
        self.is_following() && self.is_current() && !self.held.is_unknown(key)
    }

    /// The JWT of an account: from the cache, or pulled. `Ok(None)`: the primary does not know it.
    ///
    /// Takes at most the time-out of one request to the primary when nothing is at hand, and less than a second when a
    /// copy is.
    pub async fn get(self: &Arc<Self>, key: &AccountKey) -> Result<Option<Arc<Slot>>, Unavailable> {
        let held = self.held.at_hand(key);
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
            nothing => self.held.configured(key).map_or(nothing, |slot| Ok(Some(slot))),
        }
    }

    /// Moves whenever something is heard of an account.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        self.held.epoch(key)
    }

    /// Whether an entry can be served without asking.
    pub fn is_fresh(&self, slot: &Slot) -> bool {
        self.held.is_fresh(slot)
    }

    /// How old an entry is, and what this replica knows of its primary.
    pub fn ages(&self, slot: &Slot) -> Ages {
        self.held.freshness().ages(slot)
    }

    /// Whether the feed, up to where this replica stands, confirms an entry.
    pub fn is_confirmed(&self, slot: &Slot) -> bool {
        self.held.freshness().is_confirmed(slot)
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
        self.held.copy(key).or_else(|| self.held.unless_deleted(key, slot))
    }

    /// Up to where everything that is served here without asking is current; `None`: no history is followed yet.
    pub fn position(&self) -> Option<Head> {
        self.held.positions().confirmed()
    }

    /// Entries and bytes in the cache.
    pub fn size(&self) -> (u64, u64) {
        self.held.size()
    }

    /// Whether the feed is connected and caught up.
    pub fn is_following(&self) -> bool {
        self.held.freshness().is_following()
    }

    /// Whether the primary has ever answered, on the feed or to a request.
    pub fn was_reached(&self) -> bool {
        self.silence().is_some() || self.upstream.was_reached()
    }

    /// Milliseconds since the primary was last heard on the feed; `None`: never.
    pub fn silence(&self) -> Option<i64> {
        self.held.freshness().silence()
    }

    /// Whether the primary itself was heard lately, whatever is between.
    pub fn is_current(&self) -> bool {
        self.held.freshness().is_current()
    }

    /// For people: how the snapshot does. `None`: there is none.
    pub fn snapshot_state(&self) -> Option<String> {
        self.held.disk().describe()
    }

    /// Takes the configured JWT of the system account. The first one stays.
    pub fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        self.held.set_system_jwt(token)
    }

    /// The key that signed an account's JWT, if it is known here to be withheld.
    pub fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        self.held.known().withheld_by(key)
    }

    /// The replicas behind this one that an earlier process knew. Blocks for a query.
    pub fn followers(&self) -> Vec<Follower> {
        self.held.disk().snapshot().followers()
    }

    /// Remembers and forgets replicas behind this one. Blocks for writing.
    pub fn note_followers(&self, changes: &[FollowerChange]) -> Result<(), StoreError> {
        self.held.disk().snapshot().set_followers(changes)
    }

    /// The serial up to which the feed was followed.
    pub fn serial(&self) -> u64 {
        self.held.freshness().serial()
    }
}
