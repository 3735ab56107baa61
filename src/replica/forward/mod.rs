//! Forwards changes of clients to the primary if `replica.writes` is `forward`. It also forwards questions that only a
//! primary can answer.
//!
//! The primary decides, and its answer returns unchanged. Before that, this replica applies the accepted change itself,
//! through the gate. So a client that gets 200 can read its change here.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::sync::Semaphore;

use super::held::Heard;
use super::parts::Parts;
use crate::access::Stated;
use crate::clock;
use crate::gate::{SentFor, Via};
use crate::jwt::given;
use crate::key::AccountKey;
use crate::node::{ForwardError, ForwardTarget, Question, Relayed, Write};
use crate::store::journal::upstream::EarlyWay;
use crate::upstream::{MAX_ANSWER, UpstreamServer};

/// The largest number of changes under way.
const PLACES: usize = 64;
/// The largest number of questions under way. Their answers are large.
const QUESTIONS: usize = 4;
/// The largest answer to a change that is returned, in bytes: receipts of many nats-servers.
const MAX_RECEIPTS: usize = 1 << 20;
/// The time limit of the primary, on top of the wait for receipts. It may wait for its disk or a signing service.
const MARGIN: Duration = Duration::from_secs(10);

/// The headers of the client that are sent on.
const PASSED_ON: [header::HeaderName; 6] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::HeaderName::from_static(Stated::HEADER),
    header::CONTENT_TYPE,
    header::HeaderName::from_static("x-request-id"),
    header::HeaderName::from_static("traceparent"),
];

/// The headers of the primary that are returned.
const PASSED_BACK: [header::HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::ALLOW,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::HeaderName::from_static("nas-receipts"),
];

/// What forwarding takes.
#[derive(Debug)]
pub(super) struct Forwarding {
    parts: Parts,
    places: Semaphore,
    questions: Semaphore,
}

impl Forwarding {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, places: Semaphore::new(PLACES), questions: Semaphore::new(QUESTIONS) }
    }

    /// Forwards a change to the primary. Before it returns an answer, it applies an accepted change here.
    pub(super) async fn forward(&self, write: &Write) -> Result<Relayed, ForwardError> {
        let result = self.relay(write).await;
        let outcome = match &result {
            Ok(answer) => match answer.status {
                200..=299 => "taken",
                300..=499 => "refused",
                _ => "failed",
            },
            Err(error) => error.label(),
        };
        self.parts.env.metrics.replica.writes.inc(["forward", outcome]);
        // 202 is a promise of the signing service: nothing has changed yet.
        if result.as_ref().is_ok_and(|answer| answer.status == 200) {
            self.catch_up(write).await;
        }
        result
    }

    /// Forwards a question about digests, and returns the answer of the primary unchanged.
    pub(super) async fn ask(&self, question: Question) -> Result<Relayed, ForwardError> {
        let target = if question.body.is_some() { ForwardTarget::Comparison } else { ForwardTarget::Digests };
        let Question { query, headers, body, lends_credentials } = question;
        let (body, wait) = (body.unwrap_or_default(), Duration::ZERO);
        self.relay(&Write { target, query, headers, lends_credentials, body, wait }).await
    }

    async fn relay(&self, write: &Write) -> Result<Relayed, ForwardError> {
        // The server stays the same, even if another one becomes the current one.
        let server = self.parts.upstream.current();
        let primary = || server.shown().to_owned();
        let via = write.via(&self.parts.env.name).map_err(|hops| ForwardError::Loop { hops, primary: primary() })?;
        let places = if write.target.is_question() { &self.questions } else { &self.places };
        let Ok(_place) = places.try_acquire() else { return Err(ForwardError::Busy(primary())) };
        let limit = write.wait + MARGIN;
        tokio::time::timeout(limit, self.exchange(server, write, via))
            .await
            .unwrap_or_else(|_| Err(ForwardError::TimedOut { primary: primary(), limit }))
    }

    async fn exchange(
        &self,
        server: &UpstreamServer,
        write: &Write,
        via: HeaderValue,
    ) -> Result<Relayed, ForwardError> {
        let lost = |reason: String| ForwardError::Lost { primary: server.shown().to_owned(), reason };
        let (method, path) = write.path();
        let mut headers = HeaderMap::new();
        let lends = write.lends_credentials && server.has_credentials();
        for name in PASSED_ON.into_iter().filter(|name| !lends || *name != header::AUTHORIZATION) {
            for value in write.values(name.as_str()) {
                let mut value = HeaderValue::from_bytes(value).map_err(|error| lost(error.to_string()))?;
                value.set_sensitive(name == header::AUTHORIZATION);
                headers.append(&name, value);
            }
        }
        headers.insert(header::VIA, via);
        let (is_question, most) = if write.target.is_question() { (true, MAX_ANSWER) } else { (false, MAX_RECEIPTS) };
        let request =
            if is_question && !lends { server.for_others(method, &path) } else { server.slow_request(method, &path) };
        // The credentials of the client, if they go along, replace ours.
        let request = request.headers(headers).body(write.body.clone());
        let mut response = request.send().await.map_err(|error| {
            let reason = server.transport(&error).to_string();
            if error.is_connect() {
                ForwardError::Unreachable { primary: server.shown().to_owned(), reason }
            } else {
                lost(reason)
            }
        })?;
        // Only an account server may report that a change was made.
        if !response.status().is_server_error() && !is_about_login(response.status()) {
            server.vouch(&response).await.map_err(|error| lost(error.to_string()))?;
        }
        let (status, headers) = (response.status().as_u16(), passed_back(&response));
        let body = server.body_up_to(&mut response, most).await.map_err(|error| lost(error.to_string()))?;
        Ok(Relayed { status, headers, body })
    }

    /// Applies what the primary accepted.
    async fn catch_up(&self, write: &Write) {
        let now = clock::unix_seconds();
        // The primary accepted it. If it is invalid here, the replica asks the primary.
        let body = given(&write.body).unwrap_or_default();
        let bare = body.as_bytes();
        match write.target {
            ForwardTarget::Push(key) => {
                // The answer under way may be from before the change.
                if let Some(before) = self.parts.pull.under_way(&key) {
                    let _ = tokio::time::timeout(self.parts.env.setup.upstream.timeout, before).await;
                }
                let heard = match self.parts.env.gate.admit(bare, Some(&key), Via::Hint, now) {
                    Ok(entry) => self.parts.held.judge(&Arc::new(entry), EarlyWay::Accepted).await,
                    Err(refusal) => Err(refusal),
                };
                match heard {
                    Ok(Heard::Applied | Heard::Nothing) => self.parts.held.copies.unknown.forget(&key),
                    // Only the primary knows which of two in one second is later, or what its signing service signed.
                    Ok(Heard::Ask) | Err(_) => self.ask_anew(&key).await,
                }
            }
            ForwardTarget::Delete(key) => match self.parts.env.gate.admit_delete(bare, Via::Hint, now) {
                Ok(tombstone) => self.parts.held.delete_early(tombstone).await,
                Err(refusal) => {
                    tracing::warn!(account = %key, "the primary accepted a delete request that this replica rejects: {refusal}");
                }
            },
            // The next request pulls it. If the gate rejects it, it is not served here.
            ForwardTarget::Activation => {
                if let Ok(unproven) = self.parts.env.gate.read_activation(bare, SentFor::ANY, Via::Hint, now) {
                    self.parts.activations.forget(unproven.id());
                }
            }
            ForwardTarget::Operator if body.is_empty() => {}
            ForwardTarget::Operator => _ = self.parts.operators.apply(&[&*body], Via::Upstream),
            ForwardTarget::Digests | ForwardTarget::Comparison => {}
        }
    }

    /// Waits for an answer of the primary to a request that begins now. If there is none in time, the next client that
    /// wants the account causes a request.
    async fn ask_anew(&self, key: &AccountKey) {
        self.parts.held.copies.mark_stale(key);
        self.parts.held.copies.unknown.forget(key);
        let asked = self.parts.pull.flight_after(self.parts.pull.under_way(key), *key);
        if !matches!(tokio::time::timeout(self.parts.env.setup.upstream.timeout * 2, asked).await, Ok(Ok(_))) {
            self.parts.held.copies.mark_stale(key);
        }
    }
}

/// Whether the answer is about credentials. A proxy in front of the primary may give it.
const fn is_about_login(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

fn passed_back(response: &Response) -> Vec<(String, Vec<u8>)> {
    let mut headers = Vec::new();
    for name in PASSED_BACK {
        let values = response.headers().get_all(&name).iter();
        headers.extend(values.map(|value| (name.as_str().to_owned(), value.as_bytes().to_owned())));
    }
    // A redirection is not followed, because it could lead inside our network. A relative address would mean another
    // server to the client, so it gets the whole one.
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    if let Some(url) = location.and_then(|text| response.url().join(text).ok()) {
        headers.push((header::LOCATION.as_str().to_owned(), url.as_str().as_bytes().to_owned()));
    }
    headers
}
