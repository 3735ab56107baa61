//! The settings of the listener for operators: `admin`.

use serde::{Deserialize, Serialize};

use super::HttpTls;
use crate::config::listen::ListenAddress;

/// A listener of its own for metrics, verbose health and the API, which are not on the main one then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// The address, or a Unix socket. Default: none, the main listener has everything.
    pub listen: Option<ListenAddress>,
    /// Serving HTTPS there. Default: none, plain HTTP.
    pub tls: HttpTls,
}
