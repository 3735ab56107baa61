//! The result of a request to an account server.

use bytes::Bytes;
use reqwest::StatusCode;

use crate::gate::Position;

/// The answer about one account or activation.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// A JWT, and its position in the order of the server, if the server gives one.
    Token(Bytes, Option<Position>),
    /// The version that the request named is the current one.
    NotModified,
    /// The server does not know it.
    Absent,
}

/// An answer, and the server that gave it.
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

/// The answer of one server.
#[derive(Debug)]
pub(super) struct ServerAnswer {
    pub(super) fetched: Fetched,
    /// How old the answer was already, in milliseconds. It is above 0 if the server is a replica.
    pub(super) age: i64,
    /// Whether the feed of that server says how long the answer stays true.
    pub(super) is_confirmed: bool,
    /// Whether the server is a primary.
    pub(super) is_primary: bool,
}

/// Why a server gave no usable answer. Each text continues a line that names the server.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// There is no connection, so nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// No answer came in time, or the answer broke off.
    #[error("{0}")]
    Transport(String),
    /// The status says nothing about what was requested.
    #[error("it answered with status {0}")]
    Status(StatusCode),
    /// Too many requests are under way, so this one was not sent.
    #[error("too many requests to it are under way")]
    Busy,
    /// The answer is larger than any JWT.
    #[error("its answer is larger than any JWT")]
    TooLarge,
    /// The server hosts the accounts of another operator.
    #[error("its operator is {0}, which this server does not trust")]
    Foreign(String),
    /// The server is not an account server, or does not lead to one.
    #[error("{0}")]
    Useless(String),
    /// The server rejects our credentials.
    #[error("it answered with status {0}: {1}")]
    Denied(StatusCode, &'static str),
    /// The request came back to this process.
    #[error("it leads back to this server itself: set primary to the URL of another account server")]
    Ourselves,
    /// The request came back to this process after this many other servers.
    #[error(
        "it leads back to this server by way of replicas ({0} in all), and none of them asks a primary now: the setting primary \
         of one of them must lead to a server that is no replica"
    )]
    Circle(usize),
    /// The replica now follows another server.
    #[error("the replica now follows another server")]
    Moved,
}

impl UpstreamError {
    /// Whether another server may have a better answer. An answer that something does not exist counts for all servers.
    pub(super) fn is_failing(&self) -> bool {
        match self {
            Self::Status(status) => {
                !matches!(*status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE)
            }
            _ => true,
        }
    }

    /// Whether an operator must act. Then the client logs the error itself.
    pub(crate) const fn is_told(&self) -> bool {
        matches!(self, Self::Useless(_) | Self::Denied(..) | Self::Ourselves | Self::Circle(_))
    }

    /// Whether another request soon would fail in the same way.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Useless(_) | Self::Denied(..) | Self::Circle(_))
    }

    pub(super) fn no_answer() -> Self {
        Self::Transport("no answer in time".to_owned())
    }
}
