//! A replica: a bounded, read-only cache in front of a primary.
//!
//! It pulls a JWT on the first request for it, and keeps it up to date by the primary's change feed ([`follow`]). What it
//! hears over NATS is a hint ([`hint`]). While the feed is connected, what is held is current. Without it, entries are asked
//! about again after a time-to-live, and an answer never waits long for that: whoever has an entry answers it, whatever
//! is down.
//!
//! Everything passes the gate, and what was seen of each account is remembered apart from the cache ([`known`]), so
//! neither a lying primary nor an eviction takes an account back.
//!
//! A replica is made of parts, each in a file or folder of its own, which alone can touch its fields. From the ground up:
//! what is known of one thing ([`freshness`], [`position`], [`disk`], [`known`]), what is served ([`held`]), what is asked for
//! ([`pull`], [`activations`], [`operator`], [`hint`]), and what goes on in the background ([`resync`], [`follow`],
//! [`persist`], [`report`]). [`Replica`] puts them together, and passes on what other rooms ask.

mod activations;
mod ahead;
mod backend;
mod cached_copy;
mod digests;
mod disk;
mod flights;
mod follow;
mod forward;
mod freshness;
mod held;
mod hint;
#[cfg(test)]
mod interleavings;
mod known;
mod onward;
mod operator;
mod overlay;
mod parts;
mod persist;
mod position;
mod pull;
mod readiness;
mod relay;
mod report;
mod resync;
mod rule;
mod setup;
mod spread;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use setup::{BeginError, Setup, SnapshotPlace};

use crate::feed::wire::new_name;
use crate::gate::{Gate, Refusal};
use crate::metrics::Metrics;
use crate::node::Replicas;
use crate::rarely::Rarely;
use crate::store::StoreError;
use crate::tls::Files;
use crate::upstream::{Access, Upstream};
use activations::Activations;
use disk::Disk;
use flights::Flights;
use follow::Follow;
use forward::Forwarding;
use held::Held;
use hint::Hints;
use operator::Operators;
use parts::Parts;
use persist::Persist;
use pull::Pull;
use relay::Relay;
use report::Reporting;
use resync::Resync;
use setup::Env;

/// A replica: its parts.
#[derive(Debug)]
pub struct Replica {
    parts: Parts,
    resync: Arc<Resync>,
    relay: Arc<Relay>,
    reporting: Arc<Reporting>,
    forwarding: Forwarding,
    follow: Arc<Follow>,
    persist: Arc<Persist>,
}

impl Replica {
    /// A replica with an empty cache, and at hand what an earlier process kept. Background work runs on `runtime`.
    pub fn new(setup: Setup, gate: Arc<Gate>, metrics: Arc<Metrics>, runtime: Handle) -> Result<Arc<Self>, BeginError> {
        let (setup, name) = (Arc::new(setup), new_name().into());
        let refusals = Arc::new(Rarely::every(Duration::from_secs(1)));
        let env = Env { setup, name, gate, metrics, refusals, runtime };
        let (disk, stand) = Disk::open(&env.setup.place, env.is_mirror())?;
        let flights = Arc::new(Flights::default());
        let upstream = Upstream::new(&env.setup.upstream, &env.name, &env.gate, &env.metrics);
        let upstream = Arc::new(upstream.map_err(BeginError::Primary)?);
        let cache_bytes = env.setup.cache_bytes - Activations::share(env.setup.cache_bytes);
        let held = Arc::new(Held::new(&env, cache_bytes, Arc::new(disk), stand, flights.clone()));
        let pull = Arc::new(Pull::new(&env, &held, &upstream, flights));
        let hints = Arc::new(Hints::new(&env, &held, &pull, &upstream));
        let activations = Arc::new(Activations::new(&env, &held, &pull, &upstream, &hints));
        let operators = Arc::new(Operators::new(&env, &held, &pull, &upstream));
        let parts = Parts { env, upstream, held, pull, hints, activations, operators };
        let resync = Arc::new(Resync::new(parts.clone()));
        let relay = Arc::new(Relay::new(stand.position));
        let reporting = Arc::new(Reporting::new(&parts.env, &parts.held, &parts.upstream));
        let (forwarding, persist) =
            (Forwarding::new(parts.clone()), Arc::new(Persist::new(parts.clone(), resync.clone())));
        let follow = Arc::new(Follow::new(parts.clone(), resync.clone(), relay.clone(), reporting.clone()));
        parts.operators.begin().map_err(BeginError::Operator)?;
        parts.held.known.count().map_err(BeginError::Store)?;
        Ok(Arc::new(Self { parts, resync, relay, reporting, forwarding, follow, persist }))
    }

    /// Begins to write to the snapshot, and to bring back what it holds.
    pub fn begin_writing(&self) -> Result<(), StoreError> {
        self.persist.begin_writing()
    }

    /// Follows the feed for as long as the process lives, whatever happens to the primary.
    pub async fn follow(self: Arc<Self>) {
        self.follow.clone().follow().await;
    }

    /// Settles what the feed does not confirm, for as long as the process lives.
    pub async fn compare_unconfirmed(self: Arc<Self>) {
        self.resync.clone().compare_unconfirmed().await;
    }

    /// Goes back to a preferred server when that is well again, for as long as the process lives.
    pub async fn look_after_upstream(self: Arc<Self>) {
        self.parts.upstream.look_after().await;
    }

    /// Asks the primary for its operator until it shows one, and trusts that one from then on.
    ///
    /// It is what an old configuration without an operator gets, and better than nothing; but it is the primary's word,
    /// so such a replica cannot tell a lying primary from an honest one.
    pub async fn pin_operator(self: Arc<Self>) {
        self.parts.operators.clone().pin().await;
    }

    /// Reports to the server that is asked, for as long as the process lives. `name`: what people call this replica.
    pub async fn report(self: Arc<Self>, name: String, behind: Arc<Replicas>) {
        self.reporting.clone().report(name, behind).await;
    }

    /// Says goodbye to all servers that count this replica, within a moment, and reports no more.
    pub async fn farewell(&self) {
        self.reporting.farewell().await;
    }

    /// Writes what is not written yet, and ends the writing.
    pub fn close(&self) {
        self.persist.close();
    }

    /// The URL of the server that is asked now, without credentials.
    pub fn primary(&self) -> &str {
        self.parts.upstream.shown()
    }

    /// By what this process knows itself.
    pub fn name(&self) -> &str {
        &self.parts.env.name
    }

    /// The TLS files towards the primary, to be watched.
    pub fn tls_files(&self) -> &Arc<Files> {
        self.parts.upstream.tls_files()
    }

    /// Meets the primary in another way from the next request on. What is broken is logged and changes nothing. Blocks.
    pub fn set_access(&self, access: &Access) {
        self.parts.upstream.set_access(access);
    }

    /// Takes the configured JWT of the system account. The first one stays.
    pub fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        self.parts.held.set_system_jwt(token)
    }
}
