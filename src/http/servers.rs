//! `GET /api/v1/servers`: what each nats-server runs, compared with what is stored.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, reply};

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    if let Some(upstream) = shared.node.upstream() {
        let message = format!("only the primary compares nats-servers\nthe primary is {}", upstream.primary());
        return reply::rejected(request, StatusCode::NOT_FOUND, &message, "not_the_primary");
    }
    let node = shared.node.clone();
    match tokio::task::spawn_blocking(move || node.fleet_report()).await {
        Ok(Some(report)) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(&report),
        Ok(None) | Err(_) => {
            reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, "cannot tell what the nats-servers run")
        }
    }
}
