//! Lines about what is rejected. Anybody can cause them, so each reason has a line once in a while, which tells how many it
//! stands for.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::StatusCode;

use super::reply::Rejection;
use super::{Shared, client, request_id};
use crate::excerpt::{excerpt, excerpt_of};
use crate::throttle::ThrottleBy;

/// The time between two lines for the same reason.
const EVERY: Duration = Duration::from_secs(10);
/// The longest method that is shown, in bytes.
pub(super) const MAX_METHOD: usize = 16;
/// The longest text of a line, in bytes.
const MAX_TEXT: usize = 512;

/// The lines of one server.
#[derive(Debug)]
pub(super) struct Rejections {
    connections: ThrottleBy<&'static str>,
    requests: ThrottleBy<(&'static str, u16, &'static str)>,
}

impl Default for Rejections {
    fn default() -> Self {
        Self { connections: ThrottleBy::every(EVERY), requests: ThrottleBy::every(EVERY) }
    }
}

impl Rejections {
    /// A connection that came to nothing.
    pub(super) fn connection(&self, client: IpAddr, reason: &'static str, problem: &dyn Display) {
        if let Some(held_back) = self.connections.turn(reason, Instant::now()) {
            tracing::warn!(client = %client, reason, "rejected a connection from {client}: {problem}{held_back}");
        }
    }

    /// A request that was answered with an error. If the server itself is to blame, other lines say so.
    pub(super) fn request(
        &self,
        request: &HttpRequest,
        shared: &Shared,
        route: &'static str,
        status: StatusCode,
        why: &Rejection,
    ) {
        if status.is_server_error() && why.reason.is_empty() {
            return;
        }
        let Some(held_back) = self.requests.turn((route, status.as_u16(), why.reason), Instant::now()) else { return };
        let client = client::address(request, shared);
        let text = why.text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ");
        tracing::warn!(
            path = %excerpt(request.uri().path()), client = %client, status = status.as_u16(), reason = why.reason,
            request_id = &*request_id::of(request),
            "rejected {} from {client}: {}{held_back}",
            excerpt_of(request.method().as_str(), MAX_METHOD), excerpt_of(&text, MAX_TEXT),
        );
    }
}
