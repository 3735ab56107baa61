//! Why a request of the API is refused.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::super::{Shared, reply};
use crate::api::NoVersion;
use crate::excerpt::excerpt;
use crate::key::AccountKey;
use crate::node::{LookupError, StoreError, TailError, Upstream};

/// The code of a refusal because too much is being read.
const BUSY: &str = "busy";

/// A refusal: it becomes a problem document.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    /// One of a small fixed set.
    code: &'static str,
    message: String,
    /// When to come again, seconds.
    retry: Option<&'static str>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry: None }
    }

    /// A parameter that cannot be used. `expected`: what can.
    pub(super) fn parameter(name: &str, found: &str, expected: &str) -> Self {
        let message = format!("the parameter {name} is {:?}\n{expected} is expected", excerpt(found).to_string());
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
    }

    /// Parameters that cannot be used for another reason.
    pub(super) fn parameters(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
    }

    /// Nothing is known of an account.
    pub(super) fn unknown_account(key: &AccountKey) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_account", format!("nothing is stored of account {key}"))
    }

    /// A version of an account that cannot be shown.
    pub(super) fn no_version(none: &NoVersion) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_version", none.to_string())
    }

    /// A body that cannot be used.
    pub(super) fn body(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// There is no operator.
    pub(super) fn no_operator() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_operator", "no operator is configured on this server")
    }

    /// There is no audit log.
    pub(super) fn no_audit() -> Self {
        let message = "no audit log is configured on this server\nset audit.path";
        Self::new(StatusCode::NOT_FOUND, "no_audit", message)
    }

    /// The audit log cannot be read.
    pub(super) fn audit(shared: &Shared, error: &TailError) -> Self {
        match error {
            TailError::Moved => Self::parameters(format!("the parameter cursor cannot be used\n{error}")),
            TailError::Io(error) => {
                if let Some(held_back) = shared.failure("audit") {
                    tracing::error!("cannot read the audit log: {error}{held_back}");
                }
                // The text may have the path of the file.
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the audit log cannot be read")
            }
        }
    }

    /// This is a replica, and only its primary knows.
    pub(super) fn not_the_primary(upstream: &dyn Upstream, what: &str) -> Self {
        let message = format!("only the primary {what}\nthe primary is {}", upstream.primary());
        Self::new(StatusCode::NOT_FOUND, "not_the_primary", message)
    }

    /// This is a cache.
    pub(super) fn cache(shared: &Shared) -> Self {
        let primary = shared.node.upstream().map(Upstream::primary).unwrap_or_default();
        let message = format!("a cache may lack accounts, and keeps no history\nask its primary, at {primary}");
        Self::new(StatusCode::NOT_FOUND, "cache", message)
    }

    /// Too many requests of this kind are being answered.
    pub(super) fn busy() -> Self {
        let message = "too many requests that read much are being answered\ntry again";
        Self { retry: Some("2"), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, BUSY, message) }
    }

    /// What is stored could not be looked up.
    pub(super) fn lookup(shared: &Shared, error: &LookupError) -> Self {
        if error.is_importing() {
            let message = format!("{}\ntry again", error.for_clients());
            return Self { retry: Some("1"), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_yet", message) };
        }
        if let Some(held_back) = shared.failure("api") {
            tracing::error!("cannot answer a request of the API: {error}{held_back}");
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.for_clients())
    }

    /// The journal failed.
    pub(super) fn store(shared: &Shared, error: StoreError) -> Self {
        Self::lookup(shared, &error.into())
    }

    /// A thread that was to answer is lost.
    pub(super) fn lost(shared: &Shared) -> Self {
        Self::store(shared, StoreError::Closed)
    }

    pub(super) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        if let Some(seconds) = self.retry {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        let mut response = reply::reasoned(request, &mut response, self.status, &self.message, self.code);
        if self.status.is_server_error() {
            // It is logged where it happens.
            reply::give_reason(&mut response, "");
        }
        if self.code == BUSY { reply::shed(response, "queries") } else { response }
    }
}

/// The account that a path names.
pub(super) fn account(key: &str) -> Result<AccountKey, Refused> {
    AccountKey::parse(key)
        .map_err(|error| Refused::new(StatusCode::NOT_FOUND, "bad_key", format!("the path names no account\n{error}")))
}
