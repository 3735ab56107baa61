//! The settings of the server: every value is chosen, checked and parsed. Each section has a file of its own.

mod access;
mod admin;
mod audit;
mod http;
mod log;
mod nats;
mod replica;
mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use access::{Access, AccessCertificate, AccessNetwork, AccessToken, AccessUser, Scope};
pub use admin::Admin;
pub use audit::{Audit, AuditFailure};
pub use http::{ClientAuth, Http, HttpLimits, HttpTls};
pub use log::{Log, LogFormat, LogLevel};
pub use nats::{Nats, PackResponder, ResolverMode};
pub use replica::{Replica, ReplicaMode, ReplicaWrites};
pub use store::Store;

use super::secret::Secret;
use super::token_source::{SystemAccount, TokenSource};
use crate::key::{Kind, PublicKey};

/// All settings of one run. [`Settings::default`] is what a server without a configuration does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The operator whose accounts the server stores: its JWT, or a file with it. Default: the operator's file in
    /// `store.nsc`; else none, so nothing can be pushed.
    pub operator: Option<TokenSource>,
    /// The identity key of another operator: at a start, its configured JWT may take the place of the operator that the store
    /// has. Default: none.
    pub change_operator: Option<String>,
    /// The system account: its key, its JWT, or a file with its JWT. Default: none.
    pub system_account: Option<SystemAccount>,
    /// Base URLs of the primary, tried in order, without a trailing slash and without `/jwt/v1`. Not empty: this server
    /// is a replica. Default: empty, a primary.
    pub primary: Vec<String>,
    /// Bearer token that the commands show to the account servers they ask. A server itself never shows it. Default: none.
    pub token: Option<Secret>,
    /// Whether every warning about the settings is an error. Default: no.
    pub strict: bool,
    /// The HTTP edge.
    pub http: Http,
    /// Who may do what.
    pub access: Access,
    /// The listener for operators.
    pub admin: Admin,
    /// Where tokens are kept.
    pub store: Store,
    /// The connection to the nats-servers.
    pub nats: Nats,
    /// How a replica behaves. Without effect on a primary.
    pub replica: Replica,
    /// Log settings.
    pub log: Log,
    /// The audit log.
    pub audit: Audit,
}

impl Settings {
    /// The identity key of another operator, which may replace the operator of the store.
    pub fn change_operator(&self) -> Option<PublicKey> {
        self.change_operator.as_deref().and_then(|key| PublicKey::parse_kind(key, Kind::Operator).ok())
    }

    /// Whether this server follows a primary.
    pub fn is_replica(&self) -> bool {
        !self.primary.is_empty()
    }

    /// What this server stores, if it is a replica.
    pub fn replica_mode(&self) -> Option<ReplicaMode> {
        self.is_replica().then_some(self.replica.mode)
    }
}

/// Files for TLS, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain of this side. Default: none.
    pub cert: Option<PathBuf>,
    /// Private key of `cert`. Default: none.
    pub key: Option<PathBuf>,
    /// Certificate authorities that the other side is checked against. Default: none (the system's, as a client).
    pub root: Option<PathBuf>,
}

impl Tls {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
