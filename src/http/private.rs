//! Requests whose URL has a private key in it: rejected before anything is made of them, so that no answer, redirect or
//! request to a primary repeats it.

use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::reply;
use super::route::Route;
use crate::key::seed;
use crate::key::seed::DISCLOSED;

/// The label of the reason in logs.
const REASON: &str = "private_key";

/// The answer, if the path or the query has a private key in it. The status and the first line are those for any key that
/// is none.
pub(super) fn rejected(request: &HttpRequest, route: &Route<'_>) -> Option<HttpResponse> {
    let url = request.uri().path_and_query()?.as_str();
    if !seed::is_in(url) {
        return None;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, title) = match route {
        Route::Account(_) if reads => (StatusCode::NOT_FOUND, "no matching account JWT"),
        _ if reads => (StatusCode::NOT_FOUND, "404 page not found"),
        Route::Account(_) if *request.method() == Method::POST => (StatusCode::BAD_REQUEST, "pub keys don't match"),
        _ => (StatusCode::BAD_REQUEST, "bad request"),
    };
    let text = format!("{title}\nthe URL has a private key in it: {DISCLOSED}");
    let mut response = reply::rejected(request, status, &text, REASON);
    if !reads {
        // The body is not read, so the connection cannot be used again.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Some(response)
}
