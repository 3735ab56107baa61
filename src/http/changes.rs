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
use crate::feed::{Chain, Change, Head, Ring, Session};
use crate::node::Node;
use crate::store::StoreError;

/// Changes in one answer at most.
const LIMIT: usize = 500;
/// The longest wait of a long-poll.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// A stream says at least this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let Some(ring) = shared.node.ring().cloned() else {
        return reply::error(request, StatusCode::NOT_FOUND, "this server has no change feed\nask its primary");
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
    let from = match asked.start(&shared.node, &ring).await {
        Ok(Some(from)) => from,
        Ok(None) => return gone(&ring),
        Err(error) => return failed(request, &error),
    };
    if wants_stream(request) {
        let follower = Follower::new(shared.node.clone(), ring, from, place);
        return HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/event-stream"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .streaming(stream::unfold(follower, Follower::next));
    }
    match poll(&shared.node, &ring, from, asked.wait).await {
        Ok(changes) => page(StatusCode::OK, &Page::new(from, ring.head().serial, 0, &changes)),
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

    /// The position to go on from. `None`: the asker stands on another history, or beyond this one.
    async fn start(&self, node: &Arc<Node>, ring: &Ring) -> Result<Option<Head>, StoreError> {
        let head = ring.head();
        let Some(after) = self.after else {
            let same = self.session.is_none_or(|session| session == head.session);
            return Ok(same.then_some(head));
        };
        if self.session.is_some_and(|session| session != head.session) {
            return Ok(None);
        }
        if i64::try_from(after).is_err() {
            // Beyond what any journal can count to.
            return Ok(None);
        }
        let node = node.clone();
        let known = blocking(move || node.chain_at(after)).await?;
        Ok(known.filter(|known| self.chain.is_none_or(|chain| chain == *known)).map(|chain| Head {
            session: head.session,
            serial: after,
            chain,
        }))
    }
}

fn wants_stream(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::ACCEPT)
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/event-stream")))
}

/// Waits for changes after a position, up to a time, or until the server stops.
async fn poll(node: &Arc<Node>, ring: &Ring, from: Head, wait: Duration) -> Result<Vec<Arc<Change>>, StoreError> {
    let deadline = Instant::now() + wait;
    let mut watch = ring.watch();
    loop {
        watch.borrow_and_update();
        let changes = read(node, from.serial).await?;
        if !changes.is_empty() {
            return Ok(changes);
        }
        tokio::select! {
            moved = timeout_at(deadline, watch.changed()) => match moved {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            },
            () = node.draining().cancelled() => return Ok(Vec::new()),
        }
    }
}

async fn read(node: &Arc<Node>, after: u64) -> Result<Vec<Arc<Change>>, StoreError> {
    // Who keeps up is served from memory, without a detour over another thread.
    if let Some(ring) = node.ring()
        && let crate::feed::Catchup::Changes(changes) = ring.after(after, LIMIT)
    {
        return Ok(changes);
    }
    let node = node.clone();
    blocking(move || node.changes_after(after, LIMIT)).await
}

async fn blocking<T: Send + 'static>(
    query: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(query).await.map_err(|_| StoreError::Closed)?
}

/// 410 with where the journal stands: the follower starts anew from there.
fn gone(ring: &Ring) -> HttpResponse {
    let head = ring.head();
    page(StatusCode::GONE, &Page::new(head, head.serial, 0, &[]))
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
    ring: Arc<Ring>,
    watch: watch::Receiver<Head>,
    at: Head,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn new(node: Arc<Node>, ring: Arc<Ring>, at: Head, place: OwnedSemaphorePermit) -> Self {
        node.metrics().feed_followers.inc();
        let watch = ring.watch();
        Self { node, ring, watch, at, greeted: false, _place: place }
    }

    /// The next piece of the stream.
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some((Ok(self.say("hello")), self));
        }
        if self.node.draining().is_cancelled() {
            return None;
        }
        let deadline = Instant::now() + HEARTBEAT;
        loop {
            self.watch.borrow_and_update();
            match read(&self.node, self.at.serial).await {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => return Some((Ok(self.send(&changes)), self)),
                Err(error) => {
                    tracing::error!("a follower is cut off: {error}");
                    return Some((Err(std::io::Error::other(error)), self));
                }
            }
            let draining = self.node.draining().clone();
            tokio::select! {
                moved = timeout_at(deadline, self.watch.changed()) => match moved {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some((Ok(self.say("heartbeat")), self)),
                },
                () = draining.cancelled() => return None,
            }
        }
    }

    /// Where the follower stands, and where the journal does.
    fn say(&self, kind: &str) -> Bytes {
        let page = Page::new(self.at, self.ring.head().serial, 0, &[]);
        event(kind, None, &page)
    }

    fn send(&mut self, changes: &[Arc<Change>]) -> Bytes {
        let mut text = Vec::new();
        for change in changes {
            text.extend_from_slice(&event("change", Some(change.serial), &Item::from(&**change)));
            (self.at.serial, self.at.chain) = (change.serial, change.chain);
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
