//! Which route a request is for.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::{ConnectionType, Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};

use super::writes::{self, Change};
use super::{
    Shared, Worker, account, activations, allow, changes, digests, health, history, operator, propagation, reply,
};

/// A route, with what the path says.
#[derive(Debug, PartialEq, Eq)]
enum Route<'p> {
    /// `/jwt/v1/accounts/`: nats-server asks for it at start and wants 200.
    Probe,
    /// `/jwt/v1/accounts/<key>`
    Account(&'p str),
    /// `/jwt/v1/accounts/<key>/history`
    History(&'p str),
    /// `/jwt/v1/accounts/<key>/propagation`
    Propagation(&'p str),
    /// `/jwt/v1/activations`
    Activations,
    /// `/jwt/v1/activations/<hash>`
    Activation(&'p str),
    Operator,
    Changes,
    Digests,
    Healthz,
    Livez,
    Readyz,
    Metrics,
    /// A known path with a slash too many.
    Slash,
    Unknown,
}

impl<'p> Route<'p> {
    fn of(path: &'p str) -> Self {
        if let Some(key) = path.strip_prefix("/jwt/v1/accounts/") {
            return match key.split_once('/') {
                None if key.is_empty() => Self::Probe,
                None => Self::Account(key),
                Some((before, "")) if !before.is_empty() => Self::Slash,
                Some((key, page)) => Self::page(key, page),
            };
        }
        if let Some(hash) = path.strip_prefix("/jwt/v1/activations/") {
            return match hash.split_once('/') {
                None if hash.is_empty() => Self::Slash,
                None => Self::Activation(hash),
                Some((before, "")) if !before.is_empty() => Self::Slash,
                Some(_) => Self::Unknown,
            };
        }
        match Self::exact(path) {
            // One slash too many, not any number of them: who sends thousands gets no further.
            Self::Unknown => match path.strip_suffix('/') {
                Some(rest) if Self::exact(rest) != Self::Unknown => Self::Slash,
                _ => Self::Unknown,
            },
            route => route,
        }
    }

    /// A page about an account.
    fn page(key: &'p str, page: &str) -> Self {
        match page {
            "history" if !key.is_empty() => Self::History(key),
            "propagation" if !key.is_empty() => Self::Propagation(key),
            _ => match page.strip_suffix('/') {
                Some(rest) if !rest.ends_with('/') && Self::page(key, rest) != Self::Unknown => Self::Slash,
                _ => Self::Unknown,
            },
        }
    }

    fn exact(path: &str) -> Self {
        match path {
            "/jwt/v1/accounts" => Self::Probe,
            "/jwt/v1/activations" => Self::Activations,
            "/jwt/v1/operator" => Self::Operator,
            "/jwt/v1/changes" => Self::Changes,
            "/jwt/v1/digests" => Self::Digests,
            "/healthz" => Self::Healthz,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            _ => Self::Unknown,
        }
    }

    /// The label in metrics.
    const fn label(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Account(_) => "account",
            Self::History(_) => "history",
            Self::Propagation(_) => "propagation",
            Self::Activations | Self::Activation(_) => "activation",
            Self::Operator => "operator",
            Self::Changes => "changes",
            Self::Digests => "digests",
            Self::Healthz | Self::Livez | Self::Readyz => "health",
            Self::Metrics => "metrics",
            Self::Slash | Self::Unknown => "other",
        }
    }
}

/// An answer that is there at once, or one that has to be waited for.
type Answered = Either<Ready<HttpResponse>, LocalBoxFuture<'static, HttpResponse>>;

/// Answers every request.
///
/// The hot path makes its answer here and now, so what the framework has to allocate and move for a request is small;
/// everything else is a future in a box.
pub(super) fn dispatch(request: HttpRequest, payload: web::Payload, worker: &Worker) -> Answered {
    if *request.method() == Method::GET
        && request.uri().query().is_none()
        && let Some(key) = request.uri().path().strip_prefix("/jwt/v1/accounts/")
    {
        let timed = is_sample().then(Instant::now);
        if let Some(response) = account::get_hot(&request, worker, key) {
            if let Some(started) = timed {
                worker.shared.node.metrics().get_duration.observe(started.elapsed().as_secs_f64());
            }
            return Either::Left(ready(parting(response, &worker.shared)));
        }
    }
    Either::Right(slow(request, payload, worker.shared.clone(), Instant::now()).boxed_local())
}

/// Whether to time this answer: one in 16 of those that are made at once. To read the clock twice would be a noticeable
/// part of the rest.
fn is_sample() -> bool {
    thread_local!(static COUNT: Cell<u8> = const { Cell::new(0) });
    COUNT.with(|count| {
        count.set(count.get().wrapping_add(1));
        count.get() % 16 == 0
    })
}

async fn slow(request: HttpRequest, payload: web::Payload, shared: Arc<Shared>, started: Instant) -> HttpResponse {
    let path = decoded(request.uri().path());
    let route = Route::of(&path);
    let response = counted(&request, payload, &shared, &route).await;
    let metrics = shared.node.metrics();
    let label = route.label();
    metrics.http_requests.with_label_values(&[label, response.status().as_str()]).inc();
    metrics.http_duration.with_label_values(&[label]).observe(started.elapsed().as_secs_f64());
    tracing::debug!(status = response.status().as_u16(), "{} {}", request.method(), request.uri().path());
    parting(response, &shared)
}

/// Before the process ends, every answer ends its connection, so that the client comes back elsewhere. Who is found idle
/// at the end may be about to send a request. HTTP/2 has no such header; the framework leaves it out.
fn parting(mut response: HttpResponse, shared: &Shared) -> HttpResponse {
    if shared.node.is_leaving() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Answers, and keeps the request counted until its answer is sent, if requests are counted.
async fn counted(request: &HttpRequest, payload: web::Payload, shared: &Shared, route: &Route<'_>) -> HttpResponse {
    let Some(under_way) = &shared.under_way else { return answer(request, payload, shared, route).await };
    let Some(place) = under_way.enter(request) else {
        let message = "too many requests are under way on this connection";
        return reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", message);
    };
    place.until_sent(answer(request, payload, shared, route).await)
}

async fn answer(request: &HttpRequest, payload: web::Payload, shared: &Shared, route: &Route<'_>) -> HttpResponse {
    let method = request.method();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Slash => return moved(request),
        Route::Unknown => return reply::not_found(request),
        _ if *method == Method::OPTIONS => {
            return HttpResponse::Ok().insert_header((header::ALLOW, allow(route, shared))).finish();
        }
        Route::Account(key) if *method == Method::POST => {
            return writes::answer(request, payload, shared, Change::Push(key)).await;
        }
        Route::Account(key) if *method == Method::DELETE => {
            return writes::answer(request, payload, shared, Change::Delete(key)).await;
        }
        Route::Activations if *method == Method::POST => {
            return writes::answer(request, payload, shared, Change::Activation).await;
        }
        Route::Digests if *method == Method::POST => return digests::compare(request, payload, shared).await,
        _ if !reads || *route == Route::Activations => {
            return reply::method_not_allowed(request, allow(route, shared), "Method Not Allowed");
        }
        _ => {}
    }
    match route {
        Route::Probe => account::probe(),
        Route::Account(key) => account::get(request, shared, key).await,
        Route::History(key) => history::get(request, shared, key).await,
        Route::Propagation(key) => propagation::get(request, shared, key).await,
        Route::Activation(hash) => activations::get(request, shared, hash).await,
        Route::Operator => operator::get(request, shared),
        Route::Changes => changes::get(request, shared).await,
        Route::Digests => digests::get(request, shared).await,
        Route::Healthz => health::healthz(),
        Route::Livez => health::livez(),
        Route::Readyz => health::readyz(request, shared),
        Route::Metrics => health::metrics(request, shared),
        Route::Activations | Route::Slash | Route::Unknown => reply::not_found(request),
    }
}

fn allow(route: &Route<'_>, shared: &Shared) -> &'static str {
    match route {
        Route::Activations => allow::activations(writes::are_taken(shared)),
        Route::Account(_) => allow::account(writes::are_taken(shared)),
        Route::Digests => allow::DIGESTS,
        _ => "GET, HEAD, OPTIONS",
    }
}

/// A slash too many: elsewhere, with the query. 307 keeps the method and the body of a write.
///
/// The target is the path as the client spelt it: a decoded line end has no place in a header.
fn moved(request: &HttpRequest) -> HttpResponse {
    let Some(path) = request.uri().path().strip_suffix('/') else { return reply::not_found(request) };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut response = if matches!(*request.method(), Method::GET | Method::HEAD) {
        HttpResponse::MovedPermanently()
    } else {
        HttpResponse::TemporaryRedirect()
    };
    response.insert_header((header::LOCATION, target)).finish()
}

/// The path with its percent escapes decoded. What does not decode to text matches no route anyway.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(path), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_routes() {
        for (path, route) in [
            ("/jwt/v1/accounts", Route::Probe),
            ("/jwt/v1/accounts/", Route::Probe),
            ("/jwt/v1/accounts/AB", Route::Account("AB")),
            ("/jwt/v1/accounts/AB/", Route::Slash),
            ("/jwt/v1/accounts/AB/CD", Route::Unknown),
            ("/jwt/v1/accounts/AB/history", Route::History("AB")),
            ("/jwt/v1/accounts/AB/history/", Route::Slash),
            ("/jwt/v1/accounts//history", Route::Unknown),
            ("/jwt/v1/accounts//", Route::Unknown),
            ("/jwt/v1/accounts/AB/propagation", Route::Propagation("AB")),
            ("/jwt/v1/accounts/AB/propagation/", Route::Slash),
            ("/jwt/v1/accounts/AB/propagation//", Route::Unknown),
            ("/jwt/v1/accounts//propagation", Route::Unknown),
            ("/jwt/v1/accounts//propagation/", Route::Unknown),
            ("/jwt/v1/activations", Route::Activations),
            ("/jwt/v1/activations/", Route::Slash),
            ("/jwt/v1/activations/AB====", Route::Activation("AB====")),
            ("/jwt/v1/activations/AB/", Route::Slash),
            ("/jwt/v1/activations/AB/CD", Route::Unknown),
            ("/jwt/v1/activations//", Route::Unknown),
            ("/jwt/v1/operator/", Route::Slash),
            ("/jwt/v1/digests", Route::Digests),
            ("/jwt/v1/digests/", Route::Slash),
            ("/jwt/v1/digests/ab", Route::Unknown),
            ("/jwt/v2/operator", Route::Unknown),
            ("/healthz", Route::Healthz),
            ("/healthz/", Route::Slash),
            ("/healthz//", Route::Unknown),
            ("/", Route::Unknown),
            ("//", Route::Unknown),
            (&"/".repeat(60_000), Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_are_left() {
        assert_eq!(decoded("/a%2Fb"), "/a/b");
        assert_eq!(decoded("/a%2"), "/a%2");
        assert_eq!(decoded("/a%zz%41"), "/a%zzA");
        assert_eq!(decoded("/%ff"), "/%ff");
    }
}
