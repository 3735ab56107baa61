//! Requests to the primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{StatusCode, header};
use tokio::sync::Semaphore;

use super::Setup;
use super::clients::{self, Clients};
use crate::clock;
use crate::feed::wire::{self, POSITION_HEADER};
use crate::gate::Position;

/// Requests under way at the same time.
const CONCURRENCY: usize = 64;
/// The longest pause after failures, in milliseconds.
const MAX_REST: i64 = 5_000;
/// The largest answer that is read, in bytes: a token and some white space.
const MAX_BODY: usize = (1 << 20) + 4096;

/// The primary, as a client sees it.
#[derive(Debug)]
pub(super) struct Upstream {
    clients: Arc<Clients>,
    base: String,
    shown: String,
    public: String,
    places: Semaphore,
    timeout: Duration,
    reached: AtomicBool,
    failures: AtomicU32,
    rests_until: AtomicI64,
}

/// What the primary answered about one account or activation.
#[derive(Debug)]
pub(super) enum Fetched {
    /// A JWT, and where it stands in the primary's order, if the primary says so.
    Token(Bytes, Option<Position>),
    /// The version that was named is the current one.
    NotModified,
    /// The primary does not know it.
    Absent,
}

/// Why the primary gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// No answer in time, or none at all.
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
}

impl Upstream {
    pub(super) fn new(setup: &Setup, clients: Arc<Clients>) -> Result<Self, String> {
        let url = reqwest::Url::parse(&setup.primary)
            .map_err(|error| format!("the primary's URL cannot be used: {error}"))?;
        Ok(Self {
            clients,
            base: setup.primary.clone(),
            shown: with_user(url.clone(), "xxxxx"),
            public: with_user(url, ""),
            places: Semaphore::new(CONCURRENCY),
            timeout: setup.timeout,
            reached: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            rests_until: AtomicI64::new(0),
        })
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn public(&self) -> &str {
        &self.public
    }

    /// Whether the primary failed so recently that it is not worth waiting for while a copy is at hand.
    pub(super) fn is_resting(&self) -> bool {
        clock::uptime_millis() < self.rests_until.load(Ordering::Acquire)
    }

    /// Whether the primary has ever answered as one does, be it that it has no feed.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// Asks for one JWT by its path behind `/jwt/v1/`. `etag`: the entity tag of the copy at hand, if it came from a server of our kind.
    pub(super) async fn fetch(&self, path: &str, etag: Option<&Bytes>) -> Result<Fetched, UpstreamError> {
        // The wait for a place counts: when nothing comes back, places are rare. But it says nothing of the primary.
        let began = tokio::time::Instant::now();
        let Ok(Ok(_place)) = tokio::time::timeout(self.timeout, self.places.acquire()).await else {
            return Err(UpstreamError::Busy);
        };
        let result = tokio::time::timeout_at(began + self.timeout, self.fetch_once(path, etag))
            .await
            .unwrap_or_else(|_| Err(UpstreamError::Transport("no answer in time".into())));
        match &result {
            Ok(_) => {
                self.reached.store(true, Ordering::Release);
                self.failures.store(0, Ordering::Release);
                self.rests_until.store(0, Ordering::Release);
            }
            Err(_) => self.rest(),
        }
        result
    }

    async fn fetch_once(&self, path: &str, etag: Option<&Bytes>) -> Result<Fetched, UpstreamError> {
        let mut request = self
            .clients
            .short()
            .get(format!("{}/jwt/v1/{path}", self.base))
            .header(POSITION_HEADER, "ask")
            .header(header::CACHE_CONTROL, "no-cache");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, &etag[..]);
        }
        let mut response = request.send().await.map_err(|error| self.transport(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::NotModified),
            StatusCode::NOT_FOUND => return Ok(Fetched::Absent),
            status => return Err(UpstreamError::Status(status)),
        }
        let position =
            response.headers().get(POSITION_HEADER).and_then(|value| wire::parse_position(value.to_str().ok()?));
        Ok(Fetched::Token(self.body(&mut response).await?, position))
    }

    /// Asks for the operator's JWT. `Ok(None)`: the primary has none either.
    pub(super) async fn operator(&self) -> Result<Option<String>, UpstreamError> {
        let mut response = self
            .clients
            .short()
            .get(format!("{}/jwt/v1/operator", self.base))
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        match response.status() {
            StatusCode::OK => Ok(Some(String::from_utf8_lossy(&self.body(&mut response).await?).into_owned())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// Opens the change feed, from a position or from wherever the primary stands.
    pub(super) async fn changes(&self, after: Option<&crate::feed::Head>) -> Result<reqwest::Response, UpstreamError> {
        let mut url = format!("{}/jwt/v1/changes", self.base);
        if let Some(after) = after {
            url.push_str(&format!("?session={}&after={}&chain={}", after.session, after.serial, after.chain));
        }
        let request = self.clients.streams().get(url).header(header::ACCEPT, "text/event-stream").send();
        let response = tokio::time::timeout(Duration::from_secs(5), request)
            .await
            .map_err(|_| UpstreamError::Transport("no answer within 5 seconds".into()))?
            .map_err(|error| self.transport(&error))?;
        if !response.status().is_server_error() {
            self.reached.store(true, Ordering::Release);
        }
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// Begins a request that changes something, by its path and query behind `/jwt/v1/`. It has no time-out.
    pub(super) fn change(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.clients.streams().request(method, format!("{}/jwt/v1/{path}", self.base))
    }

    fn rest(&self) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel).min(6);
        let pause = (100i64 << failures).min(MAX_REST);
        let jitter = rand::random_range(0..=pause / 4);
        self.rests_until.store(clock::uptime_millis() + pause + jitter, Ordering::Release);
    }

    /// Reads a body that is no larger than a token can be.
    pub(super) async fn body(&self, response: &mut reqwest::Response) -> Result<Bytes, UpstreamError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(UpstreamError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// A transport error with its causes, and without the URL, which may carry credentials.
    pub(super) fn transport(&self, error: &reqwest::Error) -> UpstreamError {
        if error.is_timeout() {
            return UpstreamError::Transport("no answer in time".into());
        }
        if let Some(text) = clients::certificate_problem(error) {
            return UpstreamError::Transport(text);
        }
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(error) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            cause = error.source();
        }
        if text.is_empty() {
            "the request failed".clone_into(&mut text);
        }
        let is_new = !error.is_connect() && !self.was_reached();
        if is_new && self.base.starts_with("https:") {
            text = format!("{text}; {}", self.clients.advice());
        }
        UpstreamError::Transport(text)
    }
}

/// The URL with another user in the place of the one that it names, if it names one, and without a password.
fn with_user(mut url: reqwest::Url, user: &str) -> String {
    if !url.username().is_empty() || url.password().is_some() {
        // Cannot fail for a URL that had a user name.
        let _ = url.set_username(user);
        let _ = url.set_password(None);
    }
    url.as_str().trim_end_matches('/').to_owned()
}
