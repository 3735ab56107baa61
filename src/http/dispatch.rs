//! Every request comes here, and goes to what answers its route.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::{ConnectionType, Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};

use super::account::Found;
use super::api::ApiRoute;
use super::places::{ConnectionPlace, ConnectionPlaces, InFlight};
use super::rejections::MAX_METHOD;
use super::reply::{Rejection, Shed};
use super::route::{Route, decoded};
use super::writes::{self, WriteRoute};
use super::{
    ListenerKind, Shared, Worker, account, activations, ahead, api, caching, changes, client, digests, door, followers,
    held, help, history, keys, mark, meant, miss, operator, pack, private, propagation, redirect, reply, request_id,
    status,
};
use crate::excerpt::{excerpt, excerpt_of};
use crate::metrics::HttpMetrics;

/// An answer that is there at once, or one that has to be waited for.
type Answered = Either<Ready<HttpResponse>, LocalBoxFuture<'static, HttpResponse>>;

/// Answers every request.
///
/// The hot path makes its answer here and now, so what the framework has to allocate and move for a request is small;
/// everything else is a future in a box.
pub(super) fn dispatch(request: HttpRequest, payload: web::Payload, worker: &Worker) -> Answered {
    if let Some(key) = miss::hot_key(&request)
        && worker.listener.has_accounts()
        && worker.door.borrow_mut().may_read(&request, &worker.shared)
    {
        let timed = is_sample().then(Instant::now);
        if let Some((mut response, is_hit)) = account::get_hot(&request, worker, &key) {
            if worker.door.borrow().is_private() {
                caching::make_private(response.headers_mut());
            }
            if let Some(cors) = &worker.shared.cors {
                cors.describe(&request, response.headers_mut());
            }
            let http = &worker.shared.node.metrics().http;
            let seconds = timed.map(|started| started.elapsed().as_secs_f64());
            if let Some(seconds) = seconds {
                http.get_duration.observe(seconds);
            }
            (if is_hit { &http.hit } else { &http.miss }).note(seconds);
            if failed(&response) {
                request_id::echo(&request, response.headers_mut(), true);
            } else {
                request_id::echo_given(&request, response.headers_mut());
            }
            log(&request, &worker.shared, response.status());
            worker.mark.put(response.headers_mut());
            return Either::Left(ready(parting(response, &worker.shared)));
        }
    }
    let in_flight = request.conn_data::<Rc<ConnectionPlace>>().map(ConnectionPlace::begin);
    Either::Right(
        slow(request, payload, (worker.shared.clone(), worker.listener), in_flight, Instant::now()).boxed_local(),
    )
}

/// Logs every request at the level DEBUG. Below it, this costs no more than a look at the level.
///
/// The query is left out: it may hold secrets.
fn log(request: &HttpRequest, shared: &Shared, status: StatusCode) {
    tracing::debug!(
        status = status.as_u16(),
        client = %client::address(request, shared),
        request_id = request_id::known(request).as_deref(),
        "{} {}",
        excerpt_of(request.method().as_str(), MAX_METHOD),
        excerpt(request.uri().path())
    );
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

/// `in_flight`: what says that the connection is not idle, until the answer is sent.
async fn slow(
    request: HttpRequest,
    payload: web::Payload,
    (shared, listener): (Arc<Shared>, ListenerKind),
    in_flight: Option<InFlight>,
    started: Instant,
) -> HttpResponse {
    let path = decoded(request.uri().path());
    let route = Route::of(&path);
    let mut response = match door::enter(&request, &shared, &route).await {
        Ok(guest) => {
            guest.keep(&request);
            let answer = answer(&request, payload, &shared, listener, &route);
            let response = guest.answered(&request, &shared, answer).await;
            guest.guarded(response, &shared.access)
        }
        Err(response) => response,
    };
    if let Some(cors) = &shared.cors {
        cors.describe(&request, response.headers_mut());
    }
    mark::name_upstream(response.headers_mut(), &shared.node);
    shared.mark.put(response.headers_mut());
    let failed = failed(&response);
    request_id::echo(&request, response.headers_mut(), failed);
    let label = route.label();
    let why = response.extensions_mut().remove::<Rejection>();
    if let Some(why) = why {
        shared.rejections.request(&request, &shared, label, response.status(), &why);
    }
    count(&request, &route, &mut response, &shared.node.metrics().http, started.elapsed().as_secs_f64());
    log(&request, &shared, response.status());
    held::until_sent(parting(response, &shared), in_flight)
}

/// Counts an answer that took the long way.
fn count(request: &HttpRequest, route: &Route<'_>, response: &mut HttpResponse, http: &HttpMetrics, seconds: f64) {
    let (method, label) = (method(request.method()), route.label());
    http.requests.inc([method, label, response.status().as_str()]);
    http.duration.of([method, label]).observe(seconds);
    let found = response.extensions_mut().remove::<Found>();
    if matches!(route, Route::Account(_)) && *request.method() == Method::GET {
        let outcome = if found == Some(Found::Hit) { &http.hit } else { http.waited(found == Some(Found::Stale)) };
        outcome.note(Some(seconds));
    }
    if let Some(Shed(kind)) = response.extensions_mut().remove::<Shed>() {
        http.shed.inc([kind]);
    }
}

/// The label of a method. A client can invent others.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn failed(response: &HttpResponse) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

/// Before the process ends, every answer ends its connection, so that the client moves elsewhere. A connection that is idle
/// at the end might be about to carry a request. While every place is taken, each answer makes room for another client.
fn parting(mut response: HttpResponse, shared: &Shared) -> HttpResponse {
    if shared.node.is_leaving() || ConnectionPlaces::are_full() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    listener: ListenerKind,
    route: &Route<'_>,
) -> HttpResponse {
    if let Some(response) = private::rejected(request, route) {
        return response;
    }
    if !listener.has(request, route) {
        return reply::not_found(request);
    }
    if let Some(response) = shared.cors.as_ref().and_then(|cors| cors.preflight(request)) {
        return response;
    }
    let method = request.method();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Slash => return redirect::slash(request),
        Route::Activation("") if !reads => return redirect::slash(request),
        Route::Unknown => return redirect::unknown(request, &decoded(request.uri().path())),
        _ if *method == Method::OPTIONS => {
            return HttpResponse::Ok().insert_header((header::ALLOW, route.allow(writes::are_taken(shared)))).finish();
        }
        Route::Account(key) if *method == Method::POST => {
            return writes::answer(request, payload, shared, WriteRoute::Push(key)).await;
        }
        Route::Account(key) if *method == Method::DELETE => {
            return writes::answer(request, payload, shared, WriteRoute::Delete(key)).await;
        }
        Route::Activations if *method == Method::POST => {
            return writes::answer(request, payload, shared, WriteRoute::Activation).await;
        }
        Route::Operator if *method == Method::POST => {
            return writes::answer(request, payload, shared, WriteRoute::Operator).await;
        }
        Route::Digests if *method == Method::POST => return digests::compare(request, payload, shared).await,
        Route::Followers if *method == Method::POST => return followers::post(request, payload, shared).await,
        Route::Api(ApiRoute::Check) if *method == Method::POST => return api::check(request, payload, shared).await,
        Route::Server => return reply::not_found(request),
        _ if !reads || matches!(route, Route::Activations | Route::Api(ApiRoute::Check)) => {
            let message = meant::hinted("Method Not Allowed", request);
            return reply::method_not_allowed(request, route.allow(writes::are_taken(shared)), &message);
        }
        _ => {}
    }
    if matches!(route, Route::Pack | Route::Keys)
        && let Err(too_many) = shared.limits.may_list(client::address(request, shared))
    {
        return too_many.response(request, shared.node.metrics());
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
        Route::Keys => keys::get(request, shared).await,
        Route::Followers => followers::get(shared),
        Route::Ahead => ahead::get(request, shared).await,
        Route::Api(route) => api::get(request, shared, *route).await,
        Route::Help => help::get(request, shared),
        Route::Pack => pack::get(request, shared).await,
        Route::Healthz => status::healthz(),
        Route::Livez => status::livez(),
        Route::Readyz => status::readyz(request, shared, listener),
        Route::Metrics => status::metrics(request, shared),
        Route::Activations | Route::Server | Route::Slash | Route::Unknown => reply::not_found(request),
    }
}
