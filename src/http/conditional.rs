//! `If-None-Match` (RFC 9110 §13.1.2).

use actix_web::HttpRequest;
use actix_web::http::header;

/// Whether the client has this version: one of its tags is ours (compared weakly), or it says `*`.
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
