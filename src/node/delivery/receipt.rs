//! What is told of a change that was announced.

use std::sync::Arc;
use std::time::Duration;

use super::servers::Server;
use crate::gate::Identity;
use crate::key::AccountKey;

/// What a nats-server did with a claims update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took the JWT.
    Updated,
    /// It does not have the account loaded, and asks for it when it needs it.
    Skipped,
    /// It refused.
    Error,
}

impl Outcome {
    /// The name in metrics, logs and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Skipped => "skipped",
            Self::Error => "error",
        }
    }
}

/// A change that is announced.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// Its place in the order of changes.
    pub serial: u64,
    /// The account.
    pub key: AccountKey,
    /// Issue time of the JWT, unix seconds.
    pub iat: i64,
    /// SHA-256 of its signing input.
    pub identity: Identity,
    /// When it was committed, unix milliseconds.
    pub committed_at: i64,
}

/// The answer of one nats-server.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Who answered.
    pub server: Arc<Server>,
    /// What it did.
    pub outcome: Outcome,
    /// The time from the first announcement to the answer.
    pub after: Duration,
    /// Why it refused.
    pub error: Option<Box<str>>,
}

/// What is known of an announced change.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The change.
    pub announcement: Announcement,
    /// When it was first announced, unix milliseconds.
    pub announced_at: i64,
    /// The answers, in the order in which they came; one for each nats-server.
    pub answers: Vec<Receipt>,
    /// The nats-servers that were there when it was announced and have not answered, by name.
    pub silent: Vec<Arc<Server>>,
    /// Whether all nats-servers that were there have answered, and there is one.
    pub complete: bool,
    /// Why it could not be sent.
    pub trouble: Option<String>,
}
