//! How a replica is set up, and what all its parts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::{ReplicaMode, ReplicaWrites, Secret, Tls};
use crate::gate::Gate;
use crate::key::PublicKey;
use crate::metrics::Metrics;
use crate::rarely::Rarely;
use crate::store::StoreError;

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

/// Where a replica keeps things.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The state folder; `None`: what is seen is remembered in a temporary file.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing snapshot is an error.
    pub require_existing: bool,
    /// A folder of tokens from before, which are taken in if there is no snapshot yet.
    pub tokens: Option<PathBuf>,
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
