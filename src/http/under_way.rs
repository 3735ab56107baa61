//! Requests under way over HTTPS, counted.
//!
//! Over HTTPS clients may speak HTTP/2, whose connections the framework treats differently in two points. When the
//! server stops, it ends connections of HTTP/1 after the answer that they are at, but leaves those of HTTP/2 open until
//! the time for stopping is over, however idle they are; so it is found out here when nothing is under way any more. And
//! it bounds connections, but not the requests on one; so they are bounded here.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

/// Requests under way on one connection at most; a replica has up to 64 and its feed.
const PER_CONNECTION: usize = 256;
/// Nothing under way for so many looks in a row means that nothing comes any more, and that what was answered is sent.
const QUIET_LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(50);

/// The count of the whole server.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(Arc<AtomicUsize>);

/// The count of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct OnConnection(Rc<Cell<usize>>);

/// A request that is counted, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    server: UnderWay,
    connection: OnConnection,
}

impl UnderWay {
    /// Counts a request. `None`: its connection has too many.
    pub(super) fn enter(&self, request: &HttpRequest) -> Option<Place> {
        let connection = request.conn_data::<OnConnection>().cloned().unwrap_or_default();
        let count = connection.0.get();
        if count >= PER_CONNECTION {
            return None;
        }
        connection.0.set(count + 1);
        self.0.fetch_add(1, Ordering::AcqRel);
        Some(Place { server: self.clone(), connection })
    }

    /// Returns once nothing has been under way for a moment.
    pub async fn none(&self) {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            tokio::time::sleep(LOOK).await;
            quiet = if self.0.load(Ordering::Acquire) == 0 { quiet + 1 } else { 0 };
        }
    }
}

impl Place {
    /// Counts the request until its answer is sent.
    pub(super) fn until_sent(self, response: HttpResponse) -> HttpResponse {
        response.map_body(|_, body| BoxBody::new(Counted { body, _place: self }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.0.set(self.connection.0.get() - 1);
        self.server.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A body that is dropped when it is sent, or given up.
struct Counted {
    body: BoxBody,
    _place: Place,
}

impl MessageBody for Counted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
