//! Dates and times of Unix times, in UTC, and periods between them.

/// The date of a Unix time in seconds, as `2026-11-24`.
pub fn utc_date(seconds: i64) -> String {
    // Days since 1 March of year 0, so that a leap day ends its year; 146 097 days make 400 years.
    let days = i128::from(seconds.div_euclid(86_400)) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i128::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", day - (153 * shifted + 2) / 5 + 1)
}

/// The moment of a Unix time in seconds, as `2026-11-24 07:05:12 UTC`.
pub fn utc_time(seconds: i64) -> String {
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", utc_date(seconds))
}

/// The time between two Unix times in seconds, in the largest unit that fits, as `8 minutes`, rounded down.
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
    use super::{period, utc_date, utc_time};

    #[test]
    fn moments_and_periods_are_for_people() {
        assert_eq!(utc_time(1_795_503_912), "2026-11-24 07:05:12 UTC");
        assert_eq!(utc_time(-1), "1969-12-31 23:59:59 UTC");
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
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_102_444_800, "2100-01-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(utc_date(seconds), date);
        }
    }
}
