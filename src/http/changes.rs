//! `GET /jwt/v1/changes`: the change feed, by long-poll or as an event stream. Specified in `docs/replication.md`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::query::{Params, duration};
use super::{Shared, reply};
use crate::feed::wire::{Item, Page};
use crate::feed::{Chain, Head, Session};
use crate::node::{Changes, Feed, Node, Place};
use crate::store::StoreError;

/// Changes in one answer at most.
const LIMIT: usize = 500;
/// The longest wait of a long-poll.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// A stream says at least this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let feed = match shared.node.feed() {
        Feed::Open(feed) => feed,
        Feed::NotYet => return not_yet(request, "this replica has not followed its primary yet"),
        Feed::None => {
            let message = "this server has no change feed\nits primary has none";
            return reply::error(request, StatusCode::NOT_FOUND, message);
        }
    };
    let asked = match Asked::of(&Params::of(request)) {
        Ok(asked) => asked,
        Err(message) => return reply::error(request, StatusCode::BAD_REQUEST, &message),
    };
    if *request.method() == Method::HEAD {
        let kind = if wants_stream(request) { "text/event-stream" } else { "application/json" };
        return HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, kind))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish();
    }
    let Ok(place) = shared.followers.clone().try_acquire_owned() else {
        return reply::try_later(
            request,
            StatusCode::SERVICE_UNAVAILABLE,
            "5",
            "too many followers\ntry another server",
        );
    };
    let from = match asked.start(&feed).await {
        Ok(Start::From(from)) => from,
        Ok(Start::Elsewhere) => return gone(&feed),
        Ok(Start::Ahead) => return not_yet(request, "this replica is not as far yet, and does not hear its primary"),
        Err(error) => return failed(request, &error),
    };
    if wants_stream(request) {
        let follower = Follower::new(shared.node.clone(), feed, from, place);
        return HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/event-stream"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .streaming(stream::unfold(follower, Follower::next));
    }
    match poll(&shared.node, &feed, from, asked.wait).await {
        Ok(Some(changes)) => page(StatusCode::OK, &feed.page(from, changes)),
        // Another history took its place meanwhile.
        Ok(None) => match shared.node.feed() {
            Feed::Open(feed) => gone(&feed),
            Feed::NotYet | Feed::None => not_yet(request, "the change feed has just ended"),
        },
        Err(error) => failed(request, &error),
    }
}

/// What the query says.
struct Asked {
    session: Option<Session>,
    after: Option<u64>,
    chain: Option<Chain>,
    wait: Duration,
}

/// Where to begin.
enum Start {
    From(Head),
    /// The asker stands on another history, or beyond this one.
    Elsewhere,
    /// This server may get to where the asker stands.
    Ahead,
}

impl Asked {
    fn of(params: &Params) -> Result<Self, String> {
        let bad = |name: &str, wanted: &str| format!("bad {name} parameter\n{wanted} is expected");
        let given = |name: &str| params.get(name).filter(|value| !value.is_empty());
        Ok(Self {
            session: given("session")
                .map(|text| Session::parse(text).ok_or_else(|| bad("session", "32 hexadecimal digits")))
                .transpose()?,
            after: given("after").map(|text| text.parse().map_err(|_| bad("after", "a serial"))).transpose()?,
            chain: given("chain")
                .map(|text| Chain::parse(text).ok_or_else(|| bad("chain", "64 hexadecimal digits")))
                .transpose()?,
            wait: given("wait")
                .map(|text| duration(text).ok_or_else(|| bad("wait", "a time such as 25s or 500ms")))
                .transpose()?
                .unwrap_or_default()
                .min(MAX_WAIT),
        })
    }

    /// The position to go on from.
    async fn start(&self, feed: &Changes) -> Result<Start, StoreError> {
        let head = feed.head();
        if self.session.is_some_and(|session| session != head.session) {
            return Ok(Start::Elsewhere);
        }
        let Some(after) = self.after else { return Ok(Start::From(head)) };
        if i64::try_from(after).is_err() {
            // Beyond what any journal can count to.
            return Ok(Start::Elsewhere);
        }
        Ok(match feed.place(after).await? {
            Place::At(chain) if self.chain.is_none_or(|asked| asked == chain) => {
                Start::From(Head { session: head.session, serial: after, chain })
            }
            Place::At(_) | Place::Elsewhere => Start::Elsewhere,
            Place::Ahead => Start::Ahead,
        })
    }
}

fn wants_stream(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::ACCEPT)
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/event-stream")))
}

/// Waits for changes after a position, up to a time, or until the server stops. `None`: there is no going on from there.
async fn poll(node: &Arc<Node>, feed: &Changes, from: Head, wait: Duration) -> Result<Option<Vec<Item>>, StoreError> {
    let deadline = Instant::now() + wait;
    let mut watch = feed.watch();
    loop {
        watch.borrow_and_update();
        let changes = feed.after(from.serial, LIMIT).await?;
        if changes.as_ref().is_none_or(|changes| !changes.is_empty()) {
            return Ok(changes);
        }
        tokio::select! {
            moved = timeout_at(deadline, watch.changed()) => match moved {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Some(Vec::new())),
            },
            () = feed.ended().cancelled() => return Ok(None),
            () = node.draining().cancelled() => return Ok(Some(Vec::new())),
        }
    }
}

/// 410 with where the history stands: the follower starts anew from there.
fn gone(feed: &Changes) -> HttpResponse {
    page(StatusCode::GONE, &feed.page(feed.head(), Vec::new()))
}

fn not_yet(request: &HttpRequest, message: &str) -> HttpResponse {
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", message)
}

fn page(status: StatusCode, page: &Page) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(page)
}

fn failed(request: &HttpRequest, error: &StoreError) -> HttpResponse {
    tracing::error!("cannot read changes: {error}");
    reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot read the changes\n{error}"))
}

/// A client that follows by event stream.
struct Follower {
    node: Arc<Node>,
    feed: Changes,
    watch: watch::Receiver<Head>,
    at: Head,
    /// When it was last told where the primary stands; `None`: it was not greeted yet.
    told: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn new(node: Arc<Node>, feed: Changes, at: Head, place: OwnedSemaphorePermit) -> Self {
        node.metrics().feed_followers.inc();
        let watch = feed.watch();
        Self { node, feed, watch, at, told: None, _place: place }
    }

    /// The next piece of the stream.
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        let Some(told) = self.told else { return Some((Ok(self.tell("hello")), self)) };
        let (draining, ended) = (self.node.draining().clone(), self.feed.ended().clone());
        loop {
            if draining.is_cancelled() || ended.is_cancelled() {
                return None;
            }
            self.watch.borrow_and_update();
            // Also between changes, however many there are: by this it is known how old all is.
            if told.elapsed() >= HEARTBEAT || self.feed.is_news(told) {
                return Some((Ok(self.tell("heartbeat")), self));
            }
            match self.feed.after(self.at.serial, LIMIT).await {
                Ok(Some(changes)) if changes.is_empty() => {}
                Ok(Some(changes)) => return Some((Ok(self.send(&changes)), self)),
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!("a follower is cut off: {error}");
                    return Some((Err(std::io::Error::other(error)), self));
                }
            }
            tokio::select! {
                moved = timeout_at(told + HEARTBEAT, self.watch.changed()) => match moved {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(_)) => return None,
                },
                () = ended.cancelled() => return None,
                () = draining.cancelled() => return None,
            }
        }
    }

    /// Where the follower stands, and where the primary does.
    fn tell(&mut self, kind: &str) -> Bytes {
        self.told = Some(Instant::now());
        event(kind, None, &self.feed.page(self.at, Vec::new()))
    }

    fn send(&mut self, changes: &[Item]) -> Bytes {
        let mut text = Vec::new();
        for change in changes {
            text.extend_from_slice(&event("change", Some(change.serial), change));
        }
        if let Some((serial, chain)) = changes.last().and_then(|last| Some((last.serial, Chain::parse(&last.chain)?))) {
            (self.at.serial, self.at.chain) = (serial, chain);
        }
        text.into()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.node.metrics().feed_followers.dec();
    }
}

fn event(kind: &str, id: Option<u64>, data: &impl serde::Serialize) -> Bytes {
    // Plain structs of strings and numbers always have a JSON form.
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {kind}\n{id}data: {data}\n\n"))
}
