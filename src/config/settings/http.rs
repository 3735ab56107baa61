//! The settings of the HTTP edge: `http` and its sections.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Tls;
use crate::config::listen::ListenAddress;
use crate::config::units::millis;

/// The HTTP edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Name or address to listen on. Default `localhost`; `0.0.0.0` is every IPv4 interface.
    pub host: String,
    /// TCP port; 0 lets the system choose. Default 9090.
    pub port: u16,
    /// Addresses to listen on, instead of `host` and `port`. Default: none, those two.
    pub listen: Vec<ListenAddress>,
    /// Time for a client to send its request; zero is no limit. Default 5 s.
    #[serde(with = "millis")]
    pub read_timeout: Duration,
    /// Time in which a client may read nothing of its answer before the connection is closed; zero is no limit. Default
    /// 5 s.
    #[serde(with = "millis")]
    pub write_timeout: Duration,
    /// Worker threads. Default: one per core.
    pub workers: usize,
    /// Time after SIGTERM in which requests are still accepted, so that clients can switch to another server. Default:
    /// none.
    #[serde(with = "millis")]
    pub drain_delay: Duration,
    /// Time that requests under way get to end after that. Default 10 s.
    #[serde(with = "millis")]
    pub shutdown_grace: Duration,
    /// Connections open at once, over all workers. Default 25 000.
    pub max_connections: usize,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` headers tell the client's address. Default: none, the address that
    /// connects is the client's.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of web pages whose scripts may read and push, as in `https://console.example.com`; `*` is all of them.
    /// Default: none, no CORS header is sent.
    pub cors_origins: Vec<String>,
    /// Limits for one client.
    pub limits: HttpLimits,
    /// Serving HTTPS.
    pub tls: HttpTls,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 9090,
            listen: Vec::new(),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            drain_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(10),
            max_connections: 25_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            limits: HttpLimits::default(),
            tls: HttpTls::default(),
        }
    }
}

impl Http {
    /// The addresses to listen on, the first one as this server names itself.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        if self.listen.is_empty() { vec![ListenAddress::tcp(&self.host, self.port)] } else { self.listen.clone() }
    }
}

/// Requests of one client per second; 20 times as many at once. Zero is no limit.
///
/// Reads of what is stored or cached are never limited, nor are changes that are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Changes that are rejected, or change nothing. Default 1000.
    pub pushes: u32,
    /// Keys that a replica's primary is asked for although nothing is known of them. Default 1000.
    pub unknown_keys: u32,
    /// Packs and lists of keys. Default 20.
    pub listings: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { pushes: 1000, unknown_keys: 1000, listings: 20 }
    }
}

/// HTTPS settings. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpTls {
    /// Certificate chain of this server, its own certificate first. Default: none, plain HTTP.
    pub cert: Option<PathBuf>,
    /// Private key of `cert`. Default: none.
    pub key: Option<PathBuf>,
    /// Certificate authorities of clients. Default: none.
    pub root: Option<PathBuf>,
    /// Whether clients are asked for a certificate. Default: `optional` if there is a `root`, else `off`.
    pub client_auth: Option<ClientAuth>,
}

impl HttpTls {
    /// Whether HTTPS is served, not plain HTTP.
    pub const fn is_on(&self) -> bool {
        self.cert.is_some()
    }

    /// Whether clients are asked for a certificate, as configured or by default.
    ///
    /// The Go servers ignored `root`, so it must not exclude clients without a certificate.
    pub fn client_auth(&self) -> ClientAuth {
        let default = if self.root.is_some() { ClientAuth::Optional } else { ClientAuth::Off };
        self.client_auth.unwrap_or(default)
    }

    /// The files alone.
    pub fn files(&self) -> Tls {
        Tls { cert: self.cert.clone(), key: self.key.clone(), root: self.root.clone() }
    }
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not.
    Off,
    /// They are asked. A client without a certificate is served, one with a wrong certificate is rejected.
    Optional,
    /// Only clients with a certificate of the configured authorities are served.
    Required,
}
