//! `/jwt/v1/followers`: replicas report who they are and up to where what they serve is current; people and tools read the list.
//! Specified in `docs/replication.md`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::push::{self, Bound};
use super::{Shared, client, reply};
use crate::excerpt::excerpt;
use crate::feed::wire::{FollowerReport, MAX_REPORT};
use crate::node::{ReportRefused, Turned};

const REPORT: Bound =
    Bound { bytes: MAX_REPORT, too_large: "a report has at most 8192 bytes", bad: "bad report of a replica" };

pub(super) fn get(shared: &Shared) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(shared.node.followers())
}

pub(super) async fn post(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> HttpResponse {
    let body = match push::bounded(request, payload, shared, REPORT).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let bad = |error: &dyn std::fmt::Display| {
        reply::error(request, StatusCode::BAD_REQUEST, &format!("{}\n{}", REPORT.bad, excerpt(&error.to_string())))
    };
    let said = match serde_json::from_slice::<FollowerReport>(&body) {
        Ok(report) => match report.parse() {
            Ok(said) => said,
            Err(error) => return bad(&error),
        },
        Err(error) => return bad(&error),
    };
    let address = client::address(request, shared).to_string();
    let name = said.name.clone();
    match shared.node.heard(said, address.clone()).await {
        Ok(()) => HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish(),
        Err(refused) => turned(request, shared, &refused, &name, &address),
    }
}

fn turned(request: &HttpRequest, shared: &Shared, refused: &ReportRefused, name: &str, address: &str) -> HttpResponse {
    match refused {
        ReportRefused::NoFeed => reply::error(request, StatusCode::NOT_FOUND, &refused.to_string()),
        ReportRefused::NotYet => reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", &refused.to_string()),
        ReportRefused::Turned(reason) => {
            let (label, status) = match reason {
                Turned::Full => ("full", StatusCode::SERVICE_UNAVAILABLE),
                Turned::SameId => ("same_id", StatusCode::CONFLICT),
            };
            shared.node.metrics().followers.rejected.inc([label]);
            if let Some(held_back) = shared.turned.turn(std::time::Instant::now()) {
                tracing::warn!("rejected the report of the replica {name} at {address}: {reason}{held_back}");
            }
            match reason {
                Turned::Full => reply::try_later(request, status, "60", &reason.to_string()),
                Turned::SameId => reply::error(request, status, &format!("{reason}\nwas its folder copied?")),
            }
        }
        ReportRefused::Store(error) => {
            if let Some(held_back) = shared.failure("position") {
                tracing::error!("cannot look up the position of a replica: {error}{held_back}");
            }
            let message = format!("cannot look up the position\n{}", error.for_clients());
            reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    }
}
