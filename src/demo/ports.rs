//! Ports on the loopback interface.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::error::DemoError;

/// Where free ports are looked for. Linux gives the ones above to whoever asks for any, such as every client, and one of those could
/// be taken before its server listens.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How many of them are tried.
const TRIES: usize = 100;

/// The ports of one demo.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Of the primary.
    pub primary: u16,
    /// Of the replica.
    pub replica: u16,
    /// Of the nats-server.
    pub nats: u16,
    /// Of the nats-server's monitoring.
    pub monitor: u16,
}

impl Ports {
    /// The same, with free ones in the place of 0.
    pub(super) fn choose(self) -> Result<Self, DemoError> {
        // All are held until all are chosen, so that no two are the same.
        let mut held = Vec::new();
        let mut choose = |name: &str, asked: u16| {
            let listener = match asked {
                0 => free_port(),
                asked => TcpListener::bind((Ipv4Addr::LOCALHOST, asked)),
            };
            let listener =
                listener.map_err(|error| DemoError::new(format!("cannot use port {asked} for the {name}: {error}")))?;
            let port = listener
                .local_addr()
                .map_err(|error| DemoError::new(format!("cannot choose a port for the {name}: {error}")))?
                .port();
            held.push(listener);
            Ok(port)
        };
        Ok(Self {
            primary: choose("primary", self.primary)?,
            replica: choose("replica", self.replica)?,
            nats: choose("nats-server", self.nats)?,
            monitor: choose("nats-server's monitoring", self.monitor)?,
        })
    }

    /// The primary's base URL.
    pub(super) fn primary_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.primary)
    }

    /// The replica's base URL.
    pub(super) fn replica_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.replica)
    }

    /// The nats-server's URL for clients.
    pub(super) fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats)
    }

    /// The nats-server's base URL for monitoring.
    pub(super) fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }
}

/// Listens on a port of the loopback interface that was free, and that no client gets when this listener is closed. The error is
/// that of the system.
pub fn free_port() -> io::Result<TcpListener> {
    for _ in 0..TRIES {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(RANGE))) {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}
