//! How a replica is set up, and what all its parts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::{ReplicaMode, ReplicaWrites, Settings, Store};
use crate::folder::STATE_FOLDER;
use crate::gate::Gate;
use crate::key::PublicKey;
use crate::metrics::Metrics;
use crate::rarely::Rarely;
use crate::store::StoreError;
use crate::upstream;

/// How a replica is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The servers that it asks.
    pub upstream: upstream::Setup,
    /// Whether the replica stores all JWTs, or caches those that were asked for.
    pub mode: ReplicaMode,
    /// Bound of the cache, in bytes.
    pub cache_bytes: u64,
    /// How long an entry is served without asking again, where there is no feed.
    pub ttl: Duration,
    /// How long an unknown account is remembered as unknown.
    pub negative_ttl: Duration,
    /// What becomes of changes that clients send here.
    pub writes: ReplicaWrites,
    /// Where it keeps what it has seen.
    pub place: SnapshotPlace,
    /// The identity of another operator whose JWT may take the place of the one in the snapshot.
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
            ttl: replica.ttl,
            negative_ttl: replica.negative_ttl,
            writes: replica.writes,
            place: SnapshotPlace::of(&settings.store),
            change_operator: settings.change_operator(),
        }
    }
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

/// Where a replica keeps things.
#[derive(Debug, Clone, Default)]
pub struct SnapshotPlace {
    /// The state folder; `None`: what is seen is remembered in a temporary file.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing snapshot is an error.
    pub require_existing: bool,
    /// A folder of tokens from before, which are taken in if there is no snapshot yet.
    pub tokens: Option<PathBuf>,
}

impl SnapshotPlace {
    /// A folder that is only read has no room for a snapshot.
    fn of(store: &Store) -> Self {
        let own = store.dir.as_ref().filter(|_| !store.readonly).map(|dir| dir.join(STATE_FOLDER));
        Self {
            state_dir: store.state_dir.clone().or(own),
            require_existing: store.require_existing,
            tokens: store.dir.clone(),
        }
    }
}

/// What every part of a replica may use, and none of them owns.
#[derive(Debug, Clone)]
pub(super) struct Env {
    pub(super) setup: Arc<Setup>,
    /// By what this process knows itself, in `Via` and in the feed.
    pub(super) name: Arc<str>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<Metrics>,
    /// Lines about what upstream offers and the gate rejects: it can offer any number of such things.
    pub(super) refusals: Arc<Rarely>,
    /// Background work runs on it.
    pub(super) runtime: Handle,
}

impl Env {
    /// Whether everything is to be kept.
    pub(super) fn is_mirror(&self) -> bool {
        self.setup.mode == ReplicaMode::Mirror
    }
}
