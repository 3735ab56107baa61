//! The settings of a replica: `replica`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::config::secret::Secret;
use crate::config::units::millis;

/// How a replica behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replica {
    /// The name of this replica. Default: the host's name and the port.
    pub name: Option<String>,
    /// How much of the primary this replica stores. Default `cache`.
    pub mode: ReplicaMode,
    /// Age at which an entry is checked against the primary while its change feed is away. Default 5 s.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// Longest wait of one request for the primary. Default 1 s: nats-server itself waits 1.9 s and does not retry.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// Memory for the read cache, in bytes; the bound of what a cache stores. A mirror stores everything. Default 256 MiB.
    pub cache_bytes: u64,
    /// Whether a cache fetches JWTs in the background before clients ask for them, as long as there is room. Default true.
    pub warm: bool,
    /// How long a key that the primary does not know is remembered as such. Default 2 s.
    #[serde(with = "millis")]
    pub negative_ttl: Duration,
    /// How this replica answers changes of clients. Default `refuse`.
    pub writes: ReplicaWrites,
    /// Bearer token that is shown to the primary. Default: none.
    pub token: Option<Secret>,
    /// Files for TLS towards the primary; `root` counts besides the system's authorities.
    pub tls: Tls,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            name: None,
            mode: ReplicaMode::Cache,
            ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            cache_bytes: 256 * 1024 * 1024,
            warm: true,
            negative_ttl: Duration::from_secs(2),
            writes: ReplicaWrites::Refuse,
            token: None,
            tls: Tls::default(),
        }
    }
}

/// How much of its primary a replica stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaMode {
    /// What there is room for: first what clients asked for, then the rest.
    Cache,
    /// Everything.
    Mirror,
}

/// How a replica answers changes of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaWrites {
    /// 405, which names the primary.
    Refuse,
    /// 307: sends the client to the primary.
    Redirect,
    /// Sends it on to the primary, and passes the answer back.
    Forward,
}
