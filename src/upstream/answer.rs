//! What a request to a server gives.

use bytes::Bytes;
use reqwest::StatusCode;

use crate::gate::Position;

/// What was answered about one account or activation.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// A JWT, and where it stands in the server's order, if the server says so.
    Token(Bytes, Option<Position>),
    /// The version that was named is the current one.
    NotModified,
    /// The server does not know it.
    Absent,
}

/// An answer, and whose it is.
#[derive(Debug)]
pub(crate) struct UpstreamAnswer {
    /// The content.
    pub(crate) fetched: Fetched,
    /// The server that gave it.
    pub(crate) source: AnswerSource,
}

/// What the server that gave an answer says about its age.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AnswerSource {
    /// Whether the replica follows the feed of that server, and the server confirms the answer. Only then does the feed say how
    /// long the answer stays true.
    pub(crate) is_followed: bool,
    /// Whether the replica follows the feed of that server, even if the server does not confirm the answer.
    pub(crate) is_of_followed: bool,
    /// Whether the server is a primary.
    pub(crate) is_of_primary: bool,
    /// How old the answer was already, in milliseconds.
    pub(crate) age: i64,
}

/// What one server answered.
#[derive(Debug)]
pub(super) struct ServerAnswer {
    pub(super) fetched: Fetched,
    /// How old it was already, in milliseconds: it came from a replica.
    pub(super) age: i64,
    /// Whether the feed of that server says how long it stays true.
    pub(super) is_confirmed: bool,
    /// Whether it is a primary.
    pub(super) is_primary: bool,
}

/// Why a server gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// There is no connection, so that nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// No answer in time, or one that broke off.
    #[error("{0}")]
    Transport(String),
    /// An answer that says nothing about what was asked.
    #[error("it answered with status {0}")]
    Status(StatusCode),
    /// So many requests are under way that this one was not even sent.
    #[error("too many requests to it are under way")]
    Busy,
    /// An answer larger than any token.
    #[error("its answer is larger than any JWT")]
    TooLarge,
    /// It hosts the accounts of somebody else.
    #[error("its operator is {0}, which is not the one that is trusted here")]
    Foreign(String),
    /// It is no account server, or not the way to one.
    #[error("{0}")]
    Useless(String),
    /// It does not accept who we are.
    #[error("it answered with status {0}: {1}")]
    Denied(StatusCode, &'static str),
    /// What it is asked comes back to this process.
    #[error("it leads back to this server itself: set primary to the URL of another account server")]
    Ourselves,
    /// What it is asked comes back to this process after so many others.
    #[error(
        "it leads back to this server by way of replicas ({0} in all), and none of them asks a primary now: the setting primary \
         of one of them has to lead to a server that is no replica"
    )]
    Circle(usize),
    /// Another server is preferred now.
    #[error("another server is followed from now on")]
    Moved,
}

impl UpstreamError {
    /// Whether another server may have a better answer: one that says what it lacks has said it for all.
    pub(super) fn is_failing(&self) -> bool {
        match self {
            Self::Status(status) => {
                !matches!(*status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE)
            }
            _ => true,
        }
    }

    /// Whether an operator has to do something about it, so that it is worth a line in the log by itself.
    pub(crate) const fn is_told(&self) -> bool {
        matches!(self, Self::Useless(_) | Self::Denied(..) | Self::Ourselves | Self::Circle(_))
    }

    /// Whether asking again soon cannot help.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Useless(_) | Self::Denied(..) | Self::Circle(_))
    }

    pub(super) fn no_answer() -> Self {
        Self::Transport("no answer in time".to_owned())
    }
}
