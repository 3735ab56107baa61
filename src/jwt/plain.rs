//! The claims of a token as plain JSON, for tools.

use serde_json::{Map, Number, Value as Plain};

use super::claims::{Account, Registered};
use super::error::DecodeError;
use super::json::{self, Value};
use super::wire::{self, Body, Chunks, unbase64};

/// The claims of a token, with every member that they have. Nothing is verified.
pub fn plain(token: &str) -> Result<Plain, DecodeError> {
    let payload = unbase64(Chunks::split(token)?.payload)?;
    Ok(turned(json::parse(&payload)?))
}

/// Reads the claims of an account from what [`plain`] made of them. Nothing is verified.
pub fn account_of(claims: &Plain) -> Result<(Registered, Account), DecodeError> {
    match wire::claims(claims.to_string().as_bytes())? {
        (claims, Body::Account(account)) => Ok((claims, *account)),
        (_, other) => Err(DecodeError::Kind { wanted: "account", found: other.kind() }),
    }
}

fn turned(value: Value<'_>) -> Plain {
    match value {
        Value::Null => Plain::Null,
        Value::Bool(set) => Plain::Bool(set),
        // One that is too large for any number of JSON libraries stays a text.
        Value::Number(text) => text.parse::<Number>().map_or_else(|_| Plain::String(text.into_owned()), Plain::Number),
        Value::String(text) => Plain::String(text.into_owned()),
        Value::Array(items) => Plain::Array(items.into_iter().map(turned).collect()),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name.into_owned(), turned(value)));
            Plain::Object(members.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::json;

    use super::*;
    use crate::jwt::AccountJwt;
    use crate::testkit;

    #[test]
    fn the_claims_of_an_account_are_read_back_as_they_were() {
        let (operator, account) = (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account());
        let more = json!({ "name": "a\u{1}é", "nats": {
            "limits": { "conn": 7, "tiered_limits": { "R1": { "mem_storage": -1 } } },
            "imports": [null, { "subject": "a.>", "account": account.public_key(), "type": "stream" }],
            "signing_keys": [{ "kind": "user_scope", "key": account.public_key(), "role": "r", "template": { "subs": 5 } }],
            "revocations": { "*": 9 }, "unknown": [1.5, u64::MAX],
        } });
        let token = testkit::sign(&testkit::with(testkit::account(&account, 1), more), &operator);
        let jwt = AccountJwt::decode(&token).expect("decodes");
        let (claims, body) = account_of(&plain(&token).expect("plain")).expect("an account");
        assert_eq!((claims, body), (jwt.claims, jwt.body));
        let user = testkit::sign(&testkit::user(&nkeys::KeyPair::new_user(), 1), &account);
        let error = account_of(&plain(&user).expect("plain")).expect_err("a user");
        assert_eq!(error.to_string(), "not account claim");
    }

    #[test]
    fn claims_are_shown_as_they_are() {
        for (text, expected) in [
            (r#"{"a":1,"b":[true,null,"x"],"c":{}}"#, json!({ "a": 1, "b": [true, null, "x"], "c": {} })),
            (r#"{"a":-1.5,"big":18446744073709551615}"#, json!({ "a": -1.5, "big": u64::MAX })),
            (r#"{"a":1,"a":2}"#, json!({ "a": 2 })),
            (r#"{"a":1e999}"#, json!({ "a": "1e999" })),
            (r#"{"a":"\ud800"}"#, json!({ "a": "\u{fffd}" })),
        ] {
            let token = format!("x.{}.y", BASE64URL_NOPAD.encode(text.as_bytes()));
            assert_eq!(plain(&token), Ok(expected), "{text}");
        }
        for token in ["", "a.b", "a.!.c", "a.e30x.c"] {
            assert!(plain(token).is_err(), "{token}");
        }
    }
}
