//! What the settings say about NATS, for each part of this room.

use std::path::PathBuf;
use std::time::Duration;

use super::Reconcile;
use crate::config::Nats;
use crate::tls::TlsError;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Servers to try, as URLs. A user and password, or a token, in one of them is used for all.
    pub servers: Vec<String>,
    /// A `.creds` file of a user of the system account.
    pub creds: Option<PathBuf>,
    /// How long one attempt may take.
    pub connect_timeout: Duration,
    /// The pause between attempts; the first one is shorter, and each is varied a little.
    pub reconnect_wait: Duration,
    /// A file of CA certificates to trust, PEM.
    pub tls_root: Option<PathBuf>,
    /// Client certificate and its key, PEM files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long the answers to an announcement are waited for.
    pub receipts_timeout: Duration,
}

impl Setup {
    /// As the settings say. `None`: there are no servers in them.
    pub fn of(nats: &Nats) -> Option<Self> {
        (!nats.servers.is_empty()).then(|| Self {
            servers: nats.servers.clone(),
            creds: nats.creds.clone(),
            connect_timeout: nats.connect_timeout,
            reconnect_wait: nats.reconnect_wait,
            tls_root: nats.tls.root.clone(),
            tls_client: nats.tls.cert.clone().zip(nats.tls.key.clone()),
            receipts_timeout: nats.receipts_timeout,
        })
    }
}

impl Reconcile {
    /// As the settings say. `None`: nats-servers are not compared.
    pub(super) fn of(nats: &Nats) -> Option<Self> {
        nats.reconcile.then_some(Self { rate: nats.reconcile_rate, kick: nats.kick })
    }
}

/// Why no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A server's address cannot be used. Credentials in it are not repeated.
    #[error("a NATS server URL cannot be used: {0}")]
    Address(String),
    /// The credentials cannot be used. Only a command ends with that; a server tries again.
    #[error("cannot use the NATS credentials {path}: {reason}")]
    Creds {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A TLS file cannot be used.
    #[error("cannot use the TLS files for NATS: {0}")]
    Tls(#[from] TlsError),
    /// The client library refused the options.
    #[error("cannot set up the NATS connection: {0}")]
    Options(String),
}
