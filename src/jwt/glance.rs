//! The unverified claims of a JWT, to name an account in a log line or in the reason for a rejection.

use data_encoding::BASE64URL_NOPAD;

use super::called::Called;
use super::claims::{Identifier, Registered};
use super::error::MAX_TOKEN_BYTES;
use super::{json, read};
use crate::key::AccountKey;

/// Reads the standard claims of a JWT, bare or with other text around it. It checks neither signature nor body. `None`:
/// there is no readable JWT, or the text is longer than any JWT.
pub fn glance(token: &[u8]) -> Option<Registered> {
    let text = std::str::from_utf8(token).ok().filter(|text| text.len() <= MAX_TOKEN_BYTES)?;
    let token = text.split_ascii_whitespace().find(|word| word.starts_with("eyJ") && word.contains('.'))?;
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1)?.as_bytes()).ok()?;
    read::read(&json::parse(&payload).ok()?).ok()
}

/// The kind of claims that a bare JWT says it has; empty if it says none. It checks neither signature nor body. `None`: it
/// cannot be read.
pub fn kind(token: &str) -> Option<String> {
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1)?.as_bytes()).ok()?;
    let claims: Identifier = read::read(&json::parse(&payload).ok()?).ok()?;
    Some(claims.kind().to_owned())
}

/// The account that a JWT says it is about, with the name that it gives it.
pub fn called(token: &[u8]) -> Option<Called> {
    let claims = glance(token)?;
    Some(Called::new(AccountKey::parse(&claims.sub).ok()?, claims.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("eyJhIjoxfQ.{}.c2ln", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    #[test]
    fn a_token_is_read_whatever_surrounds_it_and_whoever_signed_it() {
        let key = AccountKey::from_raw([7; 32]);
        let token = token(&format!(r#"{{"sub":"{key}","NAME":"app","iat":5,"nats":7}}"#));
        for text in [token.clone(), format!("{token}\n"), format!("---BEGIN---\n{token}\n---END---\n")] {
            let claims = glance(text.as_bytes()).expect("it can be read");
            assert_eq!((claims.sub, claims.name, claims.iat), (key.text(), "app".to_owned(), 5), "{text}");
            assert_eq!(called(text.as_bytes()).map(|called| *called.key()), Some(key));
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let large = "x".repeat(MAX_TOKEN_BYTES + 1);
        for text in ["", "eyJ", "eyJ.", "eyJ.!.x", "eyJ.e30", &token("[]"), &token("{"), &token(r#"{"sub":1}"#), &large]
        {
            assert!(called(text.as_bytes()).is_none(), "{}", &text[..text.len().min(50)]);
        }
        assert!(glance(&[0xff, 0xfe]).is_none());
        assert!(called(token(r#"{"sub":"x"}"#).as_bytes()).is_none(), "no account key");
    }
}
