//! Why a start fails.

use std::path::PathBuf;

use crate::gate::OperatorRefusal;
use crate::key::AccountKey;
use crate::nats;
use crate::store::StoreError;
use crate::tls::TlsError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that the settings name cannot be read.
    #[error("cannot read {what} {path}: {source}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system account's JWT, which the settings give, may not be stored.
    #[error("the system account JWT cannot be used: {0}")]
    SystemAccountJwt(String),
    /// What the settings give as a JWT is none, or another one.
    #[error("{problem}: {place}: {why}")]
    NotUsable {
        /// Which JWT it is not.
        problem: &'static str,
        /// The file, or the setting whose value it is.
        place: String,
        /// What it is, and what is needed.
        why: String,
    },
    /// The operator JWT may not be used now.
    #[error("cannot use the operator JWT: {0}")]
    OperatorRefused(#[from] OperatorRefusal),
    /// The configured system account is not the operator's.
    #[error("the Operator System Account {operator} differs from configured System Account {configured}")]
    SystemAccount {
        /// What the operator JWT names.
        operator: AccountKey,
        /// What is configured.
        configured: AccountKey,
    },
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A TLS file cannot be used.
    #[error("cannot use {0}")]
    Tls(#[from] TlsError),
    /// NATS cannot be set up at all.
    #[error("{0}")]
    Nats(#[from] nats::ConnectError),
    /// Something that a well-formed configuration does not cause.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// The reason as the clients of a running server may read it: without paths.
    pub(crate) fn for_clients(&self) -> String {
        match self {
            Self::Read { what, source, .. } => format!("cannot read {what}: {source}"),
            Self::NotUsable { problem, why, .. } => format!("{problem}: {why}"),
            Self::Store(error) => error.for_clients(),
            Self::Tls(_) | Self::Nats(_) | Self::Listen { .. } => "it cannot be used; the log says why".to_owned(),
            error => error.to_string(),
        }
    }
}
