//! `/jwt/v1/digests`: the digest tree, and what differs from what a follower holds. Specified in `docs/replication.md`.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use tokio::time::timeout;

use super::peer::Client;
use super::push::{self, Bound};
use super::query::Params;
use super::turns::Turn;
use super::{Shared, outgoing, reply, writes};
use crate::excerpt::excerpt;
use crate::feed::digest::Prefix;
use crate::feed::wire::{DigestAnswer, DigestAsk, DigestPage};
use crate::node::{Digested, ForwardError, Question, StoreError};

/// A question for what differs: 1000 keys are about 80 KB.
const QUESTION: Bound = Bound {
    bytes: 256 << 10,
    too_large: "a question has at most 262144 bytes, and names at most 1000 keys",
    bad: "bad question",
};
/// A question waits so long for others to be answered.
pub(super) const TURN: Duration = Duration::from_secs(1);
/// The feed keeps every chain value, so a follower can go on from anywhere.
const FLOOR: u64 = 0;

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let prefix = match Params::of(request).get("prefix").filter(|prefix| !prefix.is_empty()).map(Prefix::parse) {
        None => None,
        Some(Ok(prefix)) => Some(prefix),
        Some(Err(error)) => {
            return reply::error(request, StatusCode::BAD_REQUEST, &format!("bad prefix parameter\n{error}"));
        }
    };
    let client = Client::of(request, shared);
    let turn = match turn(request, shared, client).await {
        Ok(turn) => turn,
        Err(response) => return response,
    };
    match shared.node.digests(prefix).await {
        Ok(Digested::Known(view)) => json(request, shared, client, turn, &DigestPage::new(&view, FLOOR)).await,
        Ok(Digested::Incomplete) => incomplete(request),
        Ok(Digested::Unknown) => {
            drop(turn);
            relay(request, shared, client, None).await
        }
        Err(error) => failed(request, &error),
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
    match shared.node.compare(ask).await {
        Ok(Digested::Known(comparison)) => {
            json(request, shared, client, turn, &DigestAnswer::new(&comparison, FLOOR)).await
        }
        Ok(Digested::Incomplete) => incomplete(request),
        Ok(Digested::Unknown) => {
            drop(turn);
            relay(request, shared, client, Some(body.bytes.clone())).await
        }
        Err(error) => failed(request, &error),
    }
}

/// Asks who holds everything.
async fn relay(request: &HttpRequest, shared: &Shared, client: Client, body: Option<Bytes>) -> HttpResponse {
    let Some(way) = shared.node.upstream() else { return reply::not_found(request) };
    let question =
        Question { query: request.uri().query().map(str::to_owned), headers: writes::headers_to_pass(request), body };
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
            let message = format!("this server has no digests, and its primary cannot be asked\n{error}");
            reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "2", &message)
        }
    }
}

async fn turn(request: &HttpRequest, shared: &Shared, client: Client) -> Result<Turn, HttpResponse> {
    match timeout(TURN, shared.scarce.comparisons.take(client, 1)).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => {
            Err(reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "2", "too many comparisons are under way"))
        }
    }
}

/// The next comparison waits until there is room for this answer.
async fn json(
    request: &HttpRequest,
    shared: &Shared,
    client: Client,
    _turn: Turn,
    answer: &impl serde::Serialize,
) -> HttpResponse {
    if *request.method() == Method::HEAD {
        return outgoing::builder(StatusCode::OK).finish();
    }
    outgoing::json(request, shared, client, answer).await
}

fn incomplete(request: &HttpRequest) -> HttpResponse {
    let message = "the digests are not complete yet\nthis server is taking in its folder";
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "5", message)
}

fn failed(request: &HttpRequest, error: &StoreError) -> HttpResponse {
    tracing::error!("cannot compare digests: {error}");
    reply::error(
        request,
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("cannot compare digests\n{}", error.for_clients()),
    )
}
