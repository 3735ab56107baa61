//! The id of a request: by it, a line of a log here and one of the client's are about the same request.
//!
//! A client gives one with `X-Request-Id`, or with `traceparent` (W3C Trace Context), whose trace id then counts. Else this
//! server makes one for what may have to be found again: changes, and requests that are answered with an error. A GET that is
//! answered from memory costs nothing unless its client gave an id.

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage as _, HttpRequest};

use crate::key::seed;

/// The header with the id.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of W3C Trace Context.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest id, in bytes.
const LONGEST: usize = 128;

/// The id of a request, which is kept with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(Box<str>);

impl RequestId {
    fn made() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The one that a client gave, if it can be used.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let id = only(headers, &REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_usable(id));
        let trace = || trace_id(traceparent(headers)?.to_str().ok()?);
        let given = id.or_else(trace)?;
        Some(Self(given.into()))
    }
}

/// The id of a request: the given one, or a new one. It stays the same.
pub(super) fn of(request: &HttpRequest) -> Box<str> {
    if let Some(RequestId(id)) = request.extensions().get::<RequestId>() {
        return id.clone();
    }
    let made = RequestId::given(request.headers()).unwrap_or_else(RequestId::made);
    request.extensions_mut().insert(made.clone());
    made.0
}

/// The id that a request has so far.
pub(super) fn known(request: &HttpRequest) -> Option<Box<str>> {
    let known = request.extensions().get::<RequestId>().cloned();
    known.or_else(|| RequestId::given(request.headers())).map(|id| id.0)
}

/// Puts the ids of a request into its answer. `failed`: it is an error.
pub(super) fn echo(request: &HttpRequest, headers: &mut HeaderMap, failed: bool) {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let id = if failed || !reads { Some(of(request)) } else { known(request) };
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    if let Some(trace) = traceparent(request.headers()) {
        headers.insert(TRACEPARENT.clone(), trace.clone());
    }
}

/// The same for an answer from memory: most clients give no id.
pub(super) fn echo_given(request: &HttpRequest, headers: &mut HeaderMap) {
    if request.headers().contains_key(&REQUEST_ID) || request.headers().contains_key(&TRACEPARENT) {
        echo(request, headers, false);
    }
}

/// The headers by which a server upstream knows the request.
pub(super) fn to_pass(request: &HttpRequest) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = vec![("x-request-id", of(request).as_bytes().to_vec())];
    if let Some(trace) = traceparent(request.headers()) {
        headers.push(("traceparent", trace.as_bytes().to_vec()));
    }
    headers
}

/// The value of a header that came once. Of several values, none is better than the others.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Visible ASCII, without what ends a text in a log or in JSON. A private key is no id.
fn is_usable(id: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\');
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(is_fine) && !seed::is_in(id)
}

/// A `traceparent` that can be repeated. That of a later version has room for a private key.
fn traceparent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_fine = |text: &str| trace_id(text).is_some() && !seed::is_in(text);
    only(headers, &TRACEPARENT).filter(|value| value.to_str().is_ok_and(is_fine))
}

/// The trace id in a `traceparent`. Of a later version, only the beginning is known.
fn trace_id(text: &str) -> Option<&str> {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_id = |part: &str, length| part.len() == length && is_hex(part) && part.bytes().any(|byte| byte != b'0');
    if text.len() > LONGEST {
        return None;
    }
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_known =
        version.len() == 2 && is_hex(version) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_valid = is_known && is_id(trace, 32) && is_id(parent, 16) && flags.len() == 2 && is_hex(flags);
    is_valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn an_id_of_a_client_is_kept_if_it_can_be_used() {
        let private = crate::testkit::seed(&nkeys::KeyPair::new_account());
        let long = "x".repeat(129);
        for (id, usable) in [
            ("a", true),
            ("0193-AB/c_d.e:f=g", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a\\b", false),
            ("\u{e9}", false),
            (&private, false),
        ] {
            assert_eq!(is_usable(id), usable, "{id:?}");
            let request =
                TestRequest::get().insert_header((REQUEST_ID.clone(), HeaderValue::from_bytes(id.as_bytes()).unwrap()));
            let request = request.to_http_request();
            assert_eq!(&*of(&request) == id, usable, "{id:?}");
            assert_eq!(of(&request), of(&request), "it stays the same");
        }
    }

    #[test]
    fn a_trace_has_an_id() {
        for (text, wanted) in [
            (TRACE, Some("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", Some("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", None),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", None),
            ("CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", None),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            (&format!("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-{}", "x".repeat(128)), None),
            ("", None),
        ] {
            assert_eq!(trace_id(text), wanted, "{text}");
        }
        let request = TestRequest::get().insert_header((TRACEPARENT.clone(), TRACE)).to_http_request();
        assert_eq!(&*of(&request), "4bf92f3577b34da6a3ce929d0e0e4736");
        let both =
            TestRequest::get().insert_header((TRACEPARENT.clone(), TRACE)).insert_header((REQUEST_ID.clone(), "mine"));
        assert_eq!(&*of(&both.to_http_request()), "mine");
    }

    #[test]
    fn a_header_that_comes_twice_and_a_trace_with_a_private_key_count_as_not_given() {
        let later = TRACE.replacen("00", "cc", 1);
        let private = format!("{later}-{}", crate::testkit::seed(&nkeys::KeyPair::new_user()));
        for (given, id, trace) in [
            (&[("x-request-id", "a"), ("x-request-id", "b")][..], None, None),
            (&[("x-request-id", "a"), ("x-request-id", "a")], None, None),
            (&[("x-request-id", "a"), ("x-request-id", "b"), ("traceparent", TRACE)], Some(&TRACE[3..35]), Some(TRACE)),
            (&[("x-request-id", "a"), ("traceparent", TRACE), ("traceparent", &*later)], Some("a"), None),
            (&[("traceparent", TRACE), ("traceparent", TRACE)], None, None),
            (&[("traceparent", &*private)], None, None),
            (&[("x-request-id", "a,b"), ("traceparent", &*later)], Some("a,b"), Some(&*later)),
        ] {
            let request = given.iter().fold(TestRequest::get(), |request, header| request.append_header(*header));
            let request = request.to_http_request();
            assert_eq!(known(&request).as_deref(), id, "{given:?}");
            let mut headers = HeaderMap::new();
            echo_given(&request, &mut headers);
            let echoed = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap());
            assert_eq!((echoed(&REQUEST_ID), echoed(&TRACEPARENT)), (id, trace), "{given:?}");
            let passed = to_pass(&request).into_iter().find(|(name, _)| *name == "traceparent");
            assert_eq!(passed.map(|(_, value)| value), trace.map(|trace| trace.as_bytes().to_vec()), "{given:?}");
        }
    }

    #[test]
    fn only_changes_and_errors_get_an_id_that_nobody_gave() {
        let echoed = |request: TestRequest, failed| {
            let mut headers = HeaderMap::new();
            echo(&request.to_http_request(), &mut headers, failed);
            headers.get(&REQUEST_ID).map(|id| id.to_str().unwrap().to_owned())
        };
        assert_eq!(echoed(TestRequest::get(), false), None);
        for (request, failed) in
            [(TestRequest::get(), true), (TestRequest::post(), false), (TestRequest::delete(), false)]
        {
            assert_eq!(echoed(request, failed).unwrap().len(), 32);
        }
        assert_eq!(echoed(TestRequest::get().insert_header((REQUEST_ID.clone(), "mine")), false).unwrap(), "mine");
    }
}
