//! `POST` and `DELETE /jwt/v1/accounts/<key>`: changes, and how refusals are worded.
//!
//! The first line of a refusal, and its status, are those of the Go servers; tools and people know them. The lines
//! after it say more: nsc prints the whole body to the person who pushed.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::bodies::{self, Body};
use super::route::Route;
use super::{Shared, client, propagation, reply, signing};
use crate::gate::Refusal;
use crate::key::AccountKey;
use crate::node::{CUTTING_OFF, Pushed, WriteError};

/// The largest body of a change, in bytes: the largest token, and some white space behind it.
const TOKEN: Bound =
    Bound { bytes: (1 << 20) + 4096, too_large: "a JWT has at most 1048576 bytes", bad: "bad JWT in request" };

/// Room for a body whose length is not known, to begin with, in bytes.
const STEP: usize = 16 << 10;

/// What is read of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// The largest one, in bytes.
    pub(super) bytes: usize,
    /// For people: how large one can be.
    pub(super) too_large: &'static str,
    /// The first line of the answer to one that cannot be read.
    pub(super) bad: &'static str,
}

pub(super) async fn post(request: &HttpRequest, payload: web::Payload, shared: &Shared, key: &str) -> HttpResponse {
    let (key, body) = match addressed(request, payload, shared, key).await {
        Ok(addressed) => addressed,
        Err(response) => return response,
    };
    let waiting = match propagation::waiting_here(request, shared) {
        Ok(waiting) => waiting,
        Err(response) => return response,
    };
    match shared.node.push(&body, &key, client::actor(request, shared)).await {
        Ok(Pushed::Taken(submitted)) if !submitted.changed && waiting.is_none() => {
            shared.limits.changed_nothing(client::address(request, shared));
            done()
        }
        Ok(Pushed::Taken(submitted)) => match waiting {
            Some(waiting) => propagation::pushed(request, shared, key, submitted.position.serial, waiting).await,
            None => done(),
        },
        Ok(Pushed::Pending(text)) => signing::pending(text),
        Err(WriteError::Sign(error)) => signing::failed(request, shared, &key, &error),
        Err(error) => failed(request, error),
    }
}

fn done() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

pub(super) async fn delete(request: &HttpRequest, payload: web::Payload, shared: &Shared, key: &str) -> HttpResponse {
    let (key, body) = match addressed(request, payload, shared, key).await {
        Ok(addressed) => addressed,
        Err(response) => return response,
    };
    let waiting = match propagation::waiting_here(request, shared) {
        Ok(waiting) => waiting,
        Err(response) => return response,
    };
    match shared.node.delete(&body, Some(&key), client::sender(request, shared)).await {
        Ok((tombstone, _)) => {
            let text = format!("deleted {} accounts\n{CUTTING_OFF}\n", tombstone.keys().len());
            match waiting {
                Some(waiting) => propagation::deleted(request, shared, key, text, waiting).await,
                None => reply::text(text),
            }
        }
        Err(error) => failed(request, error),
    }
}

/// The account and the body of a change.
pub(super) async fn addressed(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    key: &str,
) -> Result<(AccountKey, Body), HttpResponse> {
    let body = body(request, payload, shared).await?;
    let key = AccountKey::parse(key).map_err(|_| {
        let title = if *request.method() == Method::POST { "pub keys don't match\n" } else { "" };
        let message = format!("{title}the path does not end in a public account key");
        reply::error(request, StatusCode::BAD_REQUEST, &message)
    })?;
    Ok((key, body))
}

fn failed(request: &HttpRequest, error: WriteError) -> HttpResponse {
    not_written(request, Route::Account("").allow(false), error)
}

/// The answer to a change that was not made. `allow`: the methods of the route on a server that takes no changes.
pub(super) fn not_written(request: &HttpRequest, allow: &'static str, error: WriteError) -> HttpResponse {
    match error {
        WriteError::ReadOnly(_) | WriteError::Folder => reply::method_not_allowed(request, allow, &error.to_string()),
        WriteError::Refused(refusal) => {
            let (status, message) = worded(&refusal);
            reply::rejected(request, status, &message, refusal.reason())
        }
        WriteError::Failed(error) => reply::not_saved(request, "error saving JWT", &error),
        WriteError::Withholds { .. } => reply::rejected(request, StatusCode::CONFLICT, &error.to_string(), "withholds"),
        WriteError::Sign(_) => reply::error(request, StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// Status and text of a refusal.
pub(super) fn worded(refusal: &Refusal) -> (StatusCode, String) {
    let title = match refusal {
        Refusal::Decode(_) | Refusal::NotAJwt(_) => "bad JWT in request",
        Refusal::WrongAccount { .. } => "pub keys don't match",
        Refusal::IssuerKind { self_signed: true, .. } => "Signing service not enabled\nbad JWT Issuer in request",
        Refusal::IssuerKind { .. } => "Bad JWT Issuer in request",
        Refusal::SubjectKind(_) => "bad JWT Subject in request",
        Refusal::Untrusted(_) | Refusal::IdentityKeyUsed(_) | Refusal::NoOperator => "untrusted issuer in request",
        Refusal::Invalid(issues) => {
            return (StatusCode::BAD_REQUEST, validation(issues.told()));
        }
        Refusal::FromTheFuture { .. } => {
            return (StatusCode::BAD_REQUEST, validation([refusal.to_string()].into_iter()));
        }
        Refusal::DeleteNotSelfSigned
        | Refusal::DeleteUntrusted
        | Refusal::DeleteMalformed
        | Refusal::DeleteSystemAccount
        | Refusal::DeleteElsewhere(_) => {
            return (StatusCode::BAD_REQUEST, format!("delete accounts request failed - {refusal}"));
        }
        Refusal::Operator(refusal) if refusal.is_conflict() => return (StatusCode::CONFLICT, refusal.to_string()),
        Refusal::Operator(refusal) if refusal.reason() == "invalid" => "bad JWT in request",
        Refusal::Operator(_) => "untrusted issuer in request",
        // Not what this route is for.
        Refusal::Activation(_) => "bad JWT in request",
        Refusal::Older { .. }
        | Refusal::Replaced
        | Refusal::Tie(_)
        | Refusal::TieFromBefore(_)
        | Refusal::SecondFull(_)
        | Refusal::Deleted { .. }
        | Refusal::DeleteOlder { .. } => return (StatusCode::CONFLICT, refusal.to_string()),
    };
    (StatusCode::BAD_REQUEST, format!("{title}\n{refusal}"))
}

/// The Go servers' text, its slip of the pen included: scripts match it.
fn validation(issues: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut text =
        String::from("The server was unable to update your account JWT. One more more validation issues occurred.");
    for issue in issues {
        text.push_str("\n\t - ");
        text.push_str(issue.as_ref());
        text.push('\n');
    }
    text
}

/// Reads the body of a change.
pub(super) async fn body(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> Result<Body, HttpResponse> {
    bounded(request, payload, shared, TOKEN).await
}

/// Reads a body of bounded size in bounded time, if there is room for it.
pub(super) async fn bounded(
    request: &HttpRequest,
    mut payload: web::Payload,
    shared: &Shared,
    bound: Bound,
) -> Result<Body, HttpResponse> {
    let too_large = || {
        let message = format!("the body is too large\n{}", bound.too_large);
        // What follows of the body is not read, so the connection cannot be used again.
        let mut response = HttpResponse::PayloadTooLarge();
        reply::error_with(request, response.force_close(), StatusCode::PAYLOAD_TOO_LARGE, &message)
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bound.bytes) {
        return Err(too_large());
    }
    let first = announced.unwrap_or(STEP.min(bound.bytes));
    let Some(mut room) = shared.bodies.enter(client::address(request, shared), first) else {
        return Err(bodies::no_room(request));
    };
    let read = async {
        let mut body = Vec::with_capacity(first);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                reply::error(
                    request,
                    StatusCode::BAD_REQUEST,
                    &format!("{}\nthe body could not be read: {error}", bound.bad),
                )
            })?;
            let length = body.len() + chunk.len();
            if length > bound.bytes {
                return Err(too_large());
            }
            if length > room.bytes() {
                // As much again, so that a body is not copied often.
                let larger = length.max(2 * room.bytes()).min(bound.bytes);
                if !room.grow(larger - room.bytes()) {
                    return Err(bodies::no_room(request));
                }
                body.reserve_exact(larger - body.len());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: Bytes::from(body), _room: room })
    };
    if shared.read_timeout.is_zero() {
        return read.await;
    }
    tokio::time::timeout(shared.read_timeout, read)
        .await
        .unwrap_or_else(|_| Err(reply::error(request, StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")))
}
