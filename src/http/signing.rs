//! How what came of asking a signing service is worded. The first lines are those of the Go server, where it had one.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, reply};
use crate::key::AccountKey;
use crate::node::{NoAnswer, SignError};

/// The signing service will see to it later; what it says is passed on as it is.
pub(super) fn pending(text: String) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header(reply::NOSNIFF)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

pub(super) fn failed(request: &HttpRequest, shared: &Shared, key: &AccountKey, error: &SignError) -> HttpResponse {
    // The log says so for every client that is rejected.
    if !matches!(error, SignError::Issuer { .. })
        && let Some(held_back) = shared.failure("signing")
    {
        tracing::warn!(account = %key, "the JWT of {} could not be signed: {error}{held_back}", shared.node.called(key));
    }
    let (status, message) = match error {
        SignError::Issuer { held: false, .. } => {
            (StatusCode::BAD_REQUEST, format!("bad JWT Issuer/Subject pair in request\n{error}"))
        }
        SignError::Issuer { held: true, .. } => {
            (StatusCode::BAD_REQUEST, format!("bad JWT issuer is not trusted\n{error}"))
        }
        SignError::Busy => {
            let message = format!(
                "too many JWTs wait for the signing service\n{error}; nothing was changed, try \
                 again"
            );
            return reply::crowded(request, "signing", "1", &message);
        }
        SignError::NoAnswer(why) => (StatusCode::INTERNAL_SERVER_ERROR, unanswered(why)),
        SignError::Unreadable(_) | SignError::Wrong(_) => (
            StatusCode::BAD_GATEWAY,
            format!(
                "the signing service gave no usable answer\n{error}\nnothing was changed; the fault is in the \
                 signing service"
            ),
        ),
    };
    reply::error(request, status, &message)
}

fn unanswered(why: &NoAnswer) -> String {
    const FAILURE: &str = "Failure during signature request.";
    match why {
        NoAnswer::NotConnected => {
            format!("{FAILURE} nats-server unavailable.\n{why} at the moment; nothing was changed, try again later")
        }
        NoAnswer::TimedOut(_) => format!(
            "{FAILURE} signing service unavailable.\n{why}; nothing was changed here, but the signing service may have seen \
             the request"
        ),
        NoAnswer::Failed(error) => format!("{FAILURE} Try again at a later time. Error: {error}\nnothing was changed"),
    }
}
