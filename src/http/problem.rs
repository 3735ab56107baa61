//! The problem documents of the API (RFC 9457): each kind of refusal has a stable type and code.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::route::decoded;

/// Why a request is refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The kind of problem, a reference such as `/problems/bad-parameter`. It never changes.
    #[serde(rename = "type")]
    kind: String,
    /// The same in a word, as in metrics and logs where they have one.
    code: &'static str,
    /// The kind of problem for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The id of the request, as in the header `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

impl Problem {
    /// `code`: empty if the status says enough. `message`: in lines, the first of which says what happened.
    pub(super) fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        let code = if code.is_empty() { code_of(status) } else { code };
        let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
        Self {
            kind: format!("/problems/{}", code.replace('_', "-")),
            code,
            title: title(code, status),
            status: status.as_u16(),
            detail: lines.collect::<Vec<_>>().join(": "),
            request_id: None,
        }
    }
}

/// Whether a request is one of the API, all of whose errors are problem documents.
pub(super) fn is_api(request: &HttpRequest) -> bool {
    let path = decoded(request.uri().path());
    path == "/api/v1" || path.starts_with("/api/v1/")
}

/// The code of an error that has no reason of its own.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        413 => "too_large",
        414 => "uri_too_long",
        429 => "too_many_requests",
        503 => "unavailable",
        500.. => "internal",
        _ => "bad_request",
    }
}

fn title(code: &str, status: StatusCode) -> &'static str {
    match code {
        "bad_parameter" => "a parameter cannot be used",
        "bad_key" => "the path names no account",
        "unknown_account" => "there is no such account",
        "unknown_version" => "there is no such version of the account",
        "no_operator" => "no operator is configured",
        "not_the_primary" => "only the primary can answer",
        "cache" => "a cache does not store every account",
        "not_yet" => "this server does not store everything yet",
        "busy" => "too many requests are being answered",
        "private_key" => "the request has a private key in it",
        "no_jwt" => "the body has no JWT",
        "no_audit" => "there is no audit log",
        "bad_kind" => "a JWT of this kind cannot be checked",
        "too_large" => "the body is too large",
        "request_timeout" => "the body did not arrive in time",
        "not_found" => "there is nothing at this path",
        "method_not_allowed" => "the path does not allow this method",
        "no_credentials" => "the request needs credentials",
        "wrong_credentials" => "the credentials are wrong",
        "missing_scope" => "the credentials do not suffice",
        "locked_out" => "too many passwords were wrong",
        "passwords_busy" => "too many passwords wait to be verified",
        "too_many_requests" => "this client has sent too many requests",
        "unavailable" => "this server cannot answer now",
        "internal" => "this server has failed",
        _ => status.canonical_reason().unwrap_or("the request is refused"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn each_kind_has_its_type_and_a_detail_in_one_line() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_parameter", "a\n b \n\nc\n");
        let json = serde_json::to_value(&problem).expect("JSON");
        let expected = serde_json::json!({
            "type": "/problems/bad-parameter", "code": "bad_parameter", "title": "a parameter cannot be used",
            "status": 400, "detail": "a: b: c",
        });
        assert_eq!(json, expected);
        let code = |status| Problem::new(status, "", "x").code;
        assert_eq!(
            [404, 405, 500, 503, 507, 400].map(|status| code(StatusCode::from_u16(status).expect("a status"))),
            ["not_found", "method_not_allowed", "internal", "unavailable", "internal", "bad_request"]
        );
    }

    #[test]
    fn the_api_is_what_is_under_its_path() {
        for (path, is) in [
            ("/api/v1/accounts", true),
            ("/api/v1", true),
            ("/%61pi/v1/x", true),
            ("/api/v10/x", false),
            ("/jwt/v1/accounts", false),
        ] {
            assert_eq!(is_api(&TestRequest::with_uri(path).to_http_request()), is, "{path}");
        }
    }
}
