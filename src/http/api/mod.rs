//! The API for people's tools: JSON under `/api/v1/`, described by `/api/v1/openapi.json` and `docs/api.md`.
//!
//! It only reads: what is posted to it is checked, and not stored. Times in claims (`iat`, `exp`) are unix seconds, times of this server unix milliseconds. Every refusal is a
//! problem document.

mod accounts;
mod activations;
mod ask;
mod audit;
mod check;
mod given;
mod openapi;
mod operator;
mod refused;
mod route;
mod shown;
mod status;
mod versions;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::timeout;

use super::digests::TURN;
use super::peer::Client;
use super::turns::Turn;
use super::{Shared, caching, reply};
use crate::node::Upstream;

pub(super) use route::ApiRoute;

use ask::Ask;
use refused::Refused;

/// The answer to `GET` and `HEAD`.
pub(super) async fn get(request: &HttpRequest, shared: &Shared, route: ApiRoute<'_>) -> HttpResponse {
    let answered = match route {
        // It is only posted to.
        ApiRoute::Check => return reply::not_found(request),
        ApiRoute::Accounts => accounts::list(request, shared).await,
        ApiRoute::Account(key) => accounts::one(request, shared, key).await,
        ApiRoute::Versions(key) => versions::list(request, shared, key).await,
        ApiRoute::Version(key, serial) => versions::one(request, shared, key, serial).await,
        ApiRoute::Diff(key) => versions::diff(request, shared, key).await,
        ApiRoute::Activations => activations::list(request, shared).await,
        ApiRoute::Operator => operator::get(request, shared).await,
        ApiRoute::Replicas => status::replicas(request, shared).await,
        ApiRoute::Servers => servers(request, shared).await,
        ApiRoute::Status => status::get(request, shared).await,
        ApiRoute::Audit => audit::get(request, shared).await,
        ApiRoute::OpenApi => openapi::get(request, shared).await,
    };
    aged(shared, answered.unwrap_or_else(|refused| refused.respond(request)))
}

/// The answer to `POST /api/v1/check`.
pub(super) async fn check(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> HttpResponse {
    let answered = check::post(request, payload, shared).await;
    aged(shared, answered.unwrap_or_else(|refused| refused.respond(request)))
}

/// Says how old the answers of a mirror are.
fn aged(shared: &Shared, mut response: HttpResponse) -> HttpResponse {
    caching::primary_age(response.headers_mut(), shared.node.upstream().and_then(Upstream::primary_age));
    response
}

async fn servers(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    Ok(super::servers::get(request, shared).await)
}

/// A turn at what reads much.
async fn turn(request: &HttpRequest, shared: &Shared) -> Result<Turn, Refused> {
    match timeout(TURN, shared.scarce.lists.take(Client::of(request, shared), 1)).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(Refused::busy()),
    }
}
