//! Answers that are not tokens: texts, and errors in the form that the client understands.
//!
//! Errors are plain text, because nsc prints the body to the person at the terminal; a client that accepts JSON gets a
//! problem document (RFC 9457), and so does every client of the API, with a type and a code ([`super::problem`]).

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::json;

use super::problem::{self, Problem};
use super::{meant, request_id};
use crate::excerpt::excerpt_of;
use crate::key::seed;
use crate::node::StoreError;

/// The longest text of an error, in bytes. It may repeat some of what the client sent.
const MAX_ERROR: usize = 4096;

/// Why a request is rejected: it goes with the answer to where the log is told.
#[derive(Debug)]
pub(super) struct Rejection {
    /// One of a small fixed set; empty if the status says enough.
    pub(super) reason: &'static str,
    pub(super) text: String,
}

/// A request was turned away because all places for its kind were taken: it goes with the answer to where that is counted.
#[derive(Debug)]
pub(super) struct Shed(pub(super) &'static str);

const PROBLEM: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/problem+json");
const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain");
pub(super) const NOSNIFF: (header::HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// A text with status 200.
pub(super) fn text(body: impl Into<bytes::Bytes>) -> HttpResponse {
    HttpResponse::Ok().insert_header(TEXT).body(body.into())
}

/// An error. The first line of `message` says what happened, the rest why and what to do.
pub(super) fn error(request: &HttpRequest, status: StatusCode, message: &str) -> HttpResponse {
    error_with(request, &mut HttpResponseBuilder::new(status), status, message)
}

/// An error that carries further headers.
pub(super) fn error_with(
    request: &HttpRequest,
    response: &mut HttpResponseBuilder,
    status: StatusCode,
    message: &str,
) -> HttpResponse {
    reasoned(request, response, status, message, "")
}

/// An error that carries further headers, for one of the reasons for which requests of a kind are rejected.
pub(super) fn reasoned(
    request: &HttpRequest,
    response: &mut HttpResponseBuilder,
    status: StatusCode,
    message: &str,
    reason: &'static str,
) -> HttpResponse {
    let message = &*excerpt_of(&seed::redact(message), MAX_ERROR).to_string();
    let mut response = worded(request, response, status, message, reason);
    // That something is not there is no news.
    if status != StatusCode::NOT_FOUND {
        response.extensions_mut().insert(Rejection { reason, text: message.to_owned() });
    }
    response
}

/// An error, for one of the reasons for which requests of a kind are rejected.
pub(super) fn rejected(request: &HttpRequest, status: StatusCode, message: &str, reason: &'static str) -> HttpResponse {
    reasoned(request, &mut HttpResponseBuilder::new(status), status, message, reason)
}

/// Says for which reason an error is the answer.
pub(super) fn give_reason(response: &mut HttpResponse, reason: &'static str) {
    if let Some(why) = response.extensions_mut().get_mut::<Rejection>() {
        why.reason = reason;
    }
}

fn worded(
    request: &HttpRequest,
    response: &mut HttpResponseBuilder,
    status: StatusCode,
    message: &str,
    reason: &'static str,
) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if problem::is_api(request) {
        let mut problem = Problem::new(status, reason, message);
        problem.request_id = Some((*request_id::of(request)).into());
        return response.insert_header(PROBLEM).body(serde_json::to_string(&problem).unwrap_or_default());
    }
    if accepts_json(request) {
        let message = message.trim_end();
        let (title, detail) = message.split_once('\n').unwrap_or((message, ""));
        let mut problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
        problem["request_id"] = (*request_id::of(request)).into();
        if !detail.is_empty() {
            problem["detail"] = detail.trim().into();
        }
        return response.insert_header(PROBLEM).body(problem.to_string());
    }
    response.insert_header(TEXT).insert_header(NOSNIFF).body(format!("{message}\n"))
}

pub(super) fn not_found(request: &HttpRequest) -> HttpResponse {
    error(request, StatusCode::NOT_FOUND, &meant::hinted("404 page not found", request))
}

pub(super) fn method_not_allowed(request: &HttpRequest, allow: &'static str, message: &str) -> HttpResponse {
    let mut response = HttpResponse::MethodNotAllowed();
    error_with(request, response.insert_header((header::ALLOW, allow)), StatusCode::METHOD_NOT_ALLOWED, message)
}

/// Says when to come again.
pub(super) fn try_later(request: &HttpRequest, status: StatusCode, seconds: &str, message: &str) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(status);
    error_with(request, response.insert_header((header::RETRY_AFTER, seconds)), status, message)
}

/// One request too many of its kind: 503, which is counted under `kind`.
pub(super) fn crowded(request: &HttpRequest, kind: &'static str, seconds: &str, message: &str) -> HttpResponse {
    shed(try_later(request, StatusCode::SERVICE_UNAVAILABLE, seconds, message), kind)
}

/// Has an answer counted as one that turns a request away, under `kind`.
pub(super) fn shed(mut response: HttpResponse, kind: &'static str) -> HttpResponse {
    response.extensions_mut().insert(Shed(kind));
    response
}

/// A change that the store failed to make. `what` is the first line of the message.
pub(super) fn not_saved(request: &HttpRequest, what: &str, why: &StoreError) -> HttpResponse {
    let message = format!("{what}\n{}", why.for_clients());
    if why.is_importing() || why.is_unaudited() {
        return try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", &message);
    }
    let status = if why.is_full() { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::INTERNAL_SERVER_ERROR };
    error(request, status, &message)
}

/// Whether a client prefers JSON: it names a JSON type, which browsers and nsc do not.
pub(super) fn accepts_json(request: &HttpRequest) -> bool {
    request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused =
                parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            !refused && matches!(name, "application/json" | "application/problem+json" | "application/*")
        })
    })
}
