//! A replica: a bounded, read-only cache of a primary.
//!
//! It pulls a JWT on the first request for it, and keeps it current by the primary's change feed ([`follow`]). What it
//! hears over NATS is a hint ([`hint`]). Without the feed, it asks about a copy again after a time-to-live. An answer
//! never waits long for that: a replica that has a copy answers, whatever else is down.
//!
//! Every JWT passes the gate, and is written to the store ([`store`]), which remembers the versions of each account. So
//! neither a lying primary nor an eviction can roll an account back. The cache is in front of it ([`copies`]).
//!
//! A replica consists of parts. Each has a file or folder of its own, and only that can touch its fields. From the
//! ground up:
//!
//! * what is known of one thing: [`copies`], [`store`], [`freshness`], [`position`]
//! * what is served: [`held`]
//! * what is requested: [`pull`], [`activations`], [`operator`], [`hint`]
//! * what runs in the background: [`resync`], [`follow`], [`background`], [`report`]
//!
//! [`Replica`] puts them together, and passes on what other rooms ask.

mod activations;
mod ahead;
mod backend;
mod background;
mod cached_copy;
mod copies;
mod flights;
mod follow;
mod forward;
mod freshness;
mod held;
mod hint;
#[cfg(test)]
mod interleavings;
mod onward;
mod operator;
mod parts;
mod position;
mod pull;
mod readiness;
mod relay;
mod report;
mod resync;
mod setup;
mod spread;
mod store;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use setup::{BeginError, Setup, StorePlace};

use crate::feed::wire::new_name;
use crate::gate::{Gate, Refusal};
use crate::metrics::Metrics;
use crate::node::Replicas;
use crate::store::journal::upstream::UpstreamWrite;
use crate::store::{JournalReader, StoreError};
use crate::throttle::ThrottleBy;
use crate::tls::TlsFiles;
use crate::upstream::{Access, Upstream};
use activations::Activations;
use flights::Flights;
use follow::Follow;
use forward::Forwarding;
use held::Held;
use hint::Hints;
use operator::Operators;
use parts::Parts;
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
}

impl Replica {
    /// A replica with an empty cache, on the store of an earlier process. Background work runs on `runtime`. Fails
    /// if the store, the URL of a primary or the operator JWT cannot be used.
    pub fn new(setup: Setup, gate: Arc<Gate>, metrics: Arc<Metrics>, runtime: Handle) -> Result<Arc<Self>, BeginError> {
        let (setup, name) = (Arc::new(setup), new_name().into());
        let refusals = Arc::new(ThrottleBy::every(Duration::from_secs(1)));
        let env = Env { setup, name, gate, metrics, refusals, runtime };
        let flights = Arc::new(Flights::default());
        let upstream = Upstream::new(&env.setup.upstream, &env.name, &env.gate, &env.metrics);
        let upstream = Arc::new(upstream.map_err(BeginError::Primary)?);
        let cache_bytes = env.setup.cache_bytes - Activations::share(env.setup.cache_bytes);
        let held = Arc::new(Held::open(&env, cache_bytes, flights.clone())?);
        let pull = Arc::new(Pull::new(&env, &held, &upstream, flights));
        let hints = Arc::new(Hints::new(&env, &held, &pull, &upstream));
        let activations = Arc::new(Activations::new(&env, &held, &pull, &upstream, &hints));
        let operators = Arc::new(Operators::new(&env, &held, &upstream));
        let parts = Parts { env, upstream, held, pull, hints, activations, operators };
        let resync = Arc::new(Resync::new(parts.clone()));
        let relay = Arc::new(Relay::new(parts.held.store.position().is_some()));
        let reporting = Arc::new(Reporting::new(&parts.env, &parts.held, &parts.upstream));
        let forwarding = Forwarding::new(parts.clone());
        let follow = Arc::new(Follow::new(parts.clone(), resync.clone(), relay.clone(), reporting.clone()));
        parts.operators.begin()?;
        Ok(Arc::new(Self { parts, resync, relay, reporting, forwarding, follow }))
    }

    /// Starts what runs next to the store. Fails if no thread can be started.
    pub fn begin_writing(&self) -> Result<(), StoreError> {
        background::begin(&self.parts)
    }

    /// Follows the feed as long as the process lives, whatever happens to the primary.
    pub async fn follow(self: Arc<Self>) {
        self.follow.clone().follow().await;
    }

    /// Asks about what the feed leaves in doubt, as long as the process lives.
    pub async fn settle_doubts(self: Arc<Self>) {
        // The process before may have ended while texts were missing.
        if self.parts.held.store.stand().is_level {
            self.resync.fetch_texts();
        }
        self.resync.clone().settle_doubts().await;
    }

    /// Returns to a preferred server when that answers again, as long as the process lives.
    pub async fn look_after_upstream(self: Arc<Self>) {
        self.parts.upstream.look_after().await;
    }

    /// Asks the primary for its operator until it shows one, and trusts that one from then on.
    ///
    /// An old configuration without an operator gets this. It is only the word of the primary: such a replica cannot
    /// tell a lying primary from an honest one.
    pub async fn pin_operator(self: Arc<Self>) {
        self.parts.operators.clone().pin().await;
    }

    /// Reports to the upstream server as long as the process lives. `name`: the name for people.
    pub async fn report(self: Arc<Self>, name: String, behind: Arc<Replicas>) {
        self.reporting.clone().report(name, behind).await;
    }

    /// Tells all servers that count this replica that it ends, within a moment.
    pub async fn farewell(&self) {
        self.reporting.farewell().await;
    }

    /// Ends the store after what is queued is written.
    pub async fn close(&self) {
        self.parts.held.store.write_soon(UpstreamWrite::Heard(self.parts.held.freshness.heard_at()));
        self.parts.held.store.close().await;
    }

    /// What the store answers.
    pub fn journal(&self) -> &JournalReader {
        self.parts.held.store.journal()
    }

    /// The URL of the upstream server, without credentials.
    pub fn primary(&self) -> &str {
        self.parts.upstream.shown()
    }

    /// The name of this process on the wire.
    pub fn name(&self) -> &str {
        &self.parts.env.name
    }

    /// The TLS files for upstream, to be watched.
    pub fn tls_files(&self) -> &Arc<TlsFiles> {
        self.parts.upstream.tls_files()
    }

    /// Uses another token and other TLS files from the next request on. An unusable file is logged and changes nothing.
    /// Blocks.
    pub fn set_access(&self, access: &Access) {
        self.parts.upstream.set_access(access);
    }

    /// Sets the configured JWT of the system account. The first one stays. Fails if the gate rejects it.
    pub fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        self.parts.held.set_system_jwt(token)
    }
}
