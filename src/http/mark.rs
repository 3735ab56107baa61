//! The mark by which others know an answer of a server of this kind, and the way that its answers take.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, reply};
use crate::feed::wire::{NAME_PREFIX, SERVER_HEADER, UPSTREAM_HEADER};
use crate::node::Node;

const SERVER: HeaderName = HeaderName::from_static(SERVER_HEADER);
const UPSTREAM: HeaderName = HeaderName::from_static(UPSTREAM_HEADER);

/// The mark of all answers. Each worker has its own, so that no two cores count who uses it.
#[derive(Debug)]
pub(super) struct ServerMark(HeaderValue);

impl ServerMark {
    pub(super) fn of(node: &Node) -> Self {
        Self(value(node.name()))
    }

    pub(super) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(SERVER, self.0.clone());
    }
}

/// Names the servers that this one asks. Answers from memory omit them, because they ask no server.
pub(super) fn name_upstream(headers: &mut HeaderMap, node: &Node) {
    if let Some(route) = node.route() {
        headers.insert(UPSTREAM, value(&route.join(", ")));
    }
}

/// The answer to a replica whose request would come back to it if this server asked upstream. `None`: it would not.
pub(super) fn circle(request: &HttpRequest, shared: &Shared) -> Option<HttpResponse> {
    let via = request.headers().get_all(header::VIA).filter_map(|value| value.to_str().ok());
    // The last one asks.
    let asker = via.flat_map(|via| via.split([' ', '\t', ','])).filter(|word| word.starts_with(NAME_PREFIX)).last()?;
    if !shared.node.leads_back_to(asker) {
        return None;
    }
    // 503 and not 508: a load balancer tries another server, which may be a primary. On this connection it would be this one.
    let message = "error loading JWT\nthe request would come back to the replica that sent it; on one of these \
         replicas, set primary to a server that is no replica";
    let mut response = HttpResponse::ServiceUnavailable();
    let response = response.insert_header((header::RETRY_AFTER, "1")).force_close();
    Some(reply::error_with(request, response, StatusCode::SERVICE_UNAVAILABLE, message))
}

/// What is not fit for a header was not made here.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}
