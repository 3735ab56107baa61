//! Limits and permissions of claims in words.

use super::shown::printable;
use crate::jwt;

/// Subjects of one list that are shown to people. The others are counted.
const SHOWN: usize = 8;

/// A limit of a number of things: -1 is unlimited.
pub(super) fn count(limit: i64) -> String {
    if limit < 0 { "unlimited".to_owned() } else { limit.to_string() }
}

/// A limit in bytes.
pub(super) fn bytes(limit: i64) -> String {
    if limit < 0 { "unlimited".to_owned() } else { jwt::size(limit) }
}

/// The subjects that are allowed and denied.
pub(super) fn subjects(allow: &[String], deny: &[String]) -> String {
    let allow = if allow.is_empty() { "everything".to_owned() } else { some(allow) };
    if deny.is_empty() { allow } else { format!("{allow}, but not {}", some(deny)) }
}

/// Some texts of a list.
pub(super) fn some(texts: &[String]) -> String {
    let mut shown: Vec<_> = texts.iter().take(SHOWN).map(|text| printable(text)).collect();
    if texts.len() > SHOWN {
        shown.push(format!("and {} more", texts.len() - SHOWN));
    }
    shown.join(", ")
}

/// How many messages, and for how long, a user may send to the reply subjects of requests.
pub(super) fn responses(max: i64, ttl: i64) -> String {
    // nats-server has defaults for 0.
    let messages = if max == 0 { 1 } else { max };
    let millis = if ttl == 0 { 120_000 } else { ttl / 1_000_000 };
    format!("messages {}, milliseconds {}", count(messages), count(millis))
}
