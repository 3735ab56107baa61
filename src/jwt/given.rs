//! A JWT that a person gives: in a file, in the body of a push, in a setting.
//!
//! Editors and shells add a byte order mark, write UTF-16, wrap the JWT in quotes, and surround it with white space.
//! nsc writes it between two lines of dashes. None of that is part of a JWT. If the text is no JWT, the error says what
//! it is. Machines exchange bare JWTs, which this module does not read.

mod block;
mod not_a_jwt;

use std::borrow::Cow;

pub use not_a_jwt::NotAJwt;

use crate::key::PublicKey;
use crate::key::seed;

/// Finds the bare JWT in what a person gave. It does not verify the JWT.
///
/// The text is the JWT alone, or has exactly one block `-----BEGIN NATS … JWT-----`. A private key anywhere in it rejects
/// the whole.
pub fn given(bytes: &[u8]) -> Result<Cow<'_, str>, NotAJwt> {
    // Tools push only a JWT and a line end.
    if let Ok(text) = std::str::from_utf8(bytes.trim_ascii_end())
        && text.starts_with("ey")
        && is_token(text)
    {
        return Ok(Cow::Borrowed(text));
    }
    match text(bytes)? {
        Cow::Borrowed(text) => find(text).map(Cow::Borrowed),
        Cow::Owned(text) => find(&text).map(|jwt| Cow::Owned(jwt.to_owned())),
    }
}

fn find(text: &str) -> Result<&str, NotAJwt> {
    let whole = stripped(text);
    if whole.is_empty() {
        return Err(NotAJwt::Empty);
    }
    // A misspelt JWT is for the decoder, which says where the fault is.
    let is_one = is_token(whole) || (whole.starts_with("ey") && has_three_parts(whole) && is_one_word(whole));
    if is_one && (whole.starts_with("ey") || !seed::is_in(whole)) {
        return Ok(whole);
    }
    let blocks = block::find(text);
    if blocks.has_private_key || seed::is_in(&blocks.rest) {
        return Err(if blocks.count > 0 { NotAJwt::Creds } else { NotAJwt::PrivateKey(not_a_jwt::of_seed(whole)) });
    }
    match blocks.found.as_slice() {
        [jwt] if blocks.count == 1 && !blocks.rest.lines().any(|line| is_jwt(stripped(line))) => Ok(jwt),
        [] if blocks.count == 0 => Err(other(whole)),
        [] if blocks.count == 1 => Err(NotAJwt::Incomplete),
        _ => Err(NotAJwt::Several),
    }
}

/// The kind of a text without a JWT block.
fn other(whole: &str) -> NotAJwt {
    if let Ok(key) = PublicKey::parse(whole) {
        return NotAJwt::PublicKey(key.kind());
    }
    if let Some(label) = block::pem(whole) {
        return NotAJwt::Pem(label.to_owned());
    }
    match whole.lines().filter(|line| line.split('|').any(|part| is_jwt(stripped(part)))).count() {
        0 => {}
        1 => return NotAJwt::Surrounded,
        _ => return NotAJwt::Several,
    }
    let joined = || whole.chars().filter(|symbol| !symbol.is_whitespace()).collect::<String>();
    if whole.starts_with("ey") && !is_one_word(whole) && is_jwt(&joined()) {
        return NotAJwt::Broken;
    }
    let parts = whole.split('.').count();
    match whole.as_bytes()[0] {
        b'{' | b'[' => NotAJwt::Json,
        b'<' => NotAJwt::Html,
        b'e' if whole.starts_with("ey") && is_one_word(whole) => NotAJwt::Parts(parts),
        _ => NotAJwt::Text,
    }
}

/// Whether a line has nothing but the characters of a JWT, in three parts.
fn is_token(line: &str) -> bool {
    // Every JWT that a folder has comes through here. Without a way out of the loop, many bytes are compared at once.
    let may_be_in_one = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'_' | b'-' | b'.' | b'=');
    line.bytes().fold(true, |all, byte| all & may_be_in_one(byte)) && has_three_parts(line)
}

/// The same, and it begins as every JWT does: with the base64 of a JSON object.
fn is_jwt(line: &str) -> bool {
    line.starts_with("ey") && is_token(line)
}

fn has_three_parts(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn is_one_word(text: &str) -> bool {
    !text.contains(char::is_whitespace)
}

/// The text in the bytes of a file.
fn text(bytes: &[u8]) -> Result<Cow<'_, str>, NotAJwt> {
    let utf8 = |bytes| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Cow::Borrowed(text)),
        // Something else with a seed in it is still disclosed.
        _ if seed::is_in(&String::from_utf8_lossy(bytes)) => Err(NotAJwt::PrivateKey("")),
        _ => Err(NotAJwt::NotText),
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // A JWT is ASCII, so UTF-16 without a mark has a zero in every second byte.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, first, ..] if *first != 0 => utf16(bytes, u16::from_be_bytes),
        _ => utf8(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, NotAJwt> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotAJwt::NotText);
    }
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).map(Cow::Owned).map_err(|_| NotAJwt::NotText)
}

/// Without white space, quotes and byte order marks around it.
fn stripped(text: &str) -> &str {
    text.trim_matches(|symbol: char| symbol.is_whitespace() || matches!(symbol, '"' | '\'' | '\u{feff}'))
}

#[cfg(test)]
mod tests;
