//! `GET /jwt/v1/keys`: the fingerprints of all keys that exist. Specified in `docs/replication.md`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, reply};
use crate::feed::wire::{self, POSITION_HEADER};
use crate::node::NoKeyList;

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let list = match shared.node.key_list().await {
        Ok(list) => list,
        Err(error @ NoKeyList::NotYet) => {
            return reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "5", &error.to_string());
        }
        Err(error @ NoKeyList::TooMany) => return reply::error(request, StatusCode::NOT_FOUND, &error.to_string()),
        Err(NoKeyList::Store(error)) => {
            if let Some(held_back) = shared.failure("keys") {
                tracing::error!("cannot list keys: {error}{held_back}");
            }
            return reply::error(
                request,
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("cannot list keys\n{}", error.for_clients()),
            );
        }
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(reply::NOSNIFF)
        .insert_header((POSITION_HEADER, wire::position_text(&list.position)))
        .body(list.fingerprints)
}
