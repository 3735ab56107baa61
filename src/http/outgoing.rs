//! Answers whose memory is bounded: they have a turn until the client has taken them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use tokio::time::timeout;

use super::follower_places::FollowerPlace;
use super::peer::Client;
use super::turns::{Chunk, Turn};
use super::{Shared, reply};

/// An answer that is no larger needs no turn: it is in the connection's buffer at once.
pub(super) const SMALL: usize = 16 << 10;
/// How long an answer that is ready waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that is sent as the client takes it.
pub(super) struct Outgoing {
    turn: Turn,
    length: u64,
    _place: Option<FollowerPlace>,
}

impl Outgoing {
    /// Sends bytes in this turn. `place`: what the client keeps until then.
    pub(super) fn body(turn: Turn, bytes: Bytes, place: Option<FollowerPlace>) -> BoxBody {
        let length = bytes.len() as u64;
        turn.hold(bytes);
        BoxBody::new(Self { turn, length, _place: place })
    }
}

impl MessageBody for Outgoing {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(match self.turn.chunk() {
            Chunk::Next(bytes) => Some(Ok(bytes)),
            Chunk::End => None,
            Chunk::Lost => Some(Err(std::io::Error::other("the client read too slowly while others waited"))),
        })
    }
}

/// Answers with JSON, when there is room for it.
pub(super) async fn json(
    request: &HttpRequest,
    shared: &Shared,
    client: Client,
    answer: &impl serde::Serialize,
) -> HttpResponse {
    // Plain structs of strings and numbers always have a JSON form.
    let text = Bytes::from(serde_json::to_vec(answer).unwrap_or_default());
    passed(request, shared, client, builder(StatusCode::OK).finish(), text).await
}

/// An answer with a body, when there is room for it.
pub(super) async fn passed(
    request: &HttpRequest,
    shared: &Shared,
    client: Client,
    head: HttpResponse,
    body: Bytes,
) -> HttpResponse {
    if body.len() <= SMALL {
        return head.set_body(BoxBody::new(body));
    }
    match timeout(PATIENCE, shared.scarce.sending.take(client, body.len())).await {
        Ok(Ok(turn)) => head.set_body(Outgoing::body(turn, body, None)),
        Ok(Err(_)) | Err(_) => busy(request),
    }
}

/// There is no room for the answer.
pub(super) fn busy(request: &HttpRequest) -> HttpResponse {
    let message = "too much is being sent to other clients\ntry again";
    reply::crowded(request, "answers", "2", message)
}

/// Begins an answer with JSON.
pub(super) fn builder(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((header::CACHE_CONTROL, "no-store")).insert_header(header::ContentType::json());
    response
}
