//! The pack of a server, as it arrives.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use tokio::time::timeout;

use super::body;
use super::{UpstreamError, UpstreamServer};

/// The time limit for the next piece. Old servers read every file before they send the first byte.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// The body of the pack of one server.
#[derive(Debug)]
pub(crate) struct PackBody(reqwest::Response);

impl PackBody {
    /// The next piece. `None`: the pack has ended.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match timeout(SILENCE, body::piece(&mut self.0)).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(_)) => Err(UpstreamError::Transport("its pack broke off".to_owned())),
            Err(_) => Err(UpstreamError::no_answer()),
        }
    }
}

impl UpstreamServer {
    /// Starts to read the pack. Without a limit, because v1.0.3 would stop at 10 000 accounts.
    pub(crate) async fn pack(&self) -> Result<PackBody, UpstreamError> {
        let answer = timeout(SILENCE, self.send(self.slow_request(Method::GET, "pack?max=-1"))).await;
        let response = answer.unwrap_or_else(|_| Err(UpstreamError::no_answer()))?;
        match response.status() {
            StatusCode::OK => Ok(PackBody(response)),
            status => Err(UpstreamError::Status(status)),
        }
    }
}
