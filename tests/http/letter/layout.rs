//! What `decode=true` shows of a token without imports, made in another way than the server makes it.

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// Header and claims with an indentation of four, each followed by an empty line of CR and LF, and the signature.
pub(crate) fn readable(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let part = |text: &str| -> Value {
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
    };
    let header = format!("{{\n    \"typ\": {},\n    \"alg\": {}\n}}", part(parts[0])["typ"], part(parts[0])["alg"]);
    let claims: Vec<String> = pretty(&sorted(part(parts[1]))).lines().map(dated).collect();
    format!("{header}\n\r\n{}\n\r\n{}", claims.join("\n"), parts[2])
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            members.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "))).unwrap();
    String::from_utf8(text).unwrap()
}

/// The date behind a time, if a comma follows.
fn dated(line: &str) -> String {
    let time = line.trim_start().strip_prefix("\"iat\": ").or(line.trim_start().strip_prefix("\"exp\": "));
    match time.and_then(|time| time.strip_suffix(',')) {
        Some(time) => {
            let date = nats_account_server::calendar::utc_date(time.parse().unwrap());
            format!("{} ({date}),", line.trim_end_matches(','))
        }
        None => line.to_owned(),
    }
}
