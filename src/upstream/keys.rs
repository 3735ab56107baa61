//! Requests for the list of keys that exist on a server.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::time::timeout;

use super::{UpstreamError, UpstreamServer};
use crate::feed::Fingerprint;
use crate::feed::wire::{self, POSITION_HEADER};
use crate::gate::Position;

/// The time limit for the whole list. No client waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

impl UpstreamServer {
    /// The fingerprints of the keys that exist on the server, and the position of the list.
    pub(crate) async fn keys(&self) -> Result<(Position, Vec<Fingerprint>), UpstreamError> {
        timeout(PATIENCE, self.list()).await.unwrap_or_else(|_| Err(UpstreamError::no_answer()))
    }

    async fn list(&self) -> Result<(Position, Vec<Fingerprint>), UpstreamError> {
        let mut response = self.send(self.slow_request(Method::GET, "keys")).await?;
        if response.status() != StatusCode::OK {
            return Err(UpstreamError::Status(response.status()));
        }
        let position = response.headers().get(POSITION_HEADER).and_then(|value| value.to_str().ok());
        let position = position.and_then(wire::parse_position);
        let body = self.body_up_to(&mut response, Fingerprint::MOST * Fingerprint::BYTES).await?;
        let (keys, rest) = body.as_chunks::<{ Fingerprint::BYTES }>();
        match position {
            Some(position) if rest.is_empty() => {
                Ok((position, keys.iter().map(|key| Fingerprint::read(*key)).collect()))
            }
            _ => Err(UpstreamError::Transport("cannot read its list of keys".to_owned())),
        }
    }
}
