//! What is known of one change at one nats-server: what it answered to the announcement, and what a comparison found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compared::{Compared, Match};
use super::servers::Server;
use crate::gate::{Entry, Identity};
use crate::key::AccountKey;
use crate::store::journal::Fact;

/// What a nats-server did with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered that it took the JWT.
    Updated,
    /// A comparison found that it runs the JWT.
    Current,
    /// It does not have the account loaded, and asks for it when it needs it.
    NotLoaded,
    /// It runs the JWT, but not all imports.
    Incomplete,
    /// It runs another JWT than the stored one.
    Behind,
    /// The account is deleted, withheld or expired here, and it goes on with what it has loaded.
    CannotUnload,
    /// It rejected the JWT.
    Error,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Updated,
        Self::Current,
        Self::NotLoaded,
        Self::Incomplete,
        Self::Behind,
        Self::CannotUnload,
        Self::Error,
    ];

    /// The name in metrics, logs and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Current => "current",
            Self::NotLoaded => "not_loaded",
            Self::Incomplete => "incomplete",
            Self::Behind => "behind",
            Self::CannotUnload => "cannot_unload",
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
    /// Whether a nats-server that fetched the account before this change can have got an older JWT of it.
    pub has_older: bool,
    /// Length of the JWT, or of the one before it if that is longer; bytes.
    pub bytes: usize,
}

impl Announcement {
    /// Of the change `serial` that brought a JWT.
    pub fn of(entry: &Entry, serial: u64, fact: &Fact) -> Self {
        Self {
            serial,
            key: *entry.key(),
            iat: entry.iat(),
            identity: *entry.identity(),
            has_older: fact.has_older,
            bytes: fact.bytes,
        }
    }
}

/// What a nats-server answered to an announcement.
#[derive(Debug, Clone)]
pub struct Reply {
    /// [`Outcome::Updated`], [`Outcome::NotLoaded`] or [`Outcome::Error`].
    pub outcome: Outcome,
    /// The time from the first announcement to the answer.
    pub after: Duration,
    /// Why it rejected the JWT.
    pub error: Option<Box<str>>,
}

/// What is known of one change at one nats-server: at least one of the two.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The server.
    pub server: Arc<Server>,
    /// Its answer to the announcement.
    pub reply: Option<Reply>,
    /// What the latest comparison found, and the time since the first announcement.
    pub compared: Option<(Arc<Compared>, Duration)>,
}

impl Receipt {
    /// What is known of the change there, in one word. `None`: nothing yet.
    pub fn outcome(&self) -> Option<Outcome> {
        let replied = self.reply.as_ref().map(|reply| reply.outcome);
        let Some((compared, _)) = &self.compared else { return replied };
        Some(match (&compared.found, replied) {
            (Match::Current, Some(Outcome::Updated)) => Outcome::Updated,
            (Match::Current, _) => Outcome::Current,
            // A full resolver stores the JWT of an account that it has not loaded.
            (Match::NotLoaded | Match::Foreign, Some(Outcome::Updated)) => Outcome::Updated,
            (Match::NotLoaded | Match::Foreign, _) => Outcome::NotLoaded,
            (Match::Incomplete { .. }, _) => Outcome::Incomplete,
            (Match::Behind { .. }, Some(Outcome::Error)) | (Match::Rejected { .. }, _) => Outcome::Error,
            (Match::Behind { .. }, _) => Outcome::Behind,
            (Match::CannotUnload { .. }, _) => Outcome::CannotUnload,
        })
    }

    /// Whether a comparison proves that clients of this server can use nothing but this JWT of the account.
    /// `not_loaded_since`: an account that was asked for after this moment and is not loaded cannot be loaded with an
    /// older JWT any more; `None`: that cannot be told yet.
    pub fn is_proven(&self, not_loaded_since: Option<Instant>) -> bool {
        self.compared.as_ref().is_some_and(|(compared, _)| match compared.found {
            Match::Current => compared.is_in_force(),
            Match::NotLoaded | Match::Foreign => not_loaded_since.is_some_and(|since| compared.asked >= since),
            _ => false,
        })
    }

    /// The time from the first announcement to the moment when the outcome was known.
    pub fn after(&self) -> Duration {
        let compared = self.compared.as_ref().map(|(_, after)| *after);
        let replied = self.reply.as_ref().map(|reply| reply.after);
        match self.outcome() {
            Some(Outcome::Updated | Outcome::Error) => replied.or(compared),
            _ => compared.or(replied),
        }
        .unwrap_or_default()
    }
}

/// What is known of an announced change.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The change.
    pub announcement: Announcement,
    /// When it was first announced, unix milliseconds; `None`: not by this process.
    pub announced_at: Option<i64>,
    /// What is known at each nats-server, in the order in which it became known.
    pub receipts: Vec<Receipt>,
    /// The nats-servers that are there and of which nothing is known, by name.
    pub silent: Vec<Arc<Server>>,
    /// Whether every nats-server that is there is proven to run it, and there is one.
    pub is_proven: bool,
    /// Why it could not be sent.
    pub trouble: Option<String>,
}
