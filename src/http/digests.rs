//! `/jwt/v1/digests`: the digest tree, and what differs from what a follower holds. Specified in `docs/replication.md`.

use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use tokio::time::timeout;

use super::peer::Client;
use super::push::{self, Bound};
use super::query::Params;
use super::turns::Turn;
use super::{Shared, door, outgoing, reply, writes};
use crate::excerpt::excerpt;
use crate::feed::Subject;
use crate::feed::digest::Prefix;
use crate::feed::wire::{AskError, BACKGROUND, DigestAnswer, DigestAsk, DigestPage};
use crate::node::{Digested, ForwardError, Question, StoreError};

/// A question for what differs: 1000 keys are about 80 KB.
const QUESTION: Bound = Bound {
    bytes: 256 << 10,
    too_large: "a question has at most 262144 bytes, and names at most 1000 keys",
    bad: "bad question",
};
/// A question waits so long for others to be answered.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// What a GET asks for.
enum TreeAsk {
    /// A place of the tree.
    View(Option<Prefix>),
    /// The leaves of a place after a key.
    Leaves(Option<Prefix>, Option<Subject>),
}

impl TreeAsk {
    /// The error is the text of a 400.
    fn of(params: &Params) -> Result<Self, String> {
        let given = |name| params.get(name).filter(|text| !text.is_empty());
        let prefix = given("prefix").map(Prefix::parse).transpose();
        let prefix = prefix.map_err(|error| format!("bad prefix parameter\n{error}"))?;
        if !params.has("leaves") {
            return Ok(Self::View(prefix));
        }
        if !params.is_true("leaves") {
            return Err("bad leaves parameter\ntrue is expected".to_owned());
        }
        let after = given("after").map(|text| Subject::parse(text).ok_or(AskError::After)).transpose();
        let after = after.map_err(|error| format!("bad after parameter\n{error}"))?;
        Ok(Self::Leaves(prefix, after))
    }
}

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let ask = match TreeAsk::of(&Params::of(request)) {
        Ok(ask) => ask,
        Err(message) => return reply::error(request, StatusCode::BAD_REQUEST, &message),
    };
    let client = Client::of(request, shared);
    let turn = match turn(request, shared, client).await {
        Ok(turn) => turn,
        Err(response) => return response,
    };
    let asker = Asker { request, shared, client, turn };
    match ask {
        TreeAsk::View(prefix) => match asker.known(shared.node.digests(prefix).await, None).await {
            Ok((view, asker)) => {
                let floor = shared.node.floor_up_to(view.head.serial);
                asker.json(&DigestPage::new(&view, floor)).await
            }
            Err(response) => response,
        },
        TreeAsk::Leaves(prefix, after) => match asker.known(shared.node.leaves(prefix, after).await, None).await {
            Ok((page, asker)) => {
                let floor = shared.node.floor_up_to(page.head.serial);
                asker.list(DigestPage::of_leaves(page, floor)).await
            }
            Err(response) => response,
        },
    }
}

pub(super) async fn compare(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> HttpResponse {
    let body = match push::bounded(request, payload, shared, QUESTION).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let bad = |error: &dyn std::fmt::Display| {
        reply::error(request, StatusCode::BAD_REQUEST, &format!("{}\n{}", QUESTION.bad, excerpt(&error.to_string())))
    };
    let ask = match serde_json::from_slice::<DigestAsk>(&body) {
        Ok(ask) => ask,
        Err(error) => return bad(&error),
    };
    let ask = match ask.parse() {
        Ok(ask) => ask,
        Err(error) => return bad(&error),
    };
    let client = Client::of(request, shared);
    let turn = match turn(request, shared, client).await {
        Ok(turn) => turn,
        Err(response) => return response,
    };
    let asker = Asker { request, shared, client, turn };
    let begun = Instant::now();
    match asker.known(shared.node.compare(ask).await, Some(&body.bytes)).await {
        Ok((comparison, asker)) => {
            let mut answer = DigestAnswer::new(&comparison, shared.node.floor_up_to(comparison.head.serial));
            if Params::of(request).is_true(BACKGROUND) {
                let now = Instant::now();
                answer.pause = Some(whole_millis(shared.scarce.pace.after(now - begun, now)));
            }
            asker.json(&answer).await
        }
        Err(response) => response,
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// A client whose turn it is.
struct Asker<'r> {
    request: &'r HttpRequest,
    shared: &'r Shared,
    client: Client,
    turn: Turn,
}

impl Asker<'_> {
    /// What is known here. The error is the answer of another server, or says why there is none.
    async fn known<T>(
        self,
        found: Result<Digested<T>, StoreError>,
        body: Option<&Bytes>,
    ) -> Result<(T, Self), HttpResponse> {
        match found {
            Ok(Digested::Known(found)) => Ok((found, self)),
            Ok(Digested::Incomplete) => Err(incomplete(self.request)),
            Ok(Digested::Unknown) => {
                let Self { request, shared, client, turn } = self;
                drop(turn);
                Err(relay(request, shared, client, body.cloned()).await)
            }
            Err(error) => Err(failed(self.request, self.shared, &error)),
        }
    }

    /// The next comparison waits until there is room for this answer.
    async fn json(self, answer: &impl serde::Serialize) -> HttpResponse {
        if *self.request.method() == Method::HEAD {
            return outgoing::builder(StatusCode::OK).finish();
        }
        outgoing::json(self.request, self.shared, self.client, answer).await
    }

    /// The same with many leaves. Their JSON takes milliseconds, in which the worker serves others.
    async fn list(self, page: DigestPage) -> HttpResponse {
        let head = outgoing::builder(StatusCode::OK).finish();
        if *self.request.method() == Method::HEAD {
            return head;
        }
        match tokio::task::spawn_blocking(move || serde_json::to_vec(&page)).await {
            Ok(Ok(text)) => outgoing::passed(self.request, self.shared, self.client, head, text.into()).await,
            Ok(Err(_)) | Err(_) => {
                reply::error(self.request, StatusCode::INTERNAL_SERVER_ERROR, "cannot write the list of leaves")
            }
        }
    }
}

/// Asks who holds everything.
async fn relay(request: &HttpRequest, shared: &Shared, client: Client, body: Option<Bytes>) -> HttpResponse {
    let Some(way) = shared.node.upstream() else { return reply::not_found(request) };
    let onward = door::onward(request, shared);
    let question = Question {
        query: request.uri().query().map(str::to_owned),
        headers: writes::headers_to_pass(request, &onward),
        body,
        lends_credentials: onward.is_known_here,
    };
    match way.ask(question).await {
        Ok(mut answer) => {
            let body = std::mem::take(&mut answer.body);
            outgoing::passed(request, shared, client, writes::relayed(answer), body).await
        }
        Err(error @ ForwardError::Loop { .. }) => {
            let message = format!("the way to the primary leads through too many replicas, or in a circle\n{error}");
            reply::error(request, StatusCode::LOOP_DETECTED, &message)
        }
        Err(error) => {
            let message = format!("this server has no digests, and its primary cannot be reached\n{error}");
            reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "2", &message)
        }
    }
}

async fn turn(request: &HttpRequest, shared: &Shared, client: Client) -> Result<Turn, HttpResponse> {
    match timeout(TURN, shared.scarce.comparisons.take(client, 1)).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(reply::crowded(request, "comparisons", "2", "too many comparisons are under way")),
    }
}

fn incomplete(request: &HttpRequest) -> HttpResponse {
    let message = "the digests are not complete yet\nthis server is still importing its folder";
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "5", message)
}

fn failed(request: &HttpRequest, shared: &Shared, error: &StoreError) -> HttpResponse {
    if let Some(held_back) = shared.failure("digests") {
        tracing::error!("cannot compare digests: {error}{held_back}");
    }
    reply::error(
        request,
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("cannot compare digests\n{}", error.for_clients()),
    )
}
