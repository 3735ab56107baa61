//! How old an answer is, and how long it may be kept by caches between us and a client.
//!
//! An account JWT can change at any time, and a change should be seen in seconds. So caches may use an answer for a few
//! seconds without asking, may go on using it for a while if we cannot be reached, and never beyond the token's expiry.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::feed::wire::PRIMARY_AGE_HEADER;
use crate::node::Ages;

const PRIMARY_AGE: HeaderName = HeaderName::from_static(PRIMARY_AGE_HEADER);

/// Seconds for which an answer is fresh.
const FRESH: i64 = 5;
/// Seconds for which it may be used when we fail.
const IF_ERROR: i64 = 3600;

const USUAL: HeaderValue = HeaderValue::from_static("max-age=5, stale-while-revalidate=5, stale-if-error=3600");
const USUAL_PRIVATE: HeaderValue =
    HeaderValue::from_static("private, max-age=5, stale-while-revalidate=5, stale-if-error=3600");

/// Keeps an answer out of caches that several clients share: another one may not have got it.
pub(super) fn make_private(headers: &mut HeaderMap) {
    let Some(value) = headers.get(header::CACHE_CONTROL) else { return };
    if *value == USUAL {
        headers.insert(header::CACHE_CONTROL, USUAL_PRIVATE);
    } else if let Ok(text) = value.to_str()
        && !text.contains("no-store")
        && let Ok(value) = HeaderValue::try_from(format!("private, {text}"))
    {
        headers.insert(header::CACHE_CONTROL, value);
    }
}

/// The value of `Cache-Control` for a token with this expiry, 0 for never. `now` gives unix seconds; most tokens never expire, and need no clock.
pub(super) fn cache_control(exp: i64, now: impl FnOnce() -> i64) -> HeaderValue {
    let left = if exp > 0 { exp.saturating_sub(now()) } else { i64::MAX };
    if left >= FRESH + IF_ERROR {
        return USUAL;
    }
    if left <= 0 {
        return HeaderValue::from_static("no-cache");
    }
    let fresh = left.min(FRESH);
    let stale = left - fresh;
    let text = format!("max-age={fresh}, stale-while-revalidate={}, stale-if-error={stale}", stale.min(FRESH));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-cache"))
}

/// `If-None-Match` (RFC 9110 §13.1.2). Whether the client has this version: one of its tags is ours (compared weakly), or it says `*`.
pub(super) fn none_match(request: &HttpRequest, etag: &[u8]) -> bool {
    request.headers().get_all(header::IF_NONE_MATCH).any(|value| matches(value.as_bytes(), etag))
}

fn matches(value: &[u8], etag: &[u8]) -> bool {
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return true;
    }
    // A list of `"…"` and `W/"…"`. A tag may hold a comma, so the quotes are what counts.
    while let Some(start) = rest.iter().position(|&byte| byte == b'"') {
        let Some(length) = rest[start + 1..].iter().position(|&byte| byte == b'"') else { return false };
        let end = start + 1 + length;
        if &rest[start..=end] == etag {
            return true;
        }
        rest = &rest[end + 1..];
    }
    false
}

/// How old a replica's answer is.
pub(super) fn ages(headers: &mut HeaderMap, ages: Ages) {
    headers.insert(header::AGE, seconds(ages.entry));
    primary_age(headers, ages.primary);
}

/// When a replica last heard its primary, in seconds. Nothing on a primary.
pub(super) fn primary_age(headers: &mut HeaderMap, age: Option<u64>) {
    if let Some(age) = age {
        headers.insert(PRIMARY_AGE, seconds(age));
    }
}

/// A number as it is nearly always, without making a text of it.
fn seconds(number: u64) -> HeaderValue {
    match number {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        2 => HeaderValue::from_static("2"),
        3 => HeaderValue::from_static("3"),
        4 => HeaderValue::from_static("4"),
        5 => HeaderValue::from_static("5"),
        number => HeaderValue::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn tags_are_compared_weakly_and_whole() {
        let etag = b"\"abc\"";
        for yes in ["\"abc\"", "W/\"abc\"", "*", " * ", "\"x\", \"abc\"", "\"x\",W/\"abc\"", "\"a,b\", \"abc\""] {
            assert!(matches(yes.as_bytes(), etag), "{yes}");
        }
        for no in ["", "abc", "\"abcd\"", "\"xabc\"", "\"x, abc\"", "\"abc", "\"a\"bc\"", "**", "\"*\""] {
            assert!(!matches(no.as_bytes(), etag), "{no}");
        }
    }
}
