//! Checks the times of day at which a user may connect.

use super::super::client::edit;
use super::super::names::Names;
use crate::commands::checks::Check;
use crate::commands::shown::printable;
use crate::jwt::claims::{TimeRange, UserTemplate};

const DAY: i64 = 86_400;
/// The differences from UTC that clocks on earth have, in seconds.
const OFFSETS: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;
/// Each of them is a multiple of this, in seconds.
const STEP: usize = 900;

pub(super) fn check(template: &UserTemplate, names: &Names, now: i64) -> Check {
    const CODE: &str = "times";
    if template.times.is_empty() {
        return Check::pass(CODE, "every time of day is allowed");
    }
    let zone = Zone::of(&template.times_location);
    let shown: Vec<_> =
        template.times.iter().map(|range| printable(&format!("{}-{}", range.start, range.end))).collect();
    let shown = format!("{} {}", shown.join(", "), zone.shown());
    let change = || edit(names, "--time HH:MM:SS-HH:MM:SS");
    match zone.allows(&template.times, now) {
        Some(true) => Check::pass(CODE, format!("this time of day is allowed: {shown}")),
        Some(false) => Check::fail(CODE, format!("this time of day is not allowed, only {shown}"), change()),
        None => Check::unknown(
            CODE,
            format!("only some times of day are allowed: {shown}"),
            format!("give the user a time zone: {}", edit(names, "--locale ZONE")),
        ),
    }
}

/// Whether nats-server rejects a time zone.
pub(super) fn is_wrong_zone(name: &str) -> bool {
    matches!(Zone::of(name), Zone::NotFound(_))
}

/// Where the times of day are.
enum Zone {
    Utc,
    /// That of each nats-server.
    OfServer,
    Named(jiff::tz::TimeZone, String),
    NotFound(String),
}

impl Zone {
    fn of(name: &str) -> Self {
        match name {
            "" | "Local" => Self::OfServer,
            "UTC" => Self::Utc,
            name => match jiff::tz::TimeZone::get(name) {
                Ok(zone) => Self::Named(zone, name.to_owned()),
                Err(_) => Self::NotFound(name.to_owned()),
            },
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Utc => "UTC".to_owned(),
            Self::OfServer => "in the time zone of the nats-server".to_owned(),
            Self::Named(_, name) | Self::NotFound(name) => printable(name),
        }
    }

    /// Whether the ranges allow this moment. `None`: that depends on something that is not known.
    fn allows(&self, ranges: &[TimeRange], now: i64) -> Option<bool> {
        match self {
            Self::Utc => Some(allowed(ranges, now, 0)),
            Self::OfServer => {
                let mut verdicts = OFFSETS.step_by(STEP).map(|offset| allowed(ranges, now, offset));
                let first = verdicts.next()?;
                verdicts.all(|verdict| verdict == first).then_some(first)
            }
            Self::Named(zone, _) => {
                let at = jiff::Timestamp::from_second(now).ok()?;
                Some(allowed(ranges, now, zone.to_offset(at).seconds().into()))
            }
            Self::NotFound(_) => None,
        }
    }
}

/// Whether one of the ranges is open. nats-server lets a range that ends before it begins begin today: after midnight it is
/// closed, although it began yesterday.
fn allowed(ranges: &[TimeRange], now: i64, offset: i64) -> bool {
    let time = now.saturating_add(offset).rem_euclid(DAY);
    ranges.iter().filter_map(TimeRange::seconds).any(|(start, end)| {
        let (start, end) = (i64::from(start), i64::from(end));
        start <= time && (if start > end { end + DAY } else { end }) > time
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24 07:05:12 UTC.
    const NOW: i64 = 1_795_503_912;

    fn ranges(start: &str, end: &str) -> Vec<TimeRange> {
        vec![TimeRange { start: start.to_owned(), end: end.to_owned() }]
    }

    #[test]
    fn a_range_is_one_of_the_local_time() {
        for (zone, start, end, verdict) in [
            ("UTC", "07:00:00", "08:00:00", Some(true)),
            ("UTC", "07:05:12", "07:05:13", Some(true)),
            ("UTC", "07:05:13", "08:00:00", Some(false)),
            ("UTC", "06:00:00", "07:05:12", Some(false)),
            ("UTC", "07:00:00", "07:00:00", Some(false)),
            // It began yesterday, and nats-server looks at today alone.
            ("UTC", "22:00:00", "08:00:00", Some(false)),
            ("UTC", "07:00:00", "06:00:00", Some(true)),
            ("Europe/Paris", "08:00:00", "09:00:00", Some(true)),
            ("Asia/Kolkata", "12:30:00", "12:40:00", Some(true)),
            ("America/New_York", "07:00:00", "08:00:00", Some(false)),
            ("", "00:00:00", "23:59:59", Some(true)),
            ("", "07:00:00", "08:00:00", None),
            ("Nowhere/Else", "07:00:00", "08:00:00", None),
        ] {
            assert_eq!(Zone::of(zone).allows(&ranges(start, end), NOW), verdict, "{zone} {start} {end}");
        }
        assert!(is_wrong_zone("Nowhere/Else") && !is_wrong_zone("Europe/Paris") && !is_wrong_zone(""));
    }
}
