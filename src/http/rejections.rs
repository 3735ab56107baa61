//! Lines about what is rejected. Anybody can cause them, so each reason has a line once in a while, which tells how many it
//! stands for.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::rarely::RarelyBy;

/// The time between two lines for the same reason.
const EVERY: Duration = Duration::from_secs(10);

/// The lines of one server.
#[derive(Debug)]
pub(super) struct Rejections {
    connections: RarelyBy<&'static str>,
}

impl Default for Rejections {
    fn default() -> Self {
        Self { connections: RarelyBy::every(EVERY) }
    }
}

impl Rejections {
    /// A connection that came to nothing.
    pub(super) fn connection(&self, client: IpAddr, reason: &'static str, problem: &dyn Display) {
        if let Some(held_back) = self.connections.turn(reason, Instant::now()) {
            tracing::warn!(client = %client, reason, "rejected a connection from {client}: {problem}{held_back}");
        }
    }
}
