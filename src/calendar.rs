//! Unix times as people and other programs read them, in UTC, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

/// The calendar repeats after 400 years, weekdays included: so many seconds.
const CYCLE: i64 = 146_097 * 86_400;

/// A moment of any Unix time. The `time` crate ends at the year 9999, and claims do not.
struct Moment {
    year: i64,
    /// The same moment of the years 1970 to 2369.
    within: OffsetDateTime,
    /// Nanoseconds of the second.
    nanos: u32,
}

impl Moment {
    fn at(seconds: i64) -> Self {
        let within = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds.rem_euclid(CYCLE));
        Self { year: i64::from(within.year()) + 400 * seconds.div_euclid(CYCLE), within, nanos: 0 }
    }

    /// What is before 1970 counts as the beginning of 1970.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { nanos: since.subsec_nanos(), ..Self::at(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)) }
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, u8::from(self.within.month()), self.within.day())
    }

    fn time(&self) -> String {
        let (hour, minute, second) = self.within.to_hms();
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

/// The date of a Unix time in seconds, as `2026-11-24`.
pub fn utc_date(seconds: i64) -> String {
    Moment::at(seconds).date()
}

/// The moment of a Unix time in seconds, as `2026-11-24 07:05:12 UTC`.
pub fn utc_time(seconds: i64) -> String {
    let moment = Moment::at(seconds);
    format!("{} {} UTC", moment.date(), moment.time())
}

/// A moment as `date` prints it: `Mon Nov 23 23:50:56 UTC 2026`.
pub fn unix_date(at: SystemTime) -> String {
    let moment = Moment::of(at);
    let (weekday, month) = (moment.within.weekday().to_string(), moment.within.month().to_string());
    format!("{weekday:.3} {month:.3} {:2} {} UTC {}", moment.within.day(), moment.time(), moment.year)
}

/// A moment as RFC 3339 has it, to the microsecond: `2026-11-23T23:50:56.236792Z`.
pub fn rfc3339_micros(at: SystemTime) -> String {
    let moment = Moment::of(at);
    format!("{}T{}.{:06}Z", moment.date(), moment.time(), moment.nanos / 1000)
}

/// The same to the nanosecond: `2026-11-23T23:50:56.236792001Z`.
pub fn rfc3339_nanos(at: SystemTime) -> String {
    let moment = Moment::of(at);
    format!("{}T{}.{:09}Z", moment.date(), moment.time(), moment.nanos)
}

/// A Unix time in milliseconds, as RFC 3339 has it: `2026-11-23T23:50:56.236Z`.
pub fn rfc3339_millis(millis: i64) -> String {
    let moment = Moment::at(millis.div_euclid(1000));
    format!("{}T{}.{:03}Z", moment.date(), moment.time(), millis.rem_euclid(1000))
}

/// A moment as nats-server logs it, to the microsecond: `2026/11/23 23:50:56.236792`.
pub fn log_time(at: SystemTime) -> String {
    let moment = Moment::of(at);
    format!("{} {}.{:06}", moment.date().replace('-', "/"), moment.time(), moment.nanos / 1000)
}

/// The moment of a text as RFC 3339 has it. Moments compare whatever their offsets and digits are.
pub fn parse_rfc3339(text: &str) -> Option<impl Ord + use<>> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// The Unix time in seconds of a text as RFC 3339 has it. Fractions are dropped.
pub fn rfc3339_seconds(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// The Unix time in seconds at which a day begins. `None`: there is no such month, or the year is beyond 9999. A day that
/// its month does not have, such as 31 February, is one of the next month.
pub fn day_begins(year: i32, month: u8, day: u8) -> Option<i64> {
    let first = Date::from_calendar_date(year, Month::try_from(month).ok()?, 1).ok()?;
    Some(first.midnight().assume_utc().unix_timestamp() + (i64::from(day) - 1) * 86_400)
}

/// The time between two Unix times in seconds, in the largest unit of which it has at least one, as `8 minutes`. What is
/// left is dropped.
pub fn period(one: i64, other: i64) -> String {
    let seconds = one.abs_diff(other);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Moments at the edges of months, of the calendar, and of the numbers.
    const MOMENTS: [(i64, &str); 23] = [
        (0, "1970-01-01 00:00:00 UTC"),
        (-1, "1969-12-31 23:59:59 UTC"),
        (951_782_399, "2000-02-28 23:59:59 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (1_704_067_199, "2023-12-31 23:59:59 UTC"),
        (1_735_689_599, "2024-12-31 23:59:59 UTC"),
        (1_795_477_856, "2026-11-23 23:50:56 UTC"),
        (1_795_503_912, "2026-11-24 07:05:12 UTC"),
        (4_102_444_800, "2100-01-01 00:00:00 UTC"),
        (4_107_542_399, "2100-02-28 23:59:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        (253_402_300_800, "10000-01-01 00:00:00 UTC"),
        (i64::MAX, "292277026596-12-04 15:30:07 UTC"),
        (-62_135_596_800, "0001-01-01 00:00:00 UTC"),
        (-62_135_596_801, "0000-12-31 23:59:59 UTC"),
        (-62_167_219_200, "0000-01-01 00:00:00 UTC"),
        (-62_167_219_201, "-001-12-31 23:59:59 UTC"),
        (-62_198_755_200, "-001-01-01 00:00:00 UTC"),
        (-377_705_116_800, "-9999-01-01 00:00:00 UTC"),
        (-377_705_116_801, "-10000-12-31 23:59:59 UTC"),
        (i64::MIN, "-292277022657-01-27 08:29:52 UTC"),
    ];

    #[test]
    fn every_unix_time_has_a_date_and_a_moment() {
        for (seconds, text) in MOMENTS {
            assert_eq!(utc_time(seconds), text);
            assert_eq!(Some(&*utc_date(seconds)), text.split(' ').next());
        }
    }

    #[test]
    fn moments_of_the_system_have_fractions_and_begin_with_1970() {
        for (seconds, text) in MOMENTS.into_iter().filter(|(seconds, _)| *seconds >= 0) {
            let at = UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), 236_792_001);
            let moment = text.replace(" UTC", ".236792");
            assert_eq!(log_time(at), moment.replace('-', "/"));
            assert_eq!(rfc3339_micros(at), moment.replace(' ', "T") + "Z");
            assert_eq!(rfc3339_nanos(at), moment.replace(' ', "T") + "001Z");
        }
        let before = UNIX_EPOCH - Duration::from_millis(1);
        assert_eq!(log_time(before), "1970/01/01 00:00:00.000000");
        assert_eq!(unix_date(before), "Thu Jan  1 00:00:00 UTC 1970");
    }

    #[test]
    fn a_day_has_its_name() {
        let table = [
            (0, "Thu Jan  1 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_795_477_856, "Mon Nov 23 23:50:56 UTC 2026"),
            (253_402_300_800, "Sat Jan  1 00:00:00 UTC 10000"),
        ];
        for (seconds, wanted) in table {
            assert_eq!(unix_date(UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn periods_are_for_people() {
        for (one, other, text) in [
            (0, 0, "0 seconds"),
            (1, 0, "1 second"),
            (0, 59, "59 seconds"),
            (60, 0, "1 minute"),
            (0, 539, "8 minutes"),
            (3600, 0, "1 hour"),
            (172_799, 0, "47 hours"),
            (172_800, 0, "2 days"),
            (i64::MIN, i64::MAX, "213503982334601 days"),
        ] {
            assert_eq!(period(one, other), text);
        }
    }

    #[test]
    fn a_day_that_a_month_does_not_have_is_one_of_the_next() {
        assert_eq!(day_begins(2026, 2, 31), day_begins(2026, 3, 3));
        assert_eq!(day_begins(9999, 12, 31), Some(253_402_214_400));
        assert_eq!([(2026, 0), (2026, 13), (10_000, 1)].map(|(year, month)| day_begins(year, month, 1)), [None; 3]);
    }

    proptest! {
        #[test]
        fn a_day_begins_where_its_date_does(day in -719_528_i64..2_932_897) {
            let date = utc_date(day * 86_400);
            let mut parts = date.split('-').map(|part| part.parse::<i32>().expect("a number"));
            let mut part = || parts.next().expect("three parts");
            let (year, month, day_of_month) = (part(), part(), part());
            let begins = day_begins(year, u8::try_from(month).expect("a month"), u8::try_from(day_of_month).expect("a day"));
            prop_assert_eq!(begins, Some(day * 86_400));
        }

        #[test]
        fn the_calendar_repeats(seconds in i64::MIN..i64::MAX - CYCLE) {
            let without_year = |date: String| date.get(date.len() - 6..).map(str::to_owned);
            prop_assert_eq!(without_year(utc_date(seconds)), without_year(utc_date(seconds + CYCLE)));
        }
    }
}
