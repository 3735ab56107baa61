//! Redirects to the path that was meant: one slash less, or another spelling.

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::{reply, route};
use crate::excerpt::MAX_EXCERPT;

/// A slash too many.
///
/// The target is the path as the client spelt it: a decoded line end has no place in a header.
pub(super) fn slash(request: &HttpRequest) -> HttpResponse {
    match request.uri().path().strip_suffix('/') {
        Some(path) => to(request, path),
        None => reply::not_found(request),
    }
}

/// A path, decoded, that leads nowhere.
pub(super) fn unknown(request: &HttpRequest, path: &str) -> HttpResponse {
    match route::meant(path) {
        Some(meant) => to(request, &meant),
        None => reply::not_found(request),
    }
}

/// Elsewhere, with the query. 307 keeps the method and the body of a write.
fn to(request: &HttpRequest, path: &str) -> HttpResponse {
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if target.len() > MAX_EXCERPT {
        return reply::error(request, StatusCode::URI_TOO_LONG, "the path is malformed, and too long to be corrected");
    }
    let Ok(location) = HeaderValue::from_bytes(target.as_bytes()) else { return reply::not_found(request) };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let status = if is_read { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    let mut response = HttpResponse::build(status);
    response.insert_header((header::LOCATION, location));
    if !is_read {
        return response.finish();
    }
    let body = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", escaped(&target));
    response.insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8")).insert_header(reply::NOSNIFF).body(body)
}

/// A text as it may stand in an attribute of HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            symbol => out.push(symbol),
        }
    }
    out
}
