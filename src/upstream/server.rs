//! One server of the list, and the requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode, header};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::ServerAnswer;
use super::belief::{Belief, is_marked, nothing};
use super::body::{self, BodyError};
use super::clients::Clients;
use super::clock_difference::ClockDifference;
use super::health::{Health, Sent, ServerVerdict};
use super::marks::UpstreamRoute;
use super::places::{Class, RequestEnd, RequestPlaces};
use super::{Fetched, UpstreamError, explain};
use crate::clock;
use crate::feed::Head;
use crate::feed::wire::{self, CONFIRMED_HEADER, OperatorPage, POSITION_HEADER, PRIMARY_AGE_HEADER};
use crate::gate::Trust;
use crate::key::PublicKey;

/// The number of characters of another operator's name that are shown.
const LONGEST_NAME: usize = 64;
/// The largest list of operator JWTs that is read, in bytes: the longest chain, and the JSON around it.
const MAX_CHAIN: usize = 2 * body::TOKEN;

/// A request for one JWT.
#[derive(Debug)]
pub(super) struct JwtRequest<'a> {
    /// Its path after `/jwt/v1/`.
    pub(super) path: &'a str,
    /// The entity tag of the copy, if one of our servers gave it.
    pub(super) etag: Option<&'a Bytes>,
    /// Whether it is known to exist.
    pub(super) class: Class,
    /// Until when the answer is of use, including the wait for a place.
    pub(super) deadline: Instant,
    /// The time limit of the server.
    pub(super) timeout: Duration,
    /// If the request is given up after this long, the server was slow.
    pub(super) patience: Duration,
    /// The operator whose accounts the server must host, if that matters.
    pub(super) operator: Option<&'a PublicKey>,
}

/// A server, as a client sees it.
#[derive(Debug)]
pub(crate) struct UpstreamServer {
    clients: Arc<Clients>,
    base: String,
    /// Whether the URL has a user or a password.
    has_login: bool,
    shown: String,
    /// Its URL for a client that has its own credentials.
    pub(super) public: String,
    pub(super) places: Arc<RequestPlaces>,
    reached: AtomicBool,
    vetting: Mutex<()>,
    pub(super) belief: Belief,
    pub(super) route: UpstreamRoute,
    pub(super) clock: ClockDifference,
    pub(super) health: Health,
}

impl UpstreamServer {
    pub(super) fn new(base: &str, clients: Arc<Clients>) -> Result<Self, String> {
        let url = reqwest::Url::parse(base).map_err(|error| format!("cannot use the URL of the primary: {error}"))?;
        Ok(Self {
            clients,
            base: base.to_owned(),
            has_login: !url.username().is_empty() || url.password().is_some(),
            shown: with_user(url.clone(), "xxxxx"),
            public: with_user(url, ""),
            places: Arc::default(),
            reached: AtomicBool::new(false),
            vetting: Mutex::default(),
            belief: Belief::default(),
            route: UpstreamRoute::default(),
            clock: ClockDifference::default(),
            health: Health::default(),
        })
    }

    /// Its URL, without credentials.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it has ever answered as a primary does, with or without a feed.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// Requests one JWT.
    pub(super) async fn fetch(&self, ask: &JwtRequest<'_>) -> Result<ServerAnswer, UpstreamError> {
        // A wait for a place says nothing about the server.
        let place = self.places.take(ask.class, ask.deadline).await.map_err(|_| UpstreamError::Busy)?;
        let deadline = ask.deadline.min(Instant::now() + ask.timeout);
        let sent = Sent::now(&self.health, ask.patience);
        let result = tokio::time::timeout_at(deadline, async {
            if !self.health.is_well() {
                self.vet(ask.operator).await?;
            }
            self.fetch_once(ask.path, ask.etag).await
        })
        .await
        .unwrap_or_else(|_| Err(UpstreamError::no_answer()));
        sent.answered();
        place.ended(match &result {
            Ok(_) => RequestEnd::Answered,
            Err(UpstreamError::Transport(_)) => RequestEnd::Overloaded,
            Err(UpstreamError::Status(status))
                if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
            {
                RequestEnd::Overloaded
            }
            Err(_) => RequestEnd::Otherwise,
        });
        match &result {
            Ok(given) => {
                // A server that answers everything with an empty body looks like an older server until it has sent
                // something.
                if !matches!(&given.fetched, Fetched::Token(token, _) if token.is_empty()) {
                    self.reached.store(true, Ordering::Release);
                }
                self.health.answered();
            }
            Err(error) => self.health.failed(error),
        }
        result
    }

    async fn fetch_once(&self, path: &str, etag: Option<&Bytes>) -> Result<ServerAnswer, UpstreamError> {
        let mut request = self
            .clients
            .short()
            .get(format!("{}/jwt/v1/{path}", self.base))
            .header(POSITION_HEADER, "ask")
            .header(header::CACHE_CONTROL, "no-cache");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, &etag[..]);
        }
        let mut response = self.send(request).await?;
        let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        // A replica says that where its own feed confirms the answer.
        let is_primary = said(PRIMARY_AGE_HEADER).is_none();
        let is_confirmed = is_primary || said(CONFIRMED_HEADER).is_some();
        let age = said(header::AGE.as_str()).and_then(|age| age.parse::<u32>().ok()).unwrap_or(0);
        let position = said(POSITION_HEADER).and_then(wire::parse_position);
        let fetched = match response.status() {
            StatusCode::OK => {
                let body = self.body(&mut response).await?;
                if !looks_like_jwt(&body) {
                    self.vouch(&response).await?;
                }
                Fetched::Token(body, position)
            }
            StatusCode::NOT_MODIFIED if etag.is_some() => Fetched::NotModified,
            StatusCode::NOT_FOUND => Fetched::Absent,
            status => return Err(UpstreamError::Status(status)),
        };
        Ok(ServerAnswer { fetched, age: i64::from(age) * 1000, is_confirmed, is_primary })
    }

    /// Requests the operator JWT. `Ok(None)`: the server has none.
    pub(super) async fn operator(&self) -> Result<Option<String>, UpstreamError> {
        let mut response = self.send(self.get_now("/jwt/v1/operator")).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(String::from_utf8_lossy(&self.body(&mut response).await?).into_owned())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// Requests the operator JWTs in force, oldest first. `Ok(None)`: the server has none. A server of format 1 shows
    /// the last one only.
    pub(super) async fn operator_chain(&self) -> Result<Option<Vec<String>>, UpstreamError> {
        let mut response = self.send(self.get_now("/jwt/v1/operator?chain=true")).await?;
        match response.status() {
            StatusCode::OK => {
                let body = self.body_up_to(&mut response, MAX_CHAIN).await?;
                let page = serde_json::from_slice::<OperatorPage>(&body).map(|page| page.links);
                Ok(Some(page.unwrap_or_else(|_| vec![String::from_utf8_lossy(&body).into_owned()])))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// Checks once that it hosts this operator's accounts. `None`: every operator is accepted.
    async fn vet(&self, operator: Option<&PublicKey>) -> Result<(), UpstreamError> {
        let Some(operator) = operator else { return Ok(()) };
        let _alone = self.vetting.lock().await;
        if self.health.is_well() { Ok(()) } else { self.vet_anew(operator).await }
    }

    /// Checks that again, even if it passed before.
    pub(super) async fn vet_anew(&self, operator: &PublicKey) -> Result<(), UpstreamError> {
        self.hosts(operator).await?;
        self.health.judge(ServerVerdict::Well);
        Ok(())
    }

    /// Checks whether it hosts this operator's accounts. A server that shows no operator passes: old servers may have
    /// none, and every JWT passes the gate.
    async fn hosts(&self, operator: &PublicKey) -> Result<(), UpstreamError> {
        let Some(jwt) = self.operator().await? else { return Ok(()) };
        match Trust::from_operator_jwt(&jwt, clock::unix_seconds()) {
            Ok(shown) if shown.identity() != operator => {
                // The server decides how long the name is.
                let name: String = shown.name().chars().take(LONGEST_NAME).collect();
                Err(UpstreamError::Foreign(format!("{} ({name})", shown.identity())))
            }
            _ => Ok(()),
        }
    }

    /// Checks whether it is healthy, with a small request.
    pub(super) async fn look(&self, operator: Option<&PublicKey>) -> Result<(), UpstreamError> {
        let response = self.send(self.get_now("/readyz")).await?;
        // Old servers do not know the path, and that is an answer.
        if response.status().is_server_error() {
            return Err(UpstreamError::Status(response.status()));
        }
        self.vouch(&response).await?;
        match operator {
            Some(operator) => self.hosts(operator).await,
            None => Ok(()),
        }
    }

    /// Opens the change feed within `limit`, from a position or from the current one of the server.
    pub(super) async fn changes(&self, after: Option<&Head>, limit: Duration) -> Result<Response, UpstreamError> {
        let mut url = format!("{}/jwt/v1/changes", self.base);
        if let Some(after) = after {
            url.push_str(&format!("?session={}&after={}&chain={}", after.session, after.serial, after.chain));
        }
        let request = self.clients.streams().get(url).header(header::ACCEPT, "text/event-stream");
        let answer = async {
            let response = self.send(request).await?;
            if response.status() == StatusCode::OK && !is_stream(&response) {
                if response.content_length() == Some(0) {
                    return Err(nothing(&response));
                }
                self.vouch(&response).await?;
            }
            Ok(response)
        };
        let response = tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| UpstreamError::Transport(format!("no answer within {} seconds", limit.as_secs())))??;
        let status = response.status();
        // A web page instead of a feed says nothing.
        if is_marked(&response) && !status.is_server_error() || status.is_client_error() || is_stream(&response) {
            self.reached.store(true, Ordering::Release);
        }
        match status {
            StatusCode::OK => Ok(response),
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// Whether requests to it show who sends them.
    pub(crate) fn has_credentials(&self) -> bool {
        self.has_login || self.clients.has_credentials()
    }

    /// The name of this process on the wire.
    pub(super) fn own_name(&self) -> &str {
        self.clients.name()
    }

    /// Begins a GET that is answered at once. `path`: the whole path.
    pub(super) fn get_now(&self, path: &str) -> reqwest::RequestBuilder {
        self.clients.short().get(format!("{}{path}", self.base))
    }

    /// Begins a request that is answered at once. `path`: the path after `/jwt/v1/`.
    pub(super) fn request_now(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.clients.short().request(method, format!("{}/jwt/v1/{path}", self.base))
    }

    /// Begins a request without a time limit. `path`: path and query after `/jwt/v1/`.
    pub(crate) fn slow_request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.clients.streams().request(method, format!("{}/jwt/v1/{path}", self.base))
    }

    /// Begins a request on behalf of a client, with the credentials of that client alone. It has no time limit.
    pub(crate) fn for_others(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.clients.plain().request(method, format!("{}/jwt/v1/{path}", self.public))
    }

    /// Reads a body of at most the largest JWT.
    async fn body(&self, response: &mut Response) -> Result<Bytes, UpstreamError> {
        self.body_up_to(response, body::TOKEN).await
    }

    /// Reads a body of at most `most` bytes.
    pub(crate) async fn body_up_to(&self, response: &mut Response, most: usize) -> Result<Bytes, UpstreamError> {
        body::read(response, most).await.map_err(|error| match error {
            BodyError::TooLarge(_) => UpstreamError::TooLarge,
            BodyError::Http(error) => self.transport(&error),
        })
    }

    /// A transport error with its causes. The URL is left out, because it may have credentials.
    pub(crate) fn transport(&self, error: &reqwest::Error) -> UpstreamError {
        let kind = if error.is_connect() { UpstreamError::Connect } else { UpstreamError::Transport };
        if error.is_timeout() {
            return kind("no answer in time".into());
        }
        if let Some(text) = explain::tls_problem(error) {
            return kind(text);
        }
        let mut text = explain::causes(error);
        if text.is_empty() {
            "the request failed".clone_into(&mut text);
        }
        // Only a TLS server answers HTTP with a TLS record.
        if self.base.starts_with("http:") && text.contains("invalid HTTP version") {
            return kind(
                "it does not speak plain HTTP, and the URL says http://: write https:// in primary".to_owned(),
            );
        }
        let is_new = !error.is_connect() && !self.was_reached();
        if is_new && self.base.starts_with("https:") {
            text = format!("{text}; {}", self.clients.advice());
        }
        kind(text)
    }
}

/// Whether a body may be a JWT. If an account server sent another body, the gate rejects it.
fn looks_like_jwt(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let is_text = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_=.".contains(byte);
    body.split(|byte| *byte == b'.').count() == 3 && body.iter().all(is_text)
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status() == StatusCode::OK && kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

/// The URL with another user instead of its own, if it has one, and without a password.
fn with_user(mut url: reqwest::Url, user: &str) -> String {
    if !url.username().is_empty() || url.password().is_some() {
        // Cannot fail for a URL that had a user.
        let _ = url.set_username(user);
        let _ = url.set_password(None);
    }
    url.as_str().trim_end_matches('/').to_owned()
}
