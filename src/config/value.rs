//! From what somebody wrote to the one form in which a setting is kept.

use config::{Value, ValueKind};

use super::access_lists;
use super::file_mode::{self, FileMode};
use super::listen;
use super::networks::network;
use super::schema::{Reading, SettingKind};
use super::units::{parse_duration, parse_size};
use super::urls;

/// The longest time a setting may be, in milliseconds: ten years. Arithmetic on instants stays far from its limits.
const MAX_MILLIS: u64 = 10 * 365 * 86_400_000;

/// The longest subject, in bytes. A nats-server closes a connection on which a line of more than 4096 bytes comes.
const MAX_SUBJECT: usize = 255;

/// The longest name of a server, in characters.
const MAX_NAME: usize = 64;

/// Whether a text can be the name of a server: short, and shown on one line as it is.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_NAME && !text.contains(char::is_control)
}

/// Converts `value` to the form of [`super::Settings`]: durations in milliseconds, sizes in bytes, lists as lists.
/// `None`: the value means "not set". The error says what is expected.
pub(super) fn normalise(kind: SettingKind, reading: Reading, value: &Value) -> Result<Option<ValueKind>, String> {
    let given = &value.kind;
    if matches!(given, ValueKind::Nil) {
        return Ok(None);
    }
    if let Reading::Level(level) = reading {
        return Ok(boolean(given)?.then(|| level.into()));
    }
    if reading == Reading::Verify {
        return Ok(boolean(given)?.then(|| "required".into()));
    }
    if reading == Reading::Pack {
        return match (whole(given), given) {
            (Some(0), _) => Ok(Some("cache".into())),
            // A negative one was no limit.
            (Some(_), _) | (None, ValueKind::I64(_)) => Ok(Some("mirror".into())),
            _ => Err("a whole number".to_owned()),
        };
    }
    match kind {
        SettingKind::Text => match text(given, "text")? {
            "" => Ok(None),
            text => Ok(Some(text.into())),
        },
        SettingKind::Name => match text(given, "a name")?.trim() {
            "" => Ok(None),
            name if is_name(name) => Ok(Some(name.into())),
            _ => Err(format!("a name of at most {MAX_NAME} characters on one line")),
        },
        SettingKind::Secret => match text(given, "text")?.trim() {
            "" => Ok(None),
            secret if secret.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(secret.into())),
            _ => Err("a text of visible ASCII characters without blanks".to_owned()),
        },
        SettingKind::Host => match text(given, "a host name or an address")?.trim() {
            "" => Ok(Some("0.0.0.0".into())),
            host => match listen_host(host) {
                Some(host) => Ok(Some(host.into())),
                None => Err("a host name or an address, without port,".to_owned()),
            },
        },
        SettingKind::ListenAddresses => {
            list(given, "an address with its port such as 0.0.0.0:9090, or a list of them,", listen::tcp)
        }
        SettingKind::ListenAddress => {
            let expected =
                "an address with its port such as 127.0.0.1:9091, or a Unix socket such as unix:/run/admin.sock,";
            match text(given, expected)?.trim() {
                "" => Ok(None),
                address => match address.parse::<listen::ListenAddress>() {
                    Ok(address) => Ok(Some(address.to_string().into())),
                    Err(problem) => Err(format!("{expected} ({problem})")),
                },
            }
        }
        SettingKind::Bool => boolean(given).map(|value| Some(value.into())),
        SettingKind::Int { min, max } => match whole(given) {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number.into())),
            _ => Err(format!("a whole number from {min} to {max}")),
        },
        SettingKind::Size => {
            let size = match given {
                ValueKind::String(text) => parse_size(text),
                other => whole(other),
            };
            size.filter(|size| i64::try_from(*size).is_ok())
                .map(|size| Some(size.into()))
                .ok_or_else(|| "a size in bytes or with a unit, such as 67108864 or \"64MiB\",".to_owned())
        }
        SettingKind::FileMode => {
            let text = match (given, whole(given)) {
                (ValueKind::String(text), _) => text.clone(),
                // Digits without quotes are a number to most languages; a number is never the mode itself.
                (_, Some(number)) => number.to_string(),
                _ => String::new(),
            };
            FileMode::parse(&text)
                .map(|mode| Some(mode.to_string().into()))
                .ok_or_else(|| file_mode::EXPECTED.to_owned())
        }
        SettingKind::Duration { min } => duration(given, reading, min).map(|millis| Some(millis.into())),
        SettingKind::Choice(words) => {
            let word = match given {
                // The languages read `on` and `off` without quotes as booleans.
                ValueKind::Boolean(true) => "on".to_owned(),
                ValueKind::Boolean(false) => "off".to_owned(),
                other => text(other, "a word").unwrap_or_default().trim().to_ascii_lowercase(),
            };
            match words.iter().find(|known| **known == word) {
                Some(known) => Ok(Some((*known).into())),
                None if word.is_empty() && matches!(given, ValueKind::String(_)) => Ok(None),
                None => Err(format!("one of {}", words.join(", "))),
            }
        }
        SettingKind::Subject => match text(given, "a NATS subject")? {
            "" => Ok(None),
            subject if is_literal_subject(subject) => Ok(Some(subject.into())),
            _ => Err(format!(
                "a NATS subject such as sign.accounts, without wildcards, white space and empty parts, at most \
                 {MAX_SUBJECT} bytes,"
            )),
        },
        SettingKind::NatsServers => {
            list(given, "a NATS URL such as nats://host:4222, or a list of them,", urls::nats_server)
        }
        SettingKind::PrimaryUrl => {
            let expected = "a URL such as https://host:9090";
            match text(given, expected)?.trim() {
                "" => Ok(None),
                url => match urls::primary(url) {
                    Ok(base) => Ok(Some(base.into())),
                    Err(problem) => Err(format!("{expected} ({problem})")),
                },
            }
        }
        SettingKind::PrimaryUrls => list(given, "a URL such as https://host:9090, or a list of them,", urls::primary),
        SettingKind::Origins => {
            list(given, "an origin such as https://console.example.com, a list of them, or *", urls::origin)
        }
        SettingKind::Networks => list(given, "an address or a network such as 10.0.0.0/8, or a list of them,", network),
        SettingKind::Scopes => access_lists::scopes(given).map(Some),
        SettingKind::AccessList(form) => form.read(given).map(Some),
    }
}

/// Only a text is a text: a bare number in its place is more often a slip than a name.
pub(super) fn text<'a>(value: &'a ValueKind, expected: &str) -> Result<&'a str, String> {
    match value {
        ValueKind::String(text) => Ok(text),
        _ => Err(format!("{expected} (in quotes, if it looks like something else)")),
    }
}

/// A host without the brackets of IPv6. A colon elsewhere means that somebody wrote the port as well.
pub(super) fn listen_host(text: &str) -> Option<&str> {
    let host = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
    let ipv6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/[]:".contains(c);
    (ipv6 || !host.contains(odd)).then_some(host)
}

/// Whether one can publish to a subject. A star or an arrow alone between dots is a wildcard.
fn is_literal_subject(subject: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    subject.len() <= MAX_SUBJECT
        && subject.split('.').all(|part| !matches!(part, "" | "*" | ">") && !part.contains(odd))
}

fn boolean(value: &ValueKind) -> Result<bool, String> {
    let expected = || "true or false".to_owned();
    match value {
        ValueKind::Boolean(value) => Ok(*value),
        ValueKind::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(expected()),
        },
        _ => Err(expected()),
    }
}

fn whole(value: &ValueKind) -> Option<u64> {
    match value {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::I128(number) => u64::try_from(*number).ok(),
        ValueKind::U128(number) => u64::try_from(*number).ok(),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn duration(value: &ValueKind, reading: Reading, min: u64) -> Result<u64, String> {
    let millis = match (whole(value), value) {
        (Some(number), _) if reading == Reading::Millis || number == 0 => Some(number),
        (_, ValueKind::String(text)) => parse_duration(text).and_then(|time| u64::try_from(time.as_millis()).ok()),
        _ => None,
    };
    let how = if reading == Reading::Millis { "a number of milliseconds" } else { "a time with its unit" };
    match millis {
        Some(millis) if (min..=MAX_MILLIS).contains(&millis) => Ok(millis),
        Some(millis) if millis < min => Err(format!("{how}, at least {min} ms,")),
        Some(_) => Err(format!("{how}, at most ten years,")),
        None if reading == Reading::Millis => Err(how.to_owned()),
        None => Err(format!("{how}, such as \"5s\", \"250ms\" or \"2m\" in quotes,")),
    }
}

/// A list, or one text with commas. `item` gives the form in which an item is kept.
fn list(
    value: &ValueKind,
    expected: &str,
    item: impl Fn(&str) -> Result<String, String>,
) -> Result<Option<ValueKind>, String> {
    let texts: Vec<&str> = match value {
        ValueKind::String(text) => text.split(',').collect(),
        ValueKind::Array(items) => {
            let each = items.iter().map(|item| text(&item.kind, expected));
            each.collect::<Result<Vec<_>, _>>()?.into_iter().flat_map(|text| text.split(',')).collect()
        }
        _ => return Err(expected.to_owned()),
    };
    let items: Vec<Value> = texts
        .into_iter()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| item(text).map(|kept| kept.into()).map_err(|problem| format!("{expected} ({problem})")))
        .collect::<Result<_, _>>()?;
    Ok(if items.is_empty() { None } else { Some(ValueKind::Array(items)) })
}

/// A value of a key for a message: short, on one line, without passwords.
pub(super) fn shown(kind: Option<SettingKind>, value: &ValueKind) -> String {
    const MOST: usize = 60;
    let text = match (kind, value) {
        (_, ValueKind::Table(_)) => return "a section".to_owned(),
        (Some(SettingKind::Secret), _) => return "a secret".to_owned(),
        (Some(SettingKind::AccessList(_)), _) => return "a list that cannot be used".to_owned(),
        (_, ValueKind::Array(items)) => {
            format!("[{}]", items.iter().map(|item| shown(kind, &item.kind)).collect::<Vec<_>>().join(", "))
        }
        (Some(SettingKind::NatsServers), ValueKind::String(text)) => {
            format!("{:?}", text.split(',').map(urls::nats_without_password).collect::<Vec<_>>().join(","))
        }
        (_, ValueKind::String(text)) => format!("{:?}", urls::without_password(text)),
        (_, other) => other.to_string(),
    };
    if text.chars().count() > MOST { text.chars().take(MOST).chain("…".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_on_one_line() {
        for good in ["eu-1", "Zürich: rack 7", "a", &"ü".repeat(MAX_NAME)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a\nb", "a\u{1b}[31m", &"x".repeat(MAX_NAME + 1)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_subject_to_publish_to_is_literal() {
        for good in ["sign", "sign.accounts", "$SYS.sign", "a*.b>", "unterschrift.für", &"x".repeat(MAX_SUBJECT)] {
            assert!(is_literal_subject(good), "{good}");
        }
        let bad =
            ["", "*", ">", "sign.*", "sign.>", ".sign", "sign.", "a..b", "a b", "a\tb", "a\r\nPUB b", " a", "a\0"];
        for bad in bad.into_iter().chain([&*"x".repeat(MAX_SUBJECT + 1)]) {
            assert!(!is_literal_subject(bad), "{bad:?}");
        }
    }
}
