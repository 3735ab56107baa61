//! The claims of a token as plain JSON, for tools.

use serde_json::{Map, Number, Value as Plain};

use super::error::DecodeError;
use super::json::{self, Value};
use super::wire::{Chunks, unbase64};

/// The claims of a token, with every member that they have. Nothing is verified.
pub fn plain(token: &str) -> Result<Plain, DecodeError> {
    let payload = unbase64(Chunks::split(token)?.payload)?;
    Ok(turned(json::parse(&payload)?))
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
