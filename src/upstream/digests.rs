//! Requests for the digests of a server, and for what differs there.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::{UpstreamError, UpstreamServer};
use crate::feed::digest::Prefix;
use crate::feed::wire::{DigestAnswer, DigestAsk, DigestPage};

/// The largest answer that is read, in bytes: about 1 MiB of text, the largest chain of operator JWTs, and the JSON
/// around them.
pub(crate) const MAX_ANSWER: usize = 4 << 20;
/// The time limit of an answer. No client waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

impl UpstreamServer {
    /// A place of the digest tree.
    pub(crate) async fn digests(&self, prefix: Option<Prefix>) -> Result<DigestPage, UpstreamError> {
        let query = prefix
            .map_or_else(String::new, |prefix| format!("?prefix={}", data_encoding::HEXLOWER.encode(&prefix.bytes())));
        self.read(self.slow_request(Method::GET, &format!("digests{query}"))).await
    }

    /// What differs there from what is here.
    pub(crate) async fn compare(&self, ask: &DigestAsk) -> Result<DigestAnswer, UpstreamError> {
        self.read(self.slow_request(Method::POST, "digests").json(ask)).await
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, UpstreamError> {
        let answer = async {
            let mut response = self.send(request).await?;
            match response.status() {
                StatusCode::OK => self.body_up_to(&mut response, MAX_ANSWER).await,
                status => Err(UpstreamError::Status(status)),
            }
        };
        let body = tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(UpstreamError::no_answer()))?;
        serde_json::from_slice(&body)
            .map_err(|error| UpstreamError::Transport(format!("cannot read its answer: {error}")))
    }
}
