//! `POST /jwt/v1/activations`, and `GET` and `HEAD /jwt/v1/activations/<hash>`: what `nsc generate activation --push`
//! pushes, and importers fetch.
//!
//! Statuses and first lines are those of the Go server v0.8.4; the lines after them say why.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::query::Params;
use super::route::Route;
use super::{Shared, caching, client, mark, miss, notify, push, reply};
use crate::clock;
use crate::gate::{Activation, ActivationRefusal, Refusal, SentFor};
use crate::jwt::{self, HashId};
use crate::node::{ActivationAnswer, Again, WriteError};

pub(super) async fn post(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> HttpResponse {
    let body = match push::body(request, payload, shared).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match shared.node.submit_activation(&body, SentFor::ANY, client::sender(request, shared)).await {
        Ok(_) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish(),
        Err(WriteError::Refused(refusal)) => {
            let (status, message) = worded(&refusal);
            reply::rejected(request, status, &message, refusal.reason())
        }
        Err(WriteError::Failed(error)) => reply::not_saved(request, "error saving activation JWT", &error),
        Err(error) => reply::method_not_allowed(request, Route::Activations.allow(false), &error.to_string()),
    }
}

pub(super) async fn get(request: &HttpRequest, shared: &Shared, hash: &str) -> HttpResponse {
    let mut response = answered(request, shared, hash).await;
    caching::primary_age(response.headers_mut(), shared.node.primary_age());
    response
}

async fn answered(request: &HttpRequest, shared: &Shared, hash: &str) -> HttpResponse {
    let absent = |why: &str| reply::error(request, StatusCode::NOT_FOUND, format!("No Matching JWT\n{why}").trim_end());
    let Some(id) = HashId::parse(hash) else { return absent("the path does not end in an activation's hash") };
    if let Some(response) = miss::answer(request, shared, shared.node.miss_activation(&id), |_| absent("")) {
        return response;
    }
    if let Some(response) = mark::circle(request, shared) {
        return response;
    }
    let activation = match shared.node.activation(&id).await {
        Ok(ActivationAnswer::Served(activation)) => activation,
        Ok(ActivationAnswer::Refused(why)) => return absent(&why),
        Ok(ActivationAnswer::Absent) => return absent(""),
        Err(error) => {
            if !error.is_importing()
                && let Some(held_back) = shared.failure("activation")
            {
                tracing::warn!("cannot look up the activation {id}: {error}{held_back}");
            }
            let message = format!("error loading JWT\n{}", error.for_clients());
            return reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", &message);
        }
    };
    let params = Params::of(request);
    if params.is_true("text") {
        return reply::text(activation.token().clone());
    }
    if params.is_true("decode") {
        return match jwt::readable(activation.text()) {
            Ok(text) => reply::text(text),
            Err(error) => {
                let message = format!("error decoding claim\n{error}");
                reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
        };
    }
    if caching::none_match(request, activation.etag()) {
        return described(HttpResponse::new(StatusCode::NOT_MODIFIED), &activation);
    }
    let announced = match notify::announce(request, shared, &params, Again::Activation(id)) {
        Ok(announced) => announced,
        Err(response) => return response,
    };
    let mut response = described(HttpResponse::new(StatusCode::OK), &activation);
    announced.describe(response.headers_mut());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwt"));
    response.set_body(activation.token().clone()).map_into_boxed_body()
}

fn described(mut response: HttpResponse, activation: &Activation) -> HttpResponse {
    // Quotes and hexadecimal digits.
    let etag = HeaderValue::from_maybe_shared(activation.etag().clone()).unwrap_or(HeaderValue::from_static("\"\""));
    let cache_control = caching::cache_control(activation.exp(), clock::unix_seconds);
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
    response
}

/// Status and text of a refusal.
pub(super) fn worded(refusal: &Refusal) -> (StatusCode, String) {
    let title = match refusal {
        Refusal::Activation(refusal) => match refusal {
            ActivationRefusal::TooLarge(_) => {
                return (StatusCode::PAYLOAD_TOO_LARGE, format!("bad activation JWT in request\n{refusal}"));
            }
            ActivationRefusal::TooMany { .. } => {
                return (StatusCode::FORBIDDEN, format!("too many activations\n{refusal}"));
            }
            ActivationRefusal::Subject(_) => "bad activation JWT Subject in request",
            ActivationRefusal::Hash(_) | ActivationRefusal::OtherHash { .. } | ActivationRefusal::Unaddressed => {
                "bad activation hash in request"
            }
            ActivationRefusal::Expired => "bad activation JWT in request",
            ActivationRefusal::Issuer(_)
            | ActivationRefusal::OtherIssuer { .. }
            | ActivationRefusal::UnknownAccount(_)
            | ActivationRefusal::WithheldAccount { .. }
            | ActivationRefusal::NotVouched { .. }
            | ActivationRefusal::Revoked(_) => "bad activation JWT Issuer in request",
        },
        refusal if refusal.is_conflict() => return (StatusCode::CONFLICT, refusal.to_string()),
        _ => "bad activation JWT in request",
    };
    (StatusCode::BAD_REQUEST, format!("{title}\n{refusal}"))
}
