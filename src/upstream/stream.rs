//! The feed of a server, as it arrives. It ends when another server becomes the current one.

use bytes::Bytes;
use tokio::sync::watch;

use super::UpstreamError;
use super::body;

/// The body of the change feed of one server.
#[derive(Debug)]
pub(crate) struct FeedBody {
    response: reqwest::Response,
    place: usize,
    current: watch::Receiver<usize>,
}

impl FeedBody {
    pub(super) const fn new(response: reqwest::Response, place: usize, current: watch::Receiver<usize>) -> Self {
        Self { response, place, current }
    }

    /// The next piece. `None`: the server ended the feed.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let place = self.place;
        tokio::select! {
            biased;
            // The sender lives as long as the replica.
            Ok(_) = self.current.wait_for(|current| *current != place) => Err(UpstreamError::Moved),
            piece = body::piece(&mut self.response) => piece.map_err(|_| UpstreamError::Transport("the feed broke off".to_owned())),
        }
    }
}
