//! Health, readiness, metrics.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::query::Params;
use super::{ListenerKind, Shared, door, reply};
use crate::config::Scope;
use crate::key::seed;
use crate::node::Check;

/// Old probes: 200 as long as the process answers.
pub(super) fn healthz() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// The process lives. Says nothing about what it depends on: restarting it would not help those.
pub(super) fn livez() -> HttpResponse {
    reply::text("ok\n")
}

/// Whether to send requests here. `?verbose` lists what was looked at, and so does a server that is not ready, to a client that
/// may read it.
pub(super) fn readyz(request: &HttpRequest, shared: &Shared, listener: ListenerKind) -> HttpResponse {
    let checks = shared.node.checks();
    let ready = !checks.iter().any(Check::holds_up);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    let is_told = Params::of(request).has("verbose") || (!ready && door::may(request, Scope::List));
    if listener.has_details() && is_told {
        for check in &checks {
            let mark = if check.ok { '+' } else { '-' };
            text.push_str(&format!("[{mark}] {}: {}\n", check.name, check.detail));
        }
    }
    text.push_str(if ready { "ok\n" } else { "not ready\n" });
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/plain"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(seed::redact(&text).into_owned())
}

/// What Prometheus scrapes.
pub(super) fn metrics(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    shared.node.measure();
    let sending = i64::try_from(shared.scarce.sending.used()).unwrap_or(i64::MAX);
    shared.node.metrics().http.sending_bytes.set(sending);
    match shared.node.metrics().render() {
        Ok(text) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
            .body(text),
        Err(error) => {
            reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot render the metrics\n{error}"))
        }
    }
}
