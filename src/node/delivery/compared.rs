//! What a comparison of one account with one nats-server found.

use std::time::Instant;

use bytes::Bytes;

use crate::gate::Identity;

/// A version of an account's JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// Issue time, unix seconds.
    pub iat: i64,
    /// SHA-256 of the signing input.
    pub identity: Identity,
}

/// What a nats-server says that it has loaded of an account.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The JWT that it applied last.
    pub token: Bytes,
    /// Whether it takes the account for expired, so that no client can use it.
    pub is_expired: bool,
    /// Imports that are declared and not in effect there, for people.
    pub missing_imports: Vec<String>,
    /// Connections of clients and leafnodes there.
    pub connections: u64,
    /// When it applied the JWT, by its own clock, RFC 3339.
    pub applied_at: String,
    /// Whether an import is missing because its exporter was not loaded: the same JWT once more makes the nats-server
    /// look for it again.
    pub is_unresolved: bool,
}

/// Why an account that a nats-server has loaded is not served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was deleted.
    Deleted,
    /// Its file left a read-only folder.
    Removed,
    /// The key that signed it was withdrawn.
    Withheld,
    /// It has expired.
    Expired,
}

impl Gone {
    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Removed => "removed",
            Self::Withheld => "withheld",
            Self::Expired => "expired",
        }
    }
}

/// What a nats-server runs, measured by what is stored here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The account is not loaded.
    NotLoaded,
    /// What is stored here.
    Current,
    /// What is stored here, but not all imports are in effect.
    Incomplete {
        /// Those that are not, for people.
        missing: Vec<String>,
        /// Whether the same JWT once more can help.
        is_unresolved: bool,
    },
    /// Something older than what is stored here, or something that its place took.
    Behind {
        /// What it runs.
        runs: Option<Runs>,
    },
    /// Something that is not served here any more. There is no message by which it would drop it.
    CannotUnload {
        /// What it runs.
        runs: Option<Runs>,
        /// Why it is not served here.
        gone: Gone,
        /// Whether the JWT that it runs lets no client connect.
        lets_nobody_in: bool,
    },
    /// Something newer, which is rejected here.
    Rejected {
        /// What it runs.
        runs: Option<Runs>,
        /// Why it is rejected.
        error: String,
    },
    /// An account that this server does not know.
    Foreign,
}

impl Match {
    /// In a word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotLoaded => "not_loaded",
            Self::Current => "current",
            Self::Incomplete { .. } => "incomplete",
            Self::Behind { .. } => "behind",
            Self::CannotUnload { .. } => "cannot_unload",
            Self::Rejected { .. } => "rejected",
            Self::Foreign => "foreign",
        }
    }
}

/// The result of comparing one account with one nats-server.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The place of the change that it was compared with; 0 if the account is unknown here.
    pub serial: u64,
    /// What was found.
    pub found: Match,
    /// When the nats-server was asked.
    pub asked: Instant,
    /// The same as a time of day, unix milliseconds.
    pub at: i64,
    /// Connections that go on with what the change took from them. `None`: the change takes nothing away.
    pub connections_left: Option<u64>,
    /// Claims of the change that connected clients do not feel on this release, while such clients are left.
    pub lagging: Vec<&'static str>,
}

impl Compared {
    /// Whether the change is in force for connected clients, too.
    pub fn is_in_force(&self) -> bool {
        self.connections_left.unwrap_or(0) == 0 && self.lagging.is_empty()
    }
}
