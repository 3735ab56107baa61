//! Making tokens: for the command that signs delete requests, demonstrations and tests. A hosting server signs nothing.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha512_256};

/// The standard members in the order in which issuers write them.
const STANDARD: [&str; 8] = ["aud", "exp", "jti", "iat", "iss", "name", "nbf", "sub"];

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Claims are a JSON object.
    #[error("claims are no JSON object")]
    NotAnObject,
    /// The signer is a public key only.
    #[error("the signer has no private key")]
    NoSeed,
}

/// Signs claims as a version 2 token. `iss` becomes the signer, and `jti` the digest that the Go library computes.
pub fn sign(claims: &Value, signer: &nkeys::KeyPair) -> Result<String, SignError> {
    let mut rest = claims.as_object().ok_or(SignError::NotAnObject)?.clone();
    rest.insert("iss".to_owned(), signer.public_key().into());
    rest.remove("jti");
    let id = jti(&rest);
    let mut ordered = Map::new();
    for name in STANDARD {
        match rest.remove(name) {
            _ if name == "jti" => ordered.insert(name.to_owned(), id.clone().into()),
            Some(value) => ordered.insert(name.to_owned(), value),
            None => None,
        };
    }
    ordered.append(&mut rest);
    sign_payload(&go_json(&Value::Object(ordered)), signer)
}

/// Signs a raw payload, in a version 2 token. The payload is not checked.
pub fn sign_payload(payload: &str, signer: &nkeys::KeyPair) -> Result<String, SignError> {
    sign_parts(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#, payload, signer, false)
}

/// Signs a raw payload, in a version 1 token. The signature does not cover the header.
pub fn sign_payload_v1(payload: &str, signer: &nkeys::KeyPair) -> Result<String, SignError> {
    sign_parts(r#"{"typ":"jwt","alg":"ed25519"}"#, payload, signer, true)
}

fn sign_parts(header: &str, payload: &str, signer: &nkeys::KeyPair, bare: bool) -> Result<String, SignError> {
    let mut token =
        format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(payload.as_bytes()));
    let start = if bare { token.find('.').map_or(0, |dot| dot + 1) } else { 0 };
    let signature = signer.sign(&token.as_bytes()[start..]).map_err(|_| SignError::NoSeed)?;
    token.push('.');
    token.push_str(&BASE64URL_NOPAD.encode(&signature));
    Ok(token)
}

/// The identifier that the Go library gives to claims: SHA-512/256 over the standard members without `jti`, in base32.
/// The body is not part of it.
pub fn jti(claims: &Map<String, Value>) -> String {
    let mut standard = Map::new();
    for name in STANDARD {
        match claims.get(name) {
            Some(value) if name != "jti" && value.as_str() != Some("") && value.as_i64() != Some(0) => {
                standard.insert(name.to_owned(), value.clone());
            }
            _ => (),
        }
    }
    BASE32_NOPAD.encode(&Sha512_256::digest(go_json(&Value::Object(standard))))
}

/// Compact JSON with the characters escaped that Go escapes for the sake of HTML.
fn go_json(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    for symbol in text.chars() {
        // These occur in strings only.
        match symbol {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
