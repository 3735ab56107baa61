//! Changes that clients send: this server stores them, rejects them, redirects the client to the primary, or forwards them.

use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::route::Route;
use super::{Shared, activations, client, door, operator, propagation, push, reply, request_id};
use crate::access::Stated;
use crate::excerpt::MAX_EXCERPT;
use crate::gate::Refusal;
use crate::jwt::given;
use crate::node::{ForwardError, ForwardTarget, Relayed, Upstream, Write, WriteError, Writes};

/// The kind of change, as method and path say it.
#[derive(Debug, Clone, Copy)]
pub(super) enum WriteRoute<'p> {
    /// `POST /jwt/v1/accounts/<key>`
    Push(&'p str),
    /// `DELETE /jwt/v1/accounts/<key>`
    Delete(&'p str),
    /// `POST /jwt/v1/activations`
    Activation,
    /// `POST /jwt/v1/operator`
    Operator,
}

pub(super) async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    change: WriteRoute<'_>,
) -> HttpResponse {
    let address = client::address(request, shared);
    if let Err(too_many) = shared.limits.may_push(address) {
        // The body is not read, so the connection cannot be used again.
        let mut response = too_many.response(request, shared.node.metrics());
        response.head_mut().set_connection_type(ConnectionType::Close);
        return response;
    }
    let response = passed(request, payload, shared, change).await;
    if response.status().is_client_error() {
        shared.limits.changed_nothing(address);
    }
    response
}

async fn passed(request: &HttpRequest, payload: web::Payload, shared: &Shared, change: WriteRoute<'_>) -> HttpResponse {
    let count = |mode, outcome| shared.node.metrics().replica.writes.inc([mode, outcome]);
    match shared.node.writes() {
        Writes::Here => match change {
            WriteRoute::Push(key) => push::post(request, payload, shared, key).await,
            WriteRoute::Delete(key) => push::delete(request, payload, shared, key).await,
            WriteRoute::Activation => activations::post(request, payload, shared).await,
            WriteRoute::Operator => operator::post(request, payload, shared).await,
        },
        Writes::Refused(error) => {
            if matches!(error, WriteError::ReadOnly(_)) {
                count("refuse", "refused");
            }
            let allow = match change {
                WriteRoute::Push(_) | WriteRoute::Delete(_) => Route::Account("").allow(false),
                WriteRoute::Activation => Route::Activations.allow(false),
                WriteRoute::Operator => Route::Operator.allow(false),
            };
            reply::method_not_allowed(request, allow, &error.to_string())
        }
        Writes::Redirected(primary) => {
            count("redirect", "redirected");
            redirect(request, primary)
        }
        Writes::Forwarded(way) => match forward(request, payload, shared, change, way).await {
            Ok(response) | Err(response) => response,
        },
    }
}

/// Whether changes get anywhere from here.
pub(super) fn are_taken(shared: &Shared) -> bool {
    !matches!(shared.node.writes(), Writes::Refused(_))
}

/// 307 keeps the method and the body. The target is the path as the client spelt it: nothing decoded gets into a header.
fn redirect(request: &HttpRequest, primary: &str) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    if path.len() > MAX_EXCERPT {
        return reply::error(request, StatusCode::URI_TOO_LONG, "the path and its query are too long");
    }
    let target = format!("{primary}{path}");
    let message = format!("this server is a read-only replica\nsend it to its primary, at {target}");
    let mut response = HttpResponse::TemporaryRedirect();
    response.insert_header((header::LOCATION, target));
    reply::error_with(request, &mut response, StatusCode::TEMPORARY_REDIRECT, &message)
}

async fn forward(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    change: WriteRoute<'_>,
    way: &dyn Upstream,
) -> Result<HttpResponse, HttpResponse> {
    // A request that the primary would reject whatever its body is, is rejected here in the same words.
    let (target, body) = match change {
        WriteRoute::Push(key) | WriteRoute::Delete(key) => {
            let (key, body) = push::addressed(request, payload, shared, key).await?;
            (
                if *request.method() == Method::POST { ForwardTarget::Push(key) } else { ForwardTarget::Delete(key) },
                body,
            )
        }
        WriteRoute::Activation => (ForwardTarget::Activation, push::body(request, payload, shared).await?),
        WriteRoute::Operator => (ForwardTarget::Operator, push::body(request, payload, shared).await?),
    };
    // A private key goes no further.
    if let Err(found) = given(&body.bytes)
        && found.is_private()
    {
        return Err(push::not_written(request, "", Refusal::from(found).into()));
    }
    let wait = match target {
        ForwardTarget::Push(_) | ForwardTarget::Delete(_) => {
            propagation::waiting(request)?.map(|waiting| waiting.limit)
        }
        ForwardTarget::Activation | ForwardTarget::Operator | ForwardTarget::Digests | ForwardTarget::Comparison => {
            None
        }
    };
    let onward = door::onward(request, shared);
    let write = Write {
        target,
        query: request.uri().query().map(str::to_owned),
        headers: headers_to_pass(request, &onward).into_iter().chain(request_id::to_pass(request)).collect(),
        lends_credentials: onward.is_known_here,
        body: body.bytes.clone(),
        wait: wait.unwrap_or_default(),
    };
    Ok(match way.forward(&write).await {
        Ok(answer) => relayed(answer),
        Err(error) => {
            if let Some(held_back) = shared.failure("forwarding") {
                let request_id = &*request_id::of(request);
                tracing::warn!(request_id, "{target} could not be forwarded: {error}{held_back}");
            }
            failed(request, &error)
        }
    })
}

/// The headers that matter to the primary.
pub(super) fn headers_to_pass(request: &HttpRequest, onward: &door::Onward) -> Vec<(&'static str, Vec<u8>)> {
    let values =
        |name: &'static str| request.headers().get_all(name).map(move |value| (name, value.as_bytes().to_owned()));
    let stated = onward.on_behalf_of.as_ref().map(|value| (Stated::HEADER, value.clone().into_bytes()));
    Write::HEADERS.into_iter().flat_map(values).chain(stated).collect()
}

/// The primary's answer.
pub(super) fn relayed(answer: Relayed) -> HttpResponse {
    // A status that is none at all is no answer.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((header::CACHE_CONTROL, "no-store")).insert_header(reply::NOSNIFF);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&name[..]), HeaderValue::from_bytes(value)) {
            response.append_header((name, value));
        }
    }
    response.body(answer.body)
}

fn failed(request: &HttpRequest, error: &ForwardError) -> HttpResponse {
    const UNCHANGED: &str = "nothing was changed";
    const UNKNOWN: &str = "the change may or may not have arrived there; it is safe to send it again";
    let (status, title, state) = match error {
        ForwardError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many changes are being forwarded", UNCHANGED),
        ForwardError::Loop { .. } => {
            let message = format!(
                "the way to the primary leads through too many replicas, or in a circle\n{error}\n{UNCHANGED}; the \
                 setting primary must lead to a server that is no replica"
            );
            return reply::error(request, StatusCode::LOOP_DETECTED, &message);
        }
        ForwardError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "the primary cannot be reached", UNCHANGED),
        ForwardError::Lost { .. } => (StatusCode::BAD_GATEWAY, "the primary gave no usable answer", UNKNOWN),
        ForwardError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "the primary gave no answer in time", UNKNOWN),
    };
    let response = reply::try_later(request, status, "1", &format!("{title}\n{error}\n{state}"));
    if matches!(error, ForwardError::Busy(_)) { reply::shed(response, "forwards") } else { response }
}
