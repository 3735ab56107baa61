//! `GET` and `HEAD /jwt/v1/accounts/<key>`: what nats-servers, nsc and replicas ask for.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::query::Params;
use super::{Shared, Worker, caching, mark, miss, notify, reply};
use crate::clock;
use crate::feed::wire::{self, CONFIRMED_HEADER, POSITION_HEADER};
use crate::gate::Entry;
use crate::jwt;
use crate::key::AccountKey;
use crate::node::{Again, Answer, LookupError, Miss, Now};

const POSITION: HeaderName = HeaderName::from_static(POSITION_HEADER);
const CONFIRMED: HeaderName = HeaderName::from_static(CONFIRMED_HEADER);
const TOKEN: HeaderValue = HeaderValue::from_static("application/jwt");

/// The probe that nats-server sends at start: it wants 200, and looks at nothing else.
pub(super) fn probe() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"))
        .insert_header((header::PRAGMA, "no-cache"))
        .insert_header((header::EXPIRES, "0"))
        .finish()
}

/// How a GET of a JWT was answered, for what counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// From memory.
    Hit,
    /// A replica's copy that its primary did not confirm in time.
    Stale,
}

/// A plain GET of a JWT that is at hand. `None`: take the long way. The flag says whether the answer was in memory.
pub(super) fn get_hot(request: &HttpRequest, worker: &Worker, key: &AccountKey) -> Option<(HttpResponse, bool)> {
    let shared = &worker.shared;
    let metrics = shared.node.metrics();
    let answered = worker.cache.borrow_mut().respond(&shared.node, key, |answer, body| {
        if caching::none_match(request, answer.entry().etag()) {
            metrics.http.get_unchanged.inc();
            return unchanged(request, shared, answer);
        }
        metrics.http.get_found.inc();
        token(request, shared, answer, body.clone())
    });
    match answered {
        Ok(answered) => Some(answered),
        Err(miss) => {
            let response = miss::answer(request, shared, miss, absent)?;
            metrics.http.requests.inc(["GET", "account", response.status().as_str()]);
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                metrics.http.shed.inc(["lookups"]);
            }
            Some((response, false))
        }
    }
}

/// `GET` and `HEAD` with everything that they may ask for.
pub(super) async fn get(request: &HttpRequest, shared: &Shared, key: &str) -> HttpResponse {
    of_now(answered(request, shared, key).await, shared)
}

/// Says how old what this server knows is.
fn of_now(mut response: HttpResponse, shared: &Shared) -> HttpResponse {
    caching::primary_age(response.headers_mut(), shared.node.primary_age());
    response
}

fn absent(request: &HttpRequest) -> HttpResponse {
    reply::error(request, StatusCode::NOT_FOUND, "no matching account JWT")
}

async fn answered(request: &HttpRequest, shared: &Shared, key: &str) -> HttpResponse {
    let params = Params::of(request);
    if params.get("jti").is_some_and(|jti| !jti.is_empty()) {
        return reply::error(request, StatusCode::NOT_IMPLEMENTED, "lookup by jti is no longer supported");
    }
    // A key that cannot exist is answered before anything is looked up: it costs nothing and fills no cache.
    let key = match AccountKey::parse(key) {
        Ok(key) => key,
        Err(error) => {
            return reply::error(request, StatusCode::NOT_FOUND, &format!("no matching account JWT\n{error}"));
        }
    };
    let found;
    let answer = match shared.node.get_now(&key) {
        Some(answer) => {
            found = Some(Found::Hit);
            answer
        }
        // A plain GET was looked at before it came here.
        None if miss::hot_key(request).is_none()
            && let Now::Miss(miss @ Miss::AskUnknown { .. }) = shared.node.look_now(&key)
            && let Some(response) = miss::answer(request, shared, miss, absent) =>
        {
            return response;
        }
        None if let Some(response) = mark::circle(request, shared) => return response,
        None => match shared.node.get(&key).await {
            Ok(Some(answer)) => {
                found = (!shared.node.is_fresh(&answer)).then_some(Found::Stale);
                answer
            }
            Ok(None) => return absent(request),
            Err(LookupError::Withheld(withheld)) => {
                return reply::error(request, StatusCode::NOT_FOUND, &format!("no matching account JWT\n{withheld}"));
            }
            Err(error) => {
                log_failure(shared, &key, &error);
                return reply::try_later(
                    request,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "1",
                    &format!("error loading JWT\n{}", error.for_clients()),
                );
            }
        },
    };
    let mut response = given(request, shared, &params, key, &answer);
    if let Some(found) = found {
        response.extensions_mut().insert(found);
    }
    response
}

/// The JWT in the form that the client asks for.
fn given(request: &HttpRequest, shared: &Shared, params: &Params, key: AccountKey, answer: &Answer) -> HttpResponse {
    let entry = answer.entry();
    if params.is_true("text") {
        return reply::text(entry.token().clone());
    }
    if params.is_true("decode") {
        return match jwt::readable(entry.text()) {
            Ok(text) => reply::text(text),
            Err(error) => reply::error(
                request,
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("error decoding account claim\n{error}"),
            ),
        };
    }
    if params.is_true("check") && entry.is_expired(clock::unix_seconds()) {
        return HttpResponse::NotFound().insert_header((header::CACHE_CONTROL, "no-store")).finish();
    }
    if caching::none_match(request, entry.etag()) {
        return unchanged(request, shared, answer);
    }
    let announced = match notify::announce(request, shared, params, Again::Account(key)) {
        Ok(announced) => announced,
        Err(response) => return response,
    };
    let mut response = token(request, shared, answer, entry.token().clone());
    announced.describe(response.headers_mut());
    response
}

fn token(request: &HttpRequest, shared: &Shared, answer: &Answer, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::OK);
    describe(request, shared, answer, response.headers_mut());
    response.headers_mut().insert(header::CONTENT_TYPE, TOKEN);
    response.set_body(body).map_into_boxed_body()
}

/// 304 carries what a cache needs to go on using what it has.
fn unchanged(request: &HttpRequest, shared: &Shared, answer: &Answer) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    describe(request, shared, answer, response.headers_mut());
    response
}

fn describe(request: &HttpRequest, shared: &Shared, answer: &Answer, headers: &mut header::HeaderMap) {
    let entry = answer.entry();
    headers.insert(header::ETAG, etag(entry));
    headers.insert(header::CACHE_CONTROL, caching::cache_control(entry.exp(), clock::unix_seconds));
    if let Some(ages) = shared.node.ages(answer) {
        caching::ages(headers, ages);
    }
    if request.headers().contains_key(POSITION) {
        if let Some(position) = answer.position()
            && let Ok(value) = HeaderValue::try_from(wire::position_text(&position))
        {
            headers.insert(POSITION, value);
        }
        if shared.node.is_confirmed(answer) {
            headers.insert(CONFIRMED, HeaderValue::from_static("feed"));
        }
    }
}

fn etag(entry: &Entry) -> HeaderValue {
    // Quotes and hexadecimal digits.
    HeaderValue::from_maybe_shared(entry.etag().clone()).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Why a JWT could not be looked up. That the folder is imported, the log says already.
fn log_failure(shared: &Shared, key: &AccountKey, error: &LookupError) {
    let what = match error {
        error if error.is_importing() => return,
        LookupError::Unavailable(_) => "upstream",
        LookupError::Store(_) | LookupError::Withheld(_) | LookupError::NotYet(_) => "account",
    };
    if let Some(held_back) = shared.failure(what) {
        tracing::warn!(account = %key, "cannot look up the JWT of {}: {error}{held_back}", shared.node.called(key));
    }
}
