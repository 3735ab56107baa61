//! CORS: which web pages may let their scripts use this server. None, unless their origins are configured.
//!
//! Without it, a page in somebody's browser could read what that browser can reach and no stranger should. It is no
//! protection against other clients, and it never lets a page use a browser's credentials.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use crate::excerpt::MAX_EXCERPT;

/// Methods that a page may use.
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE];
/// Headers of answers that a page may read, besides those that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Age, Location, Retry-After, Nas-Receipts, Nas-Primary-Age, Nas-Announced, X-Request-Id",
);
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const ASKED: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// Whether a browser asks what a page may send, before it sends it.
pub(super) fn is_preflight(request: &HttpRequest) -> bool {
    *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whose scripts may use this server.
#[derive(Debug)]
pub(super) enum Cors {
    /// Those of every page.
    Any,
    /// Those of pages with these origins.
    These(Vec<HeaderValue>),
}

impl Cors {
    /// As configured; `None`: no origin's.
    pub(super) fn of(origins: &[String]) -> Option<Self> {
        if origins.iter().any(|origin| origin == "*") {
            return Some(Self::Any);
        }
        let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        (!origins.is_empty()).then_some(Self::These(origins))
    }

    /// The answer to what a browser asks before it sends a page's request, whatever the path.
    pub(super) fn preflight(&self, request: &HttpRequest) -> Option<HttpResponse> {
        if !is_preflight(request) {
            return None;
        }
        let method = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = HttpResponse::new(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(header::VARY, ASKED);
        if let Some(origin) = self.allowed(request)
            && METHODS.iter().any(|known| known.as_str().as_bytes() == method.as_bytes())
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            if let Some(names) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS)
                && names.len() <= MAX_EXCERPT
            {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
        }
        Some(response)
    }

    /// Tells a browser whether a page may read this answer, and caches whether it depends on who asked.
    pub(super) fn describe(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        if !METHODS.contains(request.method()) {
            return;
        }
        if matches!(self, Self::These(_)) {
            headers.append(header::VARY, ORIGIN);
        }
        if let Some(origin) = self.allowed(request) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// What to tell the page that asks; `None`: it may not, or no page asks.
    fn allowed(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::These(origins) => origins.iter().find(|known| *known == origin).cloned(),
        }
    }
}
