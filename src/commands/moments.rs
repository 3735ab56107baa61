//! Moments for people: in the time zone of the machine and in UTC, and how far away they are.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::calendar::{period, utc_time};
use crate::clock;

/// The time zone, and now.
#[derive(Debug)]
pub(super) struct Moments {
    zone: TimeZone,
    now: i64,
}

impl Moments {
    /// In the time zone of this machine, which `TZ` overrides.
    pub(super) fn here() -> Self {
        Self { zone: TimeZone::system(), now: clock::unix_seconds() }
    }

    /// A Unix time in seconds, as `2026-12-24 08:05:12 CET (07:05:12 UTC), in 24 days`.
    pub(super) fn full(&self, seconds: i64) -> String {
        let (utc, away) = (utc_time(seconds), self.away(seconds));
        let Some((local, name)) = self.local(seconds) else { return format!("{utc}, {away}") };
        // The day is said once, unless it is another one there.
        let same_day = utc.split_once(' ').filter(|(day, _)| local.starts_with(day)).map(|(_, time)| time);
        format!("{local} {name} ({}), {away}", same_day.unwrap_or(&utc))
    }

    /// The same to the minute, without the zone: `2026-12-24 08:05`.
    pub(super) fn minute(&self, seconds: i64) -> String {
        let text = self.local(seconds).map_or_else(|| without_zone(&utc_time(seconds)), |(local, _)| local);
        text.rsplit_once(':').map_or(&*text, |(minute, _)| minute).to_owned()
    }

    /// How far away it is: `in 24 days`, `8 minutes ago`.
    pub(super) fn away(&self, seconds: i64) -> String {
        let period = period(self.now, seconds);
        if seconds > self.now { format!("in {period}") } else { format!("{period} ago") }
    }

    /// The name of the zone.
    pub(super) fn zone(&self) -> &str {
        match self.zone.iana_name() {
            Some("Etc/UTC" | "UTC") => "UTC",
            None if self.zone.is_unknown() => "UTC",
            Some(name) => name,
            None => "local time",
        }
    }

    /// The time of the clocks here, and the name of their zone then. `None`: it is UTC, or in a year that calendars do not have.
    fn local(&self, seconds: i64) -> Option<(String, String)> {
        let info = self.zone.to_offset_info(Timestamp::from_second(seconds).ok()?);
        let offset = i64::from(info.offset().seconds());
        (offset != 0).then(|| (without_zone(&utc_time(seconds + offset)), info.abbreviation().to_owned()))
    }
}

fn without_zone(utc: &str) -> String {
    utc.trim_end_matches(" UTC").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_the_zone_of_the_machine_and_in_utc() {
        // 2026-11-24 07:05:12 UTC.
        const NOW: i64 = 1_795_503_912;
        for (zone, seconds, full, minute) in [
            ("UTC", NOW, "2026-11-24 07:05:12 UTC, 0 seconds ago", "2026-11-24 07:05"),
            ("Europe/Berlin", NOW, "2026-11-24 08:05:12 CET (07:05:12 UTC), 0 seconds ago", "2026-11-24 08:05"),
            (
                "Europe/Berlin",
                NOW - 150 * 86_400,
                "2026-06-27 09:05:12 CEST (07:05:12 UTC), 150 days ago",
                "2026-06-27 09:05",
            ),
            (
                "Asia/Tokyo",
                NOW + 9 * 3600,
                "2026-11-25 01:05:12 JST (2026-11-24 16:05:12 UTC), in 9 hours",
                "2026-11-25 01:05",
            ),
            ("Europe/London", NOW, "2026-11-24 07:05:12 UTC, 0 seconds ago", "2026-11-24 07:05"),
            ("Asia/Tokyo", 253_402_300_800, "10000-01-01 00:00:00 UTC, in 2912115 days", "10000-01-01 00:00"),
            (
                "Asia/Tokyo",
                i64::MAX,
                "292277026596-12-04 15:30:07 UTC, in 106751991146519 days",
                "292277026596-12-04 15:30",
            ),
        ] {
            let moments = Moments { zone: TimeZone::get(zone).expect("a zone"), now: NOW };
            assert_eq!((&*moments.full(seconds), &*moments.minute(seconds)), (full, minute), "{zone}");
        }
    }

    #[test]
    fn the_time_zones_of_the_world_are_part_of_the_program() {
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        for zone in ["Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "UTC"] {
            assert!(bundled.get(zone).is_ok(), "{zone}");
        }
        assert!(bundled.get("Nowhere/Else").is_err());
    }

    #[test]
    fn a_zone_has_a_name() {
        for (zone, name) in [
            (TimeZone::get("Europe/Berlin").expect("a zone"), "Europe/Berlin"),
            (TimeZone::UTC, "UTC"),
            (TimeZone::unknown(), "UTC"),
            (TimeZone::fixed(jiff::tz::offset(2)), "local time"),
        ] {
            assert_eq!(Moments { zone, now: 0 }.zone(), name);
        }
    }
}
