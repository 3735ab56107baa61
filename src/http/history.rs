//! `GET /jwt/v1/accounts/<key>/history`: which versions an account had, and their texts.
//!
//! A replaced JWT is shown as text to people who look into what happened. It is never served as an account's JWT.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::query::Params;
use super::{Shared, caching, reply};
use crate::key::AccountKey;
use crate::node::{LookupError, OldText, StoredVersion, Upstream};

pub(super) async fn get(request: &HttpRequest, shared: &Shared, key: &str) -> HttpResponse {
    let key = match AccountKey::parse(key) {
        Ok(key) => key,
        Err(error) => {
            return reply::error(request, StatusCode::NOT_FOUND, &format!("no matching account JWT\n{error}"));
        }
    };
    match Params::of(request).get("serial").filter(|serial| !serial.is_empty()) {
        None => list(request, shared, &key).await,
        Some(serial) => match serial.parse() {
            Ok(serial) => text(request, shared, &key, serial).await,
            Err(_) => reply::error(
                request,
                StatusCode::BAD_REQUEST,
                "bad serial parameter\na serial of the history is expected",
            ),
        },
    }
}

async fn list(request: &HttpRequest, shared: &Shared, key: &AccountKey) -> HttpResponse {
    let history = match shared.node.history(key).await {
        Ok(Some(history)) => history,
        Ok(None) => return no_history(request),
        Err(error) => return failed(request, shared, key, &error),
    };
    if history.versions.is_empty() && !history.is_deleted {
        return reply::error(request, StatusCode::NOT_FOUND, "no matching account JWT");
    }
    let newest_first = history.versions.iter().rev().enumerate();
    let versions: Vec<Value> = newest_first.map(|(at, version)| shown(version, at == 0 && history.is_live)).collect();
    let mut history_of = json!({ "account": key.text(), "deleted": history.is_deleted, "versions": versions });
    if history.begins_after > 0 {
        history_of["floor"] = history.begins_after.into();
    }
    let response = HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(history_of);
    aged(response, shared)
}

fn shown(version: &StoredVersion, is_current: bool) -> Value {
    json!({
        // Upstream may not have ordered it yet.
        "serial": Some(version.serial).filter(|serial| *serial != 0),
        "current": is_current,
        "iat": version.iat,
        "exp": version.exp,
        "identity": data_encoding::HEXLOWER.encode(&version.identity),
        "at": version.at,
        "via": version.via.label(),
        // Of what came from another server, that one knows.
        "actor": version.actor.as_ref().map(|client| &client.address),
        "tls": version.actor.as_ref().and_then(|client| client.tls.as_deref()),
        "principal": version.actor.as_ref().and_then(|client| client.principal.as_deref()),
    })
}

async fn text(request: &HttpRequest, shared: &Shared, key: &AccountKey, serial: u64) -> HttpResponse {
    match shared.node.text_of(key, serial).await {
        Ok(Some(OldText::Kept(text))) => {
            let response = HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, "text/plain"))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .body(text);
            aged(response, shared)
        }
        Ok(Some(OldText::Unknown { begins_after })) => {
            let mut message = format!("no such version\nthe history of {key} does not hold serial {serial}");
            if serial <= begins_after {
                message.push_str(&format!(": the log of this server begins after serial {begins_after}"));
            }
            reply::error(request, StatusCode::NOT_FOUND, &message)
        }
        Ok(None) => no_history(request),
        Err(error) => failed(request, shared, key, &error),
    }
}

/// On a replica, when the primary was last heard.
fn aged(mut response: HttpResponse, shared: &Shared) -> HttpResponse {
    caching::primary_age(response.headers_mut(), shared.node.upstream().and_then(Upstream::primary_age));
    response
}

fn no_history(request: &HttpRequest) -> HttpResponse {
    reply::error(request, StatusCode::NOT_FOUND, "a cache keeps no history\nask its primary")
}

fn failed(request: &HttpRequest, shared: &Shared, key: &AccountKey, error: &LookupError) -> HttpResponse {
    if !error.is_importing()
        && let Some(held_back) = shared.failure("history")
    {
        tracing::warn!(account = %key, "cannot read the history of {}: {error}{held_back}", shared.node.called(key));
    }
    let message = format!("cannot read the history\n{}", error.for_clients());
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", &message)
}
