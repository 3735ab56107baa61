//! Sound claims with every member, and ways to spoil them.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::random::Random;
use super::tree::Tree;

/// Throwaway keys.
pub struct Keys {
    pub operator: KeyPair,
    pub account: KeyPair,
    pub other: KeyPair,
    pub user: KeyPair,
    pub server: KeyPair,
}

pub fn account(keys: &Keys, activation: &str) -> Value {
    let (own, other, user) = (keys.account.public_key(), keys.other.public_key(), keys.user.public_key());
    json!({
        "aud": "x", "exp": 4_102_444_800_i64, "jti": "ID", "iat": 1_700_000_000, "iss": keys.operator.public_key(),
        "name": "acme", "nbf": 1, "sub": own,
        "nats": {
            "imports": [
                {"name": "one", "subject": "a.*.b", "account": other, "local_subject": "c.$1", "type": "service", "share": true},
                {"subject": "d.>", "account": other, "to": "e.>", "type": "service"},
                {"subject": "f.>", "account": other, "type": "stream", "allow_trace": true, "token": activation}],
            "exports": [
                {"name": "out", "subject": "g.*.h", "type": "service", "response_type": "Chunked",
                 "response_threshold": 5, "service_latency": {"sampling": 50, "results": "lat"},
                 "account_token_position": 2, "allow_trace": true, "description": "d", "info_url": "https://h/x"},
                {"subject": "i", "type": "stream", "token_req": true, "revocations": {"*": 1}, "advertise": true}],
            "limits": {"subs": -1, "data": -1, "payload": -1, "imports": 5, "exports": 5, "wildcards": true,
                "disallow_bearer": true, "conn": -1, "leaf": 2, "mem_storage": 1, "disk_storage": 1, "streams": 1,
                "consumer": 1, "max_ack_pending": 1, "mem_max_stream_bytes": 1, "disk_max_stream_bytes": 1,
                "max_bytes_required": true, "tiered_limits": {"R1": {"mem_storage": 1, "disk_storage": -1}}},
            "signing_keys": [other, {"kind": "user_scope", "key": own, "role": "r", "description": "",
                "template": {"pub": {"allow": ["p"]}, "sub": {}, "resp": {"max": 1, "ttl": 2}, "src": ["10.0.0.0/8"],
                    "times": [{"start": "01:00:00", "end": "02:00:00"}], "times_location": "UTC", "subs": 1, "data": 2,
                    "payload": 3, "bearer_token": true, "proxy_required": false,
                    "allowed_connection_types": ["MQTT"]}}],
            "revocations": {user.clone(): 1},
            "default_permissions": {"pub": {"allow": ["p"], "deny": ["q"]}, "sub": {"allow": ["r s"], "deny": ["t"]},
                "resp": {"max": 1, "ttl": 0}},
            "mappings": {"m": [{"subject": "n", "weight": 50}, {"subject": "o", "weight": 60, "cluster": "c"}]},
            "authorization": {"auth_users": [user], "allowed_accounts": [other], "xkey": ""},
            "trace": {"dest": "t", "sampling": 5}, "cluster_traffic": "owner",
            "description": "d", "info_url": "http://h", "tags": ["t"], "type": "account", "version": 2}
    })
}

pub fn account_v1(keys: &Keys) -> Value {
    json!({
        "jti": "ID", "iat": 1_700_000_000, "iss": keys.operator.public_key(), "name": "old",
        "sub": keys.account.public_key(), "type": "account", "tags": ["t"],
        "nats": {
            "imports": [{"subject": "a.b", "account": keys.other.public_key(), "to": "c", "type": "service"}],
            "exports": [{"subject": "e.>", "type": "stream"}],
            "limits": {"subs": 1, "conn": 2, "imports": 3, "exports": -1, "wildcards": true},
            "identity": [], "signing_keys": [keys.other.public_key()], "revocations": {"*": 7}}
    })
}

pub fn operator(keys: &Keys) -> Value {
    json!({
        "exp": 4_102_444_800_i64, "jti": "ID", "iat": 1_700_000_000, "iss": keys.operator.public_key(), "name": "op",
        "sub": keys.operator.public_key(),
        "nats": {"signing_keys": [keys.operator.public_key()], "account_server_url": "https://h:1/jwt/v1",
            "operator_service_urls": ["nats://h:4222", "wss://h"], "system_account": keys.account.public_key(),
            "assert_server_version": "2.10.1", "strict_signing_key_usage": false, "tags": ["t"], "type": "operator",
            "version": 2}
    })
}

pub fn activation(keys: &Keys) -> Value {
    json!({
        "jti": "ID", "iat": 1_700_000_000, "iss": keys.other.public_key(), "name": "act", "nbf": 1,
        "sub": keys.account.public_key(),
        "nats": {"subject": "f.>", "kind": "stream", "issuer_account": keys.other.public_key(), "tags": ["t"],
            "type": "activation", "version": 2}
    })
}

pub fn user(keys: &Keys) -> Value {
    json!({
        "iat": 1_700_000_000, "iss": keys.account.public_key(), "sub": keys.user.public_key(),
        "nats": {"pub": {}, "sub": {}, "src": "10.0.0.0/8, ::/0", "times": [{"start": "1"}], "subs": -1, "data": -1,
            "payload": -1, "bearer_token": true, "issuer_account": "", "type": "user", "version": 2}
    })
}

pub fn request(keys: &Keys) -> Value {
    json!({
        "iat": 1_700_000_000, "iss": keys.server.public_key(), "sub": "s", "aud": "nats-authorization-request",
        "nats": {"server_id": {"name": "n", "host": "h", "id": "i", "tags": ["t"]}, "user_nkey": "U",
            "client_info": {"id": 1, "tags": []}, "connect_opts": {"protocol": 1},
            "client_tls": {"certs": ["c"], "verified_chains": [["c"]]}, "type": "authorization_request", "version": 2}
    })
}

pub fn deletion(keys: &Keys) -> Value {
    json!({
        "iat": 1_700_000_000, "iss": keys.operator.public_key(), "sub": keys.operator.public_key(), "type": "generic",
        "tags": ["t"], "version": 1, "nats": {"accounts": [keys.account.public_key()], "version": 2}
    })
}

/// Changes one place.
pub fn spoil(tree: &mut Tree, keys: &Keys, random: &mut Random) {
    let number = random.below(tree.size());
    match tree.nth(number) {
        Tree::Object(members) if !members.is_empty() && !random.once_in(12) => {
            let at = random.below(members.len());
            match random.below(8) {
                0 => {
                    members.remove(at);
                }
                1 => members.push(members[at].clone()),
                2 => members.push((members[at].0.clone(), Tree::Text("null".to_owned()))),
                3 => members[at].0 = respelt(&members[at].0, random),
                4 => {
                    let other = random.below(members.len());
                    members.swap(at, other);
                }
                5 => members.push((respelt(&members[at].0, random), members[at].1.clone())),
                6 => members.push((string(&word(keys, random)), value(&Tree::Text("0".to_owned()), keys, random))),
                _ => members[at].1 = value(&members[at].1, keys, random),
            }
        }
        Tree::List(items) if !items.is_empty() && !random.once_in(12) => {
            let at = random.below(items.len());
            match random.below(3) {
                0 => {
                    items.remove(at);
                }
                1 => items.push(items[at].clone()),
                _ => items[at] = value(&items[at], keys, random),
            }
        }
        other => *other = value(other, keys, random),
    }
}

/// The same name to Go, or nearly.
fn respelt(name: &str, random: &mut Random) -> String {
    match random.below(5) {
        0 => name.to_uppercase(),
        1 => name.replace('s', "\u{17F}"),
        2 => name.replace('k', "\u{212A}"),
        3 => name.replacen('e', "\\u0065", 1),
        _ => name.replace('_', "-"),
    }
}

/// Another value, mostly of the same JSON type: others rarely survive decoding.
fn value(old: &Tree, keys: &Keys, random: &mut Random) -> Tree {
    let text = match old.text().as_bytes() {
        [b'"', ..] if !random.once_in(25) => string(&word(keys, random)),
        [b'-' | b'0'..=b'9', ..] if !random.once_in(25) => random.pick(NUMBERS).to_owned(),
        _ => random.pick(LITERALS).to_owned(),
    };
    Tree::Text(text)
}

fn string(text: &str) -> String {
    if text.starts_with('\\') { format!("\"{text}\"") } else { Value::from(text).to_string() }
}

fn word(keys: &Keys, random: &mut Random) -> String {
    match random.below(6) {
        0 => random.pick(WORDS).to_owned(),
        1 => key(keys, random),
        2 => url(random),
        _ => (0..=random.below(4)).map(|_| random.pick(TOKENS)).collect::<Vec<_>>().join("."),
    }
}

fn key(keys: &Keys, random: &mut Random) -> String {
    let pair = random.pick(&[&keys.operator, &keys.account, &keys.other, &keys.user, &keys.server]);
    let text = pair.public_key();
    match random.below(6) {
        0 => text.to_lowercase(),
        1 => text[..55].to_owned(),
        2 => format!(" {text}"),
        _ => text,
    }
}

/// Addresses, sound and broken. None has several colons in its host or brackets: there Go's releases differ.
fn url(random: &mut Random) -> String {
    let parts: [&[&str]; 6] = [
        &["http:", "HTTPS:", "nats:", "tls:", "ws:", "wss:", "x+y:", "", "1a:", ":", "a b:"],
        &["//", "//", "//", "//", "/", "///", ""],
        &["", "", "", "u@", "u:p@", "u%zz@", "u\u{e9}@", "a@b@"],
        &["h", "h", "h.example", "", "h%41", "h%c3%a9", "h h", "h%", "\u{e9}", "h^", "h|"],
        &["", "", ":1", ":", ":99999", ":x", ":1x"],
        &["", "", "/", "/a/b", "/%zz", "/%41", "?q=%zz", "#f", "#%zz", "/a b", "/\u{1}", "?", "*"],
    ];
    parts.iter().map(|part| random.pick(part)).collect()
}

const TOKENS: &[&str] =
    &["a", "b", "f", "*", "*", ">", "$1", "$2", "$0", "$+1", "$-1", "$x", "$", "", "a b", " ", "*a", "\u{e9}"];

const WORDS: &[&str] = &[
    "",
    " ",
    "stream",
    "service",
    "Stream",
    "Singleton",
    "Chunked",
    "headers",
    "HEADERS",
    "system",
    "owner",
    "System",
    "account",
    "operator",
    "activation",
    "user",
    "generic",
    "cluster",
    "server",
    "authorization_request",
    "authorization_response",
    "user_scope",
    "*",
    "1.2.3",
    "1.2",
    "1.-2.3",
    "+1.2.3",
    "a.b.c",
    "99999999999999999999.1.1",
    "q\"\\\t\u{7f}\u{a0}\u{200b}\u{1f600}",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\uD83Dx",
    "<&>",
    "p q",
    "p q r",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "5",
    "6",
    "50",
    "100",
    "101",
    "255",
    "256",
    "1.0",
    "1.5",
    "1e2",
    "0.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "1e999",
    "4102444800",
    "01",
    "4611686018427387904",
];

const LITERALS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "\"\"",
    "\"a\"",
    "[]",
    "{}",
    "[null]",
    "[\"\"]",
    "[1]",
    "[{}]",
    "{\"a\":null}",
    "{\"\":{}}",
    "{\"a\":[null]}",
    "{\"a\":1}",
    "{\"kind\":\"user_scope\"}",
    "{\"kind\":\"x\",\"type\":\"y\"}",
    "[[]]",
    "nul",
    "",
];
