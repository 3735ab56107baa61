//! The setup of a replica, and what all its parts share.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::config::{ReplicaMode, ReplicaWrites, Settings, Store};
use crate::folder::STATE_FOLDER;
use crate::gate::{Gate, Refusal, Via};
use crate::key::PublicKey;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::throttle::ThrottleBy;
use crate::upstream;

/// The setup of a replica.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The servers that it asks.
    pub upstream: upstream::Setup,
    /// Whether the replica stores all JWTs, or caches those that were asked for.
    pub mode: ReplicaMode,
    /// The bound of the cache, in bytes.
    pub cache_bytes: u64,
    /// Whether a cache fills itself before clients ask.
    pub warm: bool,
    /// Versions kept per account besides the current one.
    pub history: usize,
    /// How long a copy is served without a request, if there is no feed.
    pub ttl: Duration,
    /// How long an absent account is cached as absent.
    pub negative_ttl: Duration,
    /// How the replica answers changes of clients.
    pub writes: ReplicaWrites,
    /// Where it stores what it has seen.
    pub place: StorePlace,
    /// The identity of another operator whose JWT may replace the one in the store.
    pub change_operator: Option<PublicKey>,
}

impl Setup {
    /// The setup that the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        let replica = &settings.replica;
        Self {
            upstream: upstream::Setup::of(settings),
            mode: replica.mode,
            cache_bytes: replica.cache_bytes,
            warm: replica.warm,
            history: settings.store.history.saturating_sub(1),
            ttl: replica.ttl,
            negative_ttl: replica.negative_ttl,
            writes: replica.writes,
            place: StorePlace::of(&settings.store),
            change_operator: settings.change_operator(),
        }
    }
}

/// Why a replica cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The URL of a primary or a TLS file cannot be used.
    #[error("{0}")]
    Primary(String),
    /// The configured operator JWT does not fit the store.
    #[error("cannot start with the configured operator JWT: {0}")]
    Operator(crate::gate::OperatorRefusal),
}

/// Where a replica stores its state.
#[derive(Debug, Clone, Default)]
pub struct StorePlace {
    /// The state folder. `None`: a temporary file.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing store is an error.
    pub require_existing: bool,
    /// A folder of JWTs of an earlier kind of server, which are imported if there is no store yet.
    pub tokens: Option<PathBuf>,
}

impl StorePlace {
    /// A folder that is only read has no room for a store.
    fn of(store: &Store) -> Self {
        let own = store.dir.as_ref().filter(|_| !store.readonly).map(|dir| dir.join(STATE_FOLDER));
        Self {
            state_dir: store.state_dir.clone().or(own),
            require_existing: store.require_existing,
            tokens: store.dir.clone(),
        }
    }
}

/// What every part of a replica may use, and none owns.
#[derive(Debug, Clone)]
pub(super) struct Env {
    pub(super) setup: Arc<Setup>,
    /// The name of this process on the wire, for `Via` and the feed.
    pub(super) name: Arc<str>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<Metrics>,
    /// Limits log lines about what the gate rejects, by the reason: upstream can send any number of such things.
    pub(super) refusals: Arc<ThrottleBy<&'static str>>,
    /// Background work runs on it.
    pub(super) runtime: Handle,
}

impl Env {
    /// Whether the replica stores all JWTs.
    pub(super) fn is_mirror(&self) -> bool {
        self.setup.mode == ReplicaMode::Mirror
    }

    /// Whether it is a cache that fills itself.
    pub(super) fn is_warm(&self) -> bool {
        !self.is_mirror() && self.setup.warm
    }

    /// Counts something of upstream that was rejected, and logs it now and then. `what`: what it is, with its server or its key.
    pub(super) fn refused(&self, via: Via, refusal: &Refusal, what: impl Display) {
        self.metrics.refused(via, refusal);
        if refusal.is_conflict() {
            // Something newer is here, or comes next. Or the primary was set back, and that is reported.
            tracing::debug!("{what} changes nothing: {refusal}");
        } else if let Some(held_back) = self.refusals.turn(refusal.reason(), Instant::now()) {
            tracing::warn!("{what} is rejected: {refusal}{held_back}");
        }
    }
}
