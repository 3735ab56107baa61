//! Requests for what is not at hand: which of them are answered without asking for it.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, caching, client, reply};
use crate::key::AccountKey;
use crate::node::Miss;

/// The account of a plain GET of its JWT.
pub(super) fn hot_key(request: &HttpRequest) -> Option<AccountKey> {
    let is_plain = *request.method() == Method::GET && request.uri().query().is_none();
    let key = request.uri().path().strip_prefix("/jwt/v1/accounts/").filter(|_| is_plain)?;
    AccountKey::parse(key).ok()
}

/// The answer to a request for what is not at hand, if it can be given without asking for it. `absent`: the answer that
/// there is none.
pub(super) fn answer(
    request: &HttpRequest,
    shared: &Shared,
    miss: Miss,
    absent: impl FnOnce(&HttpRequest) -> HttpResponse,
) -> Option<HttpResponse> {
    let mut response = match miss {
        Miss::Ask => return None,
        Miss::AskUnknown { is_certain } => match shared.limits.may_ask(client::address(request, shared)) {
            Ok(()) => return None,
            Err(_) if is_certain => absent(request),
            Err(too_many) => too_many.response(request, shared.node.metrics()),
        },
        Miss::Absent => absent(request),
        Miss::Crowded => {
            let message = "error loading JWT\ntoo many requests for what is not cached here are under way";
            reply::crowded(request, "lookups", "1", message)
        }
    };
    caching::primary_age(response.headers_mut(), shared.node.primary_age());
    Some(response)
}
