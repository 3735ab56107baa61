//! A body that keeps something until it is sent or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

/// Keeps `held` until the answer is sent, if that takes as long as there is something to send. A body that is at hand is
/// passed on at once, so there it is not kept.
pub(super) fn until_sent<H: 'static>(response: HttpResponse, held: H) -> HttpResponse {
    if !matches!(response.body().size(), BodySize::Stream) {
        return response;
    }
    response.map_body(|_, body| BoxBody::new(HoldingBody { body, _held: held }))
}

struct HoldingBody<H> {
    body: BoxBody,
    _held: H,
}

// The body is a box, and nothing is pinned in what is held.
impl<H> Unpin for HoldingBody<H> {}

impl<H: 'static> MessageBody for HoldingBody<H> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
