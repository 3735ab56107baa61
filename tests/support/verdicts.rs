//! Our verdicts beside those of the Go library.
#![allow(unreachable_pub)]

use serde_json::Value;

/// Whether Go's own packages speak in this text, which need not be repeated word by word.
fn is_gos_own(text: &str) -> bool {
    ["json: ", "invalid character", "unexpected end of JSON input", "illegal base64 data", "panic: "]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Whether a token with this verdict is taken in, whatever the time.
pub fn is_accepted(verdict: &Value) -> bool {
    verdict["decode"] == "ok" && verdict["panicked"] == false && verdict["blocking_without_time"] == false
}

fn texts(verdict: &Value, sort: bool) -> Vec<String> {
    let mut texts: Vec<_> = verdict["issues"].as_array().unwrap().iter().map(ToString::to_string).collect();
    if sort {
        texts.sort();
    }
    texts
}

/// What differs between our verdict and the library's; None if they agree.
pub fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    if theirs["panicked"] == true {
        return is_accepted(ours).then(|| "accepted, but the library dies of it".to_owned());
    }
    let (our_decode, their_decode) = (ours["decode"].as_str().unwrap(), theirs["decode"].as_str().unwrap());
    if our_decode != their_decode && !(is_gos_own(their_decode) && our_decode != "ok") {
        return Some(format!("decode: {our_decode:?} instead of {their_decode:?}"));
    }
    if their_decode != "ok" {
        return None;
    }
    let sort = theirs["any_order"] == true;
    let (own, expected) = (texts(ours, sort), texts(theirs, sort));
    if own != expected {
        return Some(format!("issues: {own:#?} instead of {expected:#?}"));
    }
    for member in
        ["sub", "iss", "iat", "exp", "nbf", "jti", "name", "version", "blocking_without_time", "blocking_with_time"]
    {
        if ours[member] != theirs[member] {
            return Some(format!("{member}: {} instead of {}", ours[member], theirs[member]));
        }
    }
    for member in ["did_sign", "hash_id", "operator_decode"] {
        if theirs.get(member).is_some() && ours[member] != theirs[member] {
            return Some(format!("{member}: {} instead of {}", ours[member], theirs[member]));
        }
    }
    None
}
