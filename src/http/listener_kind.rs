//! What is served on which listener.

use actix_web::HttpRequest;

use super::query::Params;
use super::route::Route;

/// A kind of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// The only one: it serves everything.
    Sole,
    /// The one for nats-servers, replicas and clients, next to one for operators.
    Main,
    /// The one for operators.
    Admin,
}

impl ListenerKind {
    /// Whether a GET of an account is served here.
    pub(super) const fn has_accounts(self) -> bool {
        !matches!(self, Self::Admin)
    }

    /// Whether the answer of `/readyz` may list what was looked at.
    pub(super) const fn has_details(self) -> bool {
        !matches!(self, Self::Main)
    }

    /// Whether a route is served here.
    pub(super) fn has(self, request: &HttpRequest, route: &Route<'_>) -> bool {
        if matches!(route, Route::Healthz | Route::Livez | Route::Slash | Route::Server | Route::Unknown) {
            return true;
        }
        let is_for_operators = match route {
            Route::Metrics | Route::Api(_) => true,
            Route::Readyz => Params::of(request).has("verbose"),
            _ => false,
        };
        match self {
            Self::Sole => true,
            Self::Main => !is_for_operators,
            Self::Admin => is_for_operators || *route == Route::Readyz,
        }
    }
}
