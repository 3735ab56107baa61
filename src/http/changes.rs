//! `GET /jwt/v1/changes`: the change feed, by long-poll or as an event stream. Specified in `docs/replication.md`.

use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, timeout, timeout_at};

use super::follower::FeedFollower;
use super::follower_places;
use super::outgoing::{self, Outgoing};
use super::peer::Client;
use super::query::Params;
use super::{Shared, reply};
use crate::config::parse_seconds;
use crate::feed::wire::Page;
use crate::feed::{Chain, Head, Session};
use crate::node::{Feed, FeedPiece, FeedPlace, FeedSource, StoreError};

/// Changes in one answer at most.
const ANSWER: FeedPiece = FeedPiece { changes: 500, bytes: 256 << 10 };
/// The longest wait of a long-poll.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long a long-poll that has something to answer waits for its turn.
const TURN: Duration = Duration::from_secs(20);

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let feed = match shared.node.feed() {
        Feed::Open(feed) => feed,
        Feed::NotYet => return not_yet(request, "this replica has not followed its primary yet"),
        Feed::None => {
            let message = "this server has no change feed\nits primary has none";
            return reply::error(request, StatusCode::NOT_FOUND, message);
        }
    };
    let asked = match FeedQuery::of(&Params::of(request)) {
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
    let (from, is_proven) = match asked.start(&*feed).await {
        Ok(FeedStart::From(from)) => (from, asked.is_proof()),
        Ok(FeedStart::Elsewhere) => return gone(&*feed),
        Ok(FeedStart::Ahead) => {
            return not_yet(request, "this replica is behind that position, and its primary is away");
        }
        Err(error) => return failed(request, shared, &error),
    };
    let client = Client { is_proven, ..Client::of(request, shared) };
    let Ok(place) = shared.scarce.follow(client) else { return full(request) };
    if wants_stream(request) {
        let follower = FeedFollower::new(shared.node.clone(), feed, from, client, place, &shared.scarce);
        return HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/event-stream"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .streaming(stream::unfold(follower, FeedFollower::next));
    }
    match wait(shared, &*feed, from, asked.wait, &place).await {
        Waited::Changed => answer(request, shared, &*feed, from, client, place).await,
        Waited::Unchanged => page(StatusCode::OK, &feed.page(from, Vec::new())),
        Waited::Ended => another(request, shared),
        Waited::Displaced => full(request),
    }
}

/// What the query says.
struct FeedQuery {
    session: Option<Session>,
    after: Option<u64>,
    chain: Option<Chain>,
    wait: Duration,
}

/// Where to begin.
enum FeedStart {
    From(Head),
    /// The asker is on another history, or beyond this one.
    Elsewhere,
    /// This server may reach the asker's position.
    Ahead,
}

impl FeedQuery {
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
                .map(|text| parse_seconds(text).ok_or_else(|| bad("wait", "a time such as 25s or 500ms")))
                .transpose()?
                .unwrap_or_default()
                .min(MAX_WAIT),
        })
    }

    /// Whether the position, if it is one of this history, could hardly be guessed.
    const fn is_proof(&self) -> bool {
        self.session.is_some() && self.after.is_some() && self.chain.is_some()
    }

    /// The position to go on from.
    async fn start(&self, feed: &dyn FeedSource) -> Result<FeedStart, StoreError> {
        let head = feed.head();
        if self.session.is_some_and(|session| session != head.session) {
            return Ok(FeedStart::Elsewhere);
        }
        let Some(after) = self.after else { return Ok(FeedStart::From(head)) };
        if i64::try_from(after).is_err() {
            // Beyond what any journal can count to.
            return Ok(FeedStart::Elsewhere);
        }
        Ok(match feed.place(after).await? {
            FeedPlace::At(chain) if self.chain.is_none_or(|asked| asked == chain) => {
                FeedStart::From(Head { session: head.session, serial: after, chain })
            }
            FeedPlace::At(_) | FeedPlace::Elsewhere => FeedStart::Elsewhere,
            FeedPlace::Ahead => FeedStart::Ahead,
        })
    }
}

fn wants_stream(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::ACCEPT)
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/event-stream")))
}

/// How the wait of a long-poll ended.
enum Waited {
    Changed,
    Unchanged,
    /// There is no going on from there.
    Ended,
    /// Somebody else has the place.
    Displaced,
}

/// Waits for a change after a position, up to a time, or until the server stops.
async fn wait(
    shared: &Shared,
    feed: &dyn FeedSource,
    from: Head,
    limit: Duration,
    place: &follower_places::FollowerPlace,
) -> Waited {
    let deadline = Instant::now() + limit;
    let mut watch = feed.watch();
    loop {
        if watch.borrow_and_update().serial > from.serial {
            return Waited::Changed;
        }
        tokio::select! {
            moved = timeout_at(deadline, watch.changed()) => match moved {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Waited::Unchanged,
            },
            () = feed.ended().cancelled() => return Waited::Ended,
            () = place.ended().cancelled() => return Waited::Displaced,
            () = shared.node.draining().cancelled() => return Waited::Unchanged,
        }
    }
}

/// The changes after a position, which there are.
async fn answer(
    request: &HttpRequest,
    shared: &Shared,
    feed: &dyn FeedSource,
    from: Head,
    client: Client,
    place: follower_places::FollowerPlace,
) -> HttpResponse {
    let turn = async {
        let turn = shared.scarce.sending.take(client, ANSWER.bytes).await.ok()?;
        let alone = shared.scarce.replays.acquire().await.ok()?;
        Some((turn, alone))
    };
    let Ok(Some((turn, alone))) = timeout(TURN, turn).await else { return outgoing::busy(request) };
    let read = feed.read(from.serial, ANSWER).await;
    drop(alone);
    match read {
        Ok(Some(changes)) => {
            // Plain structs of strings and numbers always have a JSON form.
            let text = serde_json::to_vec(&feed.page(from, changes)).unwrap_or_default();
            outgoing::builder(StatusCode::OK).body(Outgoing::body(turn, Bytes::from(text), Some(place)))
        }
        Ok(None) => another(request, shared),
        Err(error) => failed(request, shared, &error),
    }
}

/// Another history took the place of the one that was asked about.
fn another(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    match shared.node.feed() {
        Feed::Open(feed) => gone(&*feed),
        Feed::NotYet | Feed::None => not_yet(request, "the change feed has just ended"),
    }
}

fn full(request: &HttpRequest) -> HttpResponse {
    reply::crowded(request, "followers", "5", "too many followers\ntry another server")
}

/// 410 with the newest position of this history: the follower starts again from there.
fn gone(feed: &dyn FeedSource) -> HttpResponse {
    page(StatusCode::GONE, &feed.page(feed.head(), Vec::new()))
}

fn not_yet(request: &HttpRequest, message: &str) -> HttpResponse {
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", message)
}

fn page(status: StatusCode, page: &Page) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(page)
}

fn failed(request: &HttpRequest, shared: &Shared, error: &StoreError) -> HttpResponse {
    if let Some(held_back) = shared.failure("changes") {
        tracing::error!("cannot read changes: {error}{held_back}");
    }
    reply::error(
        request,
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("cannot read the changes\n{}", error.for_clients()),
    )
}
