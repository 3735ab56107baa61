//! `GET /jwt/v1/accounts/<key>/propagation`, and `wait` at a change: whether the nats-servers have it.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::query::Params;
use super::{Shared, door, reply};
use crate::config::parse_seconds;
use crate::key::AccountKey;
use crate::node::{AnnounceState, Propagation, StoreError};

/// The receipts in one line.
const RECEIPTS: HeaderName = HeaderName::from_static("nas-receipts");
/// The longest time that a change waits.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long a change waits for proof if its client does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// The header is not longer than this, about, in bytes: many proxies take 8 KiB for all headers.
const MAX_HEADER: usize = 4096;

pub(super) async fn get(request: &HttpRequest, shared: &Shared, key: &str) -> HttpResponse {
    let not_found = |message: &str| reply::error(request, StatusCode::NOT_FOUND, message);
    if let Some(upstream) = shared.node.upstream() {
        let primary = upstream.primary();
        return not_found(&format!("only the primary has receipts\nthe primary is {primary}"));
    }
    let key = match AccountKey::parse(key) {
        Ok(key) => key,
        Err(error) => return not_found(&format!("no matching account JWT\n{error}")),
    };
    let params = Params::of(request);
    let Ok(serial) = params.get("serial").map(str::parse).transpose() else {
        return reply::error(request, StatusCode::BAD_REQUEST, "bad serial parameter\na number is expected");
    };
    match shared.node.propagation(key, serial).await {
        Ok(Some(found)) if matches!(found.stand, AnnounceState::Unknown | AnnounceState::Superseded) => {
            let note = found.note.unwrap_or_default();
            not_found(&format!("no receipts of change {} of this account\n{note}", found.serial))
        }
        Ok(Some(found)) => json(&mut HttpResponse::Ok(), &found),
        Ok(None) => match serial {
            None => not_found("no matching account JWT"),
            Some(serial) => not_found(&format!("no matching change\nthis account has no change {serial}")),
        },
        Err(error) => failed(request, shared, &key, &error),
    }
}

/// What a client that makes a change waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitOptions {
    /// For how long at most.
    pub(super) limit: Duration,
    /// Whether the answer is an error if the change is not in force everywhere by then.
    pub(super) for_all: bool,
}

/// What a change waits for; `None`: for nothing.
pub(super) fn waiting(request: &HttpRequest) -> Result<Option<WaitOptions>, HttpResponse> {
    let params = Params::of(request);
    let bad = |message: &str| Err(reply::error(request, StatusCode::BAD_REQUEST, message));
    let for_all = match params.get("require") {
        None => false,
        Some("all") => true,
        Some(_) => return bad("bad require parameter\nall is expected; nothing was changed"),
    };
    let limit = match params.get("wait").map(parse_seconds) {
        None if for_all => DEFAULT_WAIT,
        None => return Ok(None),
        Some(Some(wait)) => wait.min(MAX_WAIT),
        Some(None) => {
            return bad("bad wait parameter\na time such as 2s or 500ms is expected; nothing was changed");
        }
    };
    Ok(Some(WaitOptions { limit, for_all }))
}

/// What a change waits for that is made here. Proof is refused before anything is changed where it can never come.
pub(super) fn waiting_here(request: &HttpRequest, shared: &Shared) -> Result<Option<WaitOptions>, HttpResponse> {
    let waiting = waiting(request)?;
    if waiting.is_some_and(|waiting| waiting.for_all)
        && let Some(why) = shared.node.never_proven()
    {
        let message = format!("require=all cannot be answered\n{why}; nothing was changed");
        return Err(reply::error(request, StatusCode::BAD_REQUEST, &message));
    }
    Ok(waiting)
}

/// Answers a push that waits for the receipts of what it brought.
pub(super) async fn pushed(
    request: &HttpRequest,
    shared: &Shared,
    key: AccountKey,
    serial: u64,
    waiting: WaitOptions,
) -> HttpResponse {
    let wait = async {
        if waiting.for_all {
            return shared.node.wait_until_in_force(key, serial, waiting.limit).await;
        }
        shared.node.wait_for_receipts(serial, waiting.limit).await;
        true
    };
    match door::while_allowed(request, shared, wait).await {
        Some(true) => {}
        Some(false) => return not_in_force(request, shared, key, Some(serial)).await,
        None => return withdrawn(request, waiting, String::new()),
    }
    with_receipts(request, shared, key, Some(serial), &mut HttpResponse::Ok(), String::new()).await
}

/// Answers a deletion, of which no nats-server is told, to a client that asked for receipts.
pub(super) async fn deleted(
    request: &HttpRequest,
    shared: &Shared,
    key: AccountKey,
    text: String,
    waiting: WaitOptions,
) -> HttpResponse {
    if waiting.for_all {
        match door::while_allowed(request, shared, shared.node.wait_until_deleted(key, waiting.limit)).await {
            Some(true) => {}
            Some(false) => return not_in_force(request, shared, key, None).await,
            None => return withdrawn(request, waiting, text),
        }
    }
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, "text/plain"));
    with_receipts(request, shared, key, None, &mut response, text).await
}

/// The change is durable, and its client may no longer ask what became of it.
fn withdrawn(request: &HttpRequest, waiting: WaitOptions, text: String) -> HttpResponse {
    if waiting.for_all {
        let message = "the change is durable, but not proven to be in force everywhere
its client lost the right to wait for that";
        return reply::error(request, StatusCode::GATEWAY_TIMEOUT, message);
    }
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store")).insert_header((RECEIPTS, "unknown")).body(text)
}

/// The change is durable, and not in force everywhere: a problem document, whatever the client accepts.
async fn not_in_force(request: &HttpRequest, shared: &Shared, key: AccountKey, serial: Option<u64>) -> HttpResponse {
    let found = shared.node.known_propagation(key, serial).await;
    if let Err(error) = &found {
        tracing::error!(account = %key, "cannot look up the receipts of {}: {error}", shared.node.called(&key));
    }
    let found = found.ok().flatten();
    let shown = found.as_ref().map_or_else(|| "unknown".into(), line);
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "the change is durable, but not proven to be in force everywhere",
        "status": StatusCode::GATEWAY_TIMEOUT.as_u16(),
        "detail": format!(
            "it is stored and will be delivered. Known so far: {shown}. Ask {}/propagation later",
            request.path()
        ),
        "propagation": found,
    });
    let mut response = HttpResponse::GatewayTimeout();
    if let Ok(line) = HeaderValue::try_from(shown) {
        response.insert_header((RECEIPTS, line));
    }
    response
        .insert_header((header::CONTENT_TYPE, "application/problem+json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(problem.to_string())
}

/// Adds the receipts to the answer to a change. The change is made, so what goes wrong here is no error.
async fn with_receipts(
    request: &HttpRequest,
    shared: &Shared,
    key: AccountKey,
    serial: Option<u64>,
    response: &mut HttpResponseBuilder,
    text: String,
) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    let found = shared.node.known_propagation(key, serial).await;
    if let Err(error) = &found {
        tracing::error!(account = %key, "cannot look up the receipts of {}: {error}", shared.node.called(&key));
    }
    let Ok(Some(found)) = found else {
        return response.insert_header((RECEIPTS, "unknown")).body(text);
    };
    // Nothing but visible ASCII.
    let line = HeaderValue::try_from(line(&found)).unwrap_or(HeaderValue::from_static("unknown"));
    response.insert_header((RECEIPTS, line));
    if reply::accepts_json(request) { json(response, &found) } else { response.body(text) }
}

fn json(response: &mut HttpResponseBuilder, found: &Propagation) -> HttpResponse {
    // Strings and numbers always have a JSON form.
    let body = serde_json::to_string(found).unwrap_or_default();
    response
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body)
}

fn failed(request: &HttpRequest, shared: &Shared, key: &AccountKey, error: &StoreError) -> HttpResponse {
    let message = format!("error loading receipts\n{}", error.for_clients());
    if error.is_importing() {
        return reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "1", &message);
    }
    tracing::error!(account = %key, "cannot look up the receipts of {}: {error}", shared.node.called(key));
    reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &message)
}

/// The receipts in one line: `n1=updated;1.8ms, n2=silent`, or one word if nothing was announced.
fn line(found: &Propagation) -> String {
    match found.stand {
        AnnounceState::Announced => {}
        AnnounceState::Pending => return "pending".into(),
        AnnounceState::Superseded => return "superseded".into(),
        AnnounceState::NotAnnounced => return "not-announced".into(),
        AnnounceState::NotConfigured => return "not-configured".into(),
        AnnounceState::Unknown => return "unknown".into(),
    }
    let answers = found
        .servers
        .iter()
        .map(|receipt| format!("{}={};{:.1}ms", escaped(&receipt.name), receipt.outcome, receipt.after_ms));
    let silent = found.silent.iter().map(|silent| format!("{}=silent", escaped(&silent.name)));
    // Those that have not answered come last, but are what somebody looks for: they are fitted in first.
    let (silent, missing) = fit(silent, MAX_HEADER / 2);
    let (answers, more) = fit(answers, MAX_HEADER - silent.len());
    let rest = if missing + more > 0 { format!("+{}", missing + more) } else { String::new() };
    let parts: Vec<String> = [answers, silent, rest].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

/// As many of the parts as have room, and how many have none.
fn fit(parts: impl Iterator<Item = String>, room: usize) -> (String, usize) {
    let (mut line, mut left) = (String::new(), 0);
    for part in parts {
        if left > 0 || line.len() + part.len() + 2 > room {
            left += 1;
            continue;
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&part);
    }
    (line, left)
}

/// A name with everything escaped, as in a URL, that could be taken for a part of the line.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{ServerReceipt, Silent};

    fn announced(names: &[&str], silent: &[&str]) -> Propagation {
        let servers = names.iter().map(|name| ServerReceipt {
            id: "N".into(),
            name: (*name).into(),
            outcome: "updated".into(),
            after_ms: 1.84,
            ..ServerReceipt::default()
        });
        let silent = silent.iter().map(|name| Silent { id: "N".into(), name: (*name).into() });
        Propagation {
            account: "A".into(),
            serial: 1,
            iat: 1,
            identity: String::new(),
            committed_at: 1,
            announced_at: Some(1),
            complete: false,
            compared_at: None,
            servers: servers.collect(),
            silent: silent.collect(),
            replicas_behind: Vec::new(),
            note: None,
            stand: AnnounceState::Announced,
            asked: None,
        }
    }

    #[test]
    fn receipts_fit_in_a_line() {
        assert_eq!(line(&announced(&["n1", "n-2.x_y"], &["n3"])), "n1=updated;1.8ms, n-2.x_y=updated;1.8ms, n3=silent");
        assert_eq!(line(&announced(&[], &[])), "none");
    }

    #[test]
    fn names_cannot_be_taken_for_anything_else() {
        let names = ["a=updated;1ms, b", "\r\nset-cookie: x=y", "über", "+5", ""];
        let line = line(&announced(&names, &[]));
        assert!(HeaderValue::try_from(&line).is_ok());
        let shown: Vec<&str> = line.split(", ").map(|part| part.split_once('=').expect("a part").0).collect();
        assert_eq!(shown, ["a%3Dupdated%3B1ms%2C%20b", "%0D%0Aset-cookie%3A%20x%3Dy", "%C3%BCber", "%2B5", ""]);
    }

    #[test]
    fn however_many_servers_there_are_the_line_has_its_bound_and_shows_the_silent_ones() {
        let names: Vec<String> = (0..1000).map(|number| format!("nats-server-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let line = line(&announced(&names, &["paused"]));
        assert!(line.len() < MAX_HEADER + 20, "{}", line.len());
        let left: usize = line.rsplit_once(", +").expect("the rest is counted").1.parse().expect("a number");
        assert_eq!(line.matches("=updated").count() + left, 1000);
        assert!(line.contains(", paused=silent, +"), "{line}");
    }
}
