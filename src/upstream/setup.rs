//! How to reach other account servers, from the settings.

use std::time::Duration;

use crate::config::{Replica, Secret, Settings, Tls};

/// The servers that a replica asks, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The primary and the servers that can stand in for it, each as `http://host:port`, without a slash at the end, preferred
    /// ones first.
    pub primaries: Vec<String>,
    /// The time limit of one request.
    pub timeout: Duration,
    /// How both sides come to trust each other.
    pub access: Access,
}

impl Setup {
    /// The setup that the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        let replica = &settings.replica;
        Self { primaries: settings.primary.clone(), timeout: replica.timeout, access: Access::of(replica) }
    }
}

/// How this process and an account server come to trust each other.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The bearer token that requests show.
    pub token: Option<Secret>,
    /// Authorities besides the system's, the client certificate and its key.
    pub tls: Tls,
}

impl Access {
    /// Whether it identifies this process to the server.
    pub const fn shows_something(&self) -> bool {
        self.token.is_some() || self.tls.cert.is_some()
    }

    /// The access of a command, which asks servers that somebody names: with `token`, else as a replica asks its primary.
    pub fn of_command(settings: &Settings) -> Self {
        let of_replica = Self::of(&settings.replica);
        Self { token: settings.token.clone().or(of_replica.token), tls: of_replica.tls }
    }

    /// The access that the settings `replica.token` and `replica.tls` give.
    pub fn of(settings: &Replica) -> Self {
        Self { token: settings.token.clone(), tls: settings.tls.clone() }
    }
}
