//! `GET /jwt/v1/operator`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::query::Params;
use super::{Shared, reply};
use crate::jwt;

pub(super) fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let Some(trust) = shared.node.trust() else {
        return reply::error(
            request,
            StatusCode::NOT_FOUND,
            "404 page not found\nno operator is configured on this server",
        );
    };
    let params = Params::of(request);
    let token = trust.token().clone();
    if params.is_true("text") {
        return reply::text(token);
    }
    if params.is_true("decode") {
        return match jwt::readable(&String::from_utf8_lossy(&token)) {
            Ok(text) => reply::text(text),
            Err(error) => reply::error(
                request,
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("error decoding operator claim\n{error}"),
            ),
        };
    }
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/jwt")).body(token)
}
