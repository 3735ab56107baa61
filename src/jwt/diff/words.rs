//! Differences in words: `connections 100 → 50`, `export orders.> removed`.

use serde_json::Value;

use super::{ClaimChangeKind, Difference, Step};
use crate::calendar::utc_time;
use crate::excerpt::excerpt_of;

/// The longest text of a claim that is repeated, in bytes.
const MAX_TEXT: usize = 64;
/// Characters of a public key.
const KEY: usize = 56;

/// Claims that differ in any two versions.
const NOISE: [&str; 2] = ["iat", "jti"];

/// All differences in words.
pub(super) fn of(found: &[Difference<'_>]) -> Vec<String> {
    let is_noise =
        |difference: &&Difference<'_>| matches!(&difference.path[..], [Step::Member(name)] if NOISE.contains(&&**name));
    let text: Vec<String> = found.iter().filter(|difference| !is_noise(difference)).map(worded).collect();
    match (text.is_empty(), found.is_empty()) {
        (false, _) => text,
        (true, false) => vec!["signed again without another change".to_owned()],
        (true, true) => vec!["no claim differs".to_owned()],
    }
}

/// A step, to be matched.
#[derive(Clone, Copy)]
enum S<'p> {
    M(&'p str),
    I(&'p str),
}

use S::{I, M};

fn worded(difference: &Difference<'_>) -> String {
    let steps: Vec<S<'_>> = difference
        .path
        .iter()
        .map(|step| match step {
            Step::Member(name) => M(name),
            Step::Item(about) => I(about),
        })
        .collect();
    match &steps[..] {
        [M("name")] => arrow("name", difference, text),
        [M("iss")] => arrow("signer", difference, text),
        [M("exp")] => arrow("expiry", difference, moment),
        [M("nbf")] => arrow("not valid before", difference, moment),
        [M("nats"), M("limits"), M("tiered_limits"), M(tier), M(name)] => {
            format!("JetStream tier {}: {}", shown(tier), limit(name, difference))
        }
        [M("nats"), M("limits"), M(name)] => limit(name, difference),
        [M("nats"), M("revocations"), M(user)] => revocation(user, "user", difference),
        [M("nats"), M("exports"), I(about), M("revocations"), M(account)] => {
            format!("export {}: {}", subject(about), revocation(account, "account", difference))
        }
        [M("nats"), M("exports"), I(about), rest @ ..] => part(&format!("export {}", subject(about)), rest, difference),
        [M("nats"), M("imports"), I(about), rest @ ..] => {
            let account = about.split(' ').next().unwrap_or_default();
            part(&format!("import {} from {}", subject(about), shown(account)), rest, difference)
        }
        [M("nats"), M("signing_keys"), I(key), rest @ ..] => {
            let value = difference.to.or(difference.from);
            let role = value.filter(|_| rest.is_empty()).and_then(|key| key.get("role")).and_then(Value::as_str);
            let scope = role.map(|role| format!(" (role {})", shown(role))).unwrap_or_default();
            part(&format!("signing key {}{scope}", shown(key)), rest, difference)
        }
        [M("nats"), M("mappings"), M(from), rest @ ..] => part(&format!("mapping {}", shown(from)), rest, difference),
        [M("nats"), M("default_permissions"), rest @ ..] => part("default permissions", rest, difference),
        [M("nats"), rest @ ..] => plain(rest, difference),
        rest => plain(rest, difference),
    }
}

/// What happened to a thing, or to a part of it.
fn part(thing: &str, rest: &[S<'_>], difference: &Difference<'_>) -> String {
    if rest.is_empty() {
        format!("{thing} {}", difference.kind().label())
    } else {
        format!("{thing}: {}", plain(rest, difference))
    }
}

/// A difference for which there are no words of its own.
fn plain(steps: &[S<'_>], difference: &Difference<'_>) -> String {
    let names = steps.iter().map(|step| match step {
        M("pub") => "publish".to_owned(),
        M("sub") => "subscribe".to_owned(),
        M("resp") => "responses".to_owned(),
        M(name) => shown(&name.replace('_', " ")),
        I(about) => match about.split_once(' ') {
            Some(("stream" | "service", subject)) => shown(subject),
            _ => shown(about),
        },
    });
    let name = names.collect::<Vec<_>>().join(" ");
    match steps.last() {
        Some(I(_)) if difference.kind() != ClaimChangeKind::Changed => format!("{name} {}", difference.kind().label()),
        _ => arrow(&name, difference, text),
    }
}

fn arrow(name: &str, difference: &Difference<'_>, value: impl Fn(Option<&Value>) -> String) -> String {
    format!("{name} {} → {}", value(difference.from), value(difference.to))
}

fn limit(name: &str, difference: &Difference<'_>) -> String {
    let (label, is_bytes) = match name {
        "subs" => ("subscriptions", false),
        "data" => ("data", true),
        "payload" => ("payload", true),
        "conn" => ("connections", false),
        "leaf" => ("leafnode connections", false),
        "wildcards" => ("wildcards in exports", false),
        "disallow_bearer" => ("bearer tokens disallowed", false),
        "mem_storage" => ("JetStream memory", true),
        "disk_storage" => ("JetStream disk", true),
        "streams" => ("JetStream streams", false),
        "consumer" => ("JetStream consumers", false),
        "max_ack_pending" => ("unacknowledged messages", false),
        "mem_max_stream_bytes" => ("bytes of a stream in memory", true),
        "disk_max_stream_bytes" => ("bytes of a stream on disk", true),
        "max_bytes_required" => ("streams need a bound", false),
        other => return arrow(&shown(&other.replace('_', " ")), difference, text),
    };
    arrow(label, difference, |value| match value.and_then(Value::as_i64) {
        Some(-1) => "unlimited".to_owned(),
        Some(bytes) if is_bytes => size(bytes),
        _ => text(value),
    })
}

fn revocation(who: &str, kind: &str, difference: &Difference<'_>) -> String {
    let (who, before, after) = match who {
        "*" => (format!("every {kind}"), difference.from, difference.to),
        who => (shown(who), difference.from, difference.to),
    };
    match (before, after) {
        (Some(before), None) => format!("revocation of {who} since {} removed", moment(Some(before))),
        (Some(before), after) => {
            format!("revoked {who} since {}, before since {}", moment(after), moment(Some(before)))
        }
        (None, after) => format!("revoked {who} since {}", moment(after)),
    }
}

/// The subject of an export or import.
fn subject(about: &str) -> String {
    shown(about.rsplit(' ').next().unwrap_or_default())
}

/// A text as far as it is shown: of a key its ends.
fn shown(text: &str) -> String {
    let is_key =
        text.len() == KEY && text.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte));
    if is_key {
        return format!("{}…{}", &text[..4], &text[KEY - 4..]);
    }
    let part = excerpt_of(text, MAX_TEXT);
    format!("{}{}", part.part().escape_debug(), if part.is_whole() { "" } else { "…" })
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::String(text)) => shown(text),
        Some(other) => {
            let json = other.to_string();
            let part = excerpt_of(&json, MAX_TEXT);
            format!("{}{}", part.part(), if part.is_whole() { "" } else { "…" })
        }
    }
}

fn moment(value: Option<&Value>) -> String {
    match value.and_then(Value::as_i64) {
        None if value.is_some() => text(value),
        None | Some(0) => "never".to_owned(),
        Some(seconds) => utc_time(seconds),
    }
}

/// A number of bytes in the largest unit that divides it.
pub fn size(bytes: i64) -> String {
    let units = [(1_i64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes != 0 && bytes % unit == 0) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}
