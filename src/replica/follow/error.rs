//! Why a stream of the feed ended.

use super::SILENCE;
use crate::replica::relay::Loop;
use crate::store::journal::CommitError;
use crate::upstream::UpstreamError;

/// Why a stream of the feed ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    #[error("it cannot be stored: {0}")]
    Store(#[from] CommitError),
    #[error("nothing was heard for {} seconds", SILENCE.as_secs())]
    Silent,
    #[error("the primary ended the feed")]
    Ended,
    #[error("{0}")]
    Format(String),
    #[error("change {0} has a form that this version does not know")]
    Form(u64),
    #[error("{0}")]
    Loop(#[from] Loop),
    #[error("{}", UpstreamError::Moved)]
    Moved,
    #[error("change {0} does not continue the chain: the primary has another history")]
    Chain(u64),
    #[error("the session changed within a stream")]
    Session,
}
