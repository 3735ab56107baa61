//! Durations and sizes as people write them: `"250ms"`, `"1h30m"`, `"64MiB"`.

use std::time::Duration;

/// The factor of a size suffix, in any letter case.
///
/// The NATS configuration language defines it for bare numbers (`k` is 1000, `kb` and `kib` are 1024). A quoted number
/// must mean the same, so this rule holds everywhere.
pub(super) fn size_factor(suffix: &str) -> Option<u64> {
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let exponent = "kmgtpe".find(letters.next()?)? as u32 + 1;
    match letters.as_str() {
        "" => 1000_u64.checked_pow(exponent),
        "b" | "i" | "ib" => 1024_u64.checked_pow(exponent),
        _ => None,
    }
}

/// Reads a size in bytes: digits with an optional suffix, `B` included.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = digits.parse().ok()?;
    match suffix.trim_start() {
        "" | "b" | "B" => Some(number),
        suffix => number.checked_mul(size_factor(suffix)?),
    }
}

/// Reads a duration: one or more numbers, each with its unit (`ms s m h d`), such as `"1.5s"` or `"1h30m"`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut any = false;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let seconds_per_unit = match unit.trim() {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds_per_unit).ok()?;
        total = total.checked_add(part)?;
        any = true;
        rest = tail;
    }
    any.then_some(total)
}

/// Reads a duration where a bare number is in seconds, as in flags and queries.
pub(crate) fn parse_seconds(text: &str) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => parse_duration(text),
    }
}

/// Durations enter [`super::Settings`] as whole milliseconds, the form of checked values. They leave as text, so that a
/// dump is a valid file.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if duration.subsec_millis() == 0 {
            serializer.collect_str(&format_args!("{}s", duration.as_secs()))
        } else {
            serializer.collect_str(&format_args!("{}ms", duration.as_millis()))
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_nats_configuration_language() {
        let table: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("2g", Some(2_000_000_000)),
            ("1ti", Some(1 << 40)),
            ("15eib", Some(15 << 60)),
            ("16eib", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5G", None),
            ("5x", None),
            ("5kk", None),
            ("5é", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse_size(text), *wanted, "{text}");
        }
    }

    #[test]
    fn a_bare_number_may_be_seconds() {
        let table = [
            ("25s", Some(25_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("3", Some(3000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("-1", None),
            ("1.5", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse_seconds(text), wanted.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let table: &[(&str, Option<u64>)] = &[
            ("5s", Some(5000)),
            ("250ms", Some(250)),
            ("2m", Some(120_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("1d", Some(86_400_000)),
            (" 5 s ", Some(5000)),
            ("0", Some(0)),
            ("5", None),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-5s", None),
            ("1..5s", None),
            ("99999999999999999999999d", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse_duration(text), wanted.map(Duration::from_millis), "{text}");
        }
    }
}
