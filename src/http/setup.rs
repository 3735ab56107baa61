//! How the server listens, as the settings say.

use std::sync::Arc;

use super::Setup;
use crate::access::AccessControl;
use crate::config::Http;

impl Setup {
    /// As the settings say, but with as many connections at the same time as there is room for.
    pub fn of(http: &Http, max_connections: usize, access: Arc<AccessControl>) -> Self {
        Self {
            workers: http.workers,
            read_timeout: http.read_timeout,
            write_timeout: http.write_timeout,
            shutdown_grace: http.shutdown_grace,
            max_connections,
            trusted_proxies: http.trusted_proxies.clone(),
            limits: http.limits.clone(),
            cors_origins: http.cors_origins.clone(),
            access,
        }
    }
}
