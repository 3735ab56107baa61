//! `GET` and `POST /jwt/v1/operator`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::query::Params;
use super::route::Route;
use super::{Shared, client, door, push, reply};
use crate::config::Scope;
use crate::feed::wire::OperatorPage;
use crate::jwt;

pub(super) fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let Some(chain) = shared.node.operator_chain() else {
        return reply::error(
            request,
            StatusCode::NOT_FOUND,
            "404 page not found\nno operator is configured on this server",
        );
    };
    let params = Params::of(request);
    if params.is_true("chain") {
        return HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(OperatorPage::of(&chain));
    }
    let token = chain.in_force().token().clone();
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

pub(super) async fn post(request: &HttpRequest, payload: web::Payload, shared: &Shared) -> HttpResponse {
    let body = match push::body(request, payload, shared).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let withhold = match Params::of(request).get("withhold") {
        None => Ok(0),
        Some(text) => text.parse(),
    };
    let Ok(withhold) = withhold else {
        let message = "the parameter withhold is not a number of accounts";
        return reply::error(request, StatusCode::BAD_REQUEST, message);
    };
    let (is_admin, actor) = (door::may(request, Scope::Admin), client::actor(request, shared));
    match shared.node.push_operator(&body, withhold, is_admin, actor).await {
        Ok(change) => {
            let mut response = reply::text(format!("{change}\n"));
            response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => push::not_written(request, Route::Operator.allow(false), error),
    }
}
