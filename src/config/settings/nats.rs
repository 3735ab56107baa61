//! The settings of the connection to NATS: `nats`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::config::units::millis;

/// The connection to the nats-servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// Addresses, `nats://host:port` or `host:port`. Default: empty, NATS is not used.
    pub servers: Vec<String>,
    /// Credentials file of a system-account user. Default: none.
    pub creds: Option<PathBuf>,
    /// Time for one attempt to connect. Default 5 s.
    #[serde(with = "millis")]
    pub connect_timeout: Duration,
    /// Pause between attempts to connect, before jitter. Default 1 s.
    #[serde(with = "millis")]
    pub reconnect_wait: Duration,
    /// Time to gather the receipts of nats-servers after a change was announced. Default 2 s.
    #[serde(with = "millis")]
    pub receipts_timeout: Duration,
    /// Time between two comparisons of packs with other resolvers. Default 60 s.
    #[serde(with = "millis")]
    pub sync_interval: Duration,
    /// Whether requests of the account-resolver protocol are answered. Default `auto`.
    pub resolver: ResolverMode,
    /// Whether PACK requests are answered. Default `auto`.
    pub pack_responder: PackResponder,
    /// Whether a primary compares what the nats-servers run with what it stores, and repairs what differs. Default true.
    pub reconcile: bool,
    /// Loaded accounts of each nats-server that a sweep compares in a second. Default 20.
    pub reconcile_rate: usize,
    /// Whether to close connections that still use what a change withdrew. Default false.
    pub kick: bool,
    /// Subject of a signing service for self-signed account JWTs, literal. Default: none, such JWTs are rejected.
    pub sign_request_subject: Option<String>,
    /// Longest wait for the answer of the signing service. Default 1 s.
    #[serde(with = "millis")]
    pub sign_request_timeout: Duration,
    /// How long a replica that is silent counts for the receipts of changes. Default 24 h.
    #[serde(with = "millis")]
    pub replica_forget: Duration,
    /// Files for TLS towards the nats-servers.
    pub tls: Tls,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            creds: None,
            connect_timeout: Duration::from_secs(5),
            reconnect_wait: Duration::from_secs(1),
            receipts_timeout: Duration::from_secs(2),
            sync_interval: Duration::from_secs(60),
            resolver: ResolverMode::Auto,
            pack_responder: PackResponder::Auto,
            reconcile: true,
            reconcile_rate: 20,
            kick: false,
            sign_request_subject: None,
            sign_request_timeout: Duration::from_secs(1),
            replica_forget: Duration::from_secs(24 * 3600),
            tls: Tls::default(),
        }
    }
}

/// Whether this server answers UPDATE, LIST and DELETE, the requests to which every full resolver gives an answer.
///
/// A tool that sends one counts the answers, or takes the first for the answer of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolverMode {
    /// As `silent` where nats-servers with a full resolver are there, else as `participant`.
    Auto,
    /// Answers.
    Participant,
    /// Applies changes without an answer. LOOKUP is answered.
    Silent,
    /// Neither listens nor asks.
    Off,
}

/// Whether this server is one of those that answer PACK: one of them gets each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackResponder {
    /// Where no full resolver is there to answer.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
