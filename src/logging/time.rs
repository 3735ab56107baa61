//! A moment as nats-server writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes a moment in UTC, to the microsecond: `2026/11/23 23:50:56.236792`.
pub(super) fn write(out: &mut dyn std::fmt::Write, at: SystemTime) -> std::fmt::Result {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = since.subsec_micros();
    write!(out, "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
}

/// A moment in UTC as RFC 3339 has it, to the microsecond: `2026-11-23T23:50:56.236792Z`.
pub(super) fn rfc3339(at: SystemTime) -> String {
    let mut text = String::with_capacity(27);
    // Writing to a string does not fail.
    let _ = write(&mut text, at);
    text.replace('/', "-").replace(' ', "T") + "Z"
}

/// A moment in UTC as `date` prints it: `Mon Nov 23 23:50:56 UTC 2026`.
pub(crate) fn unix_date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (weekday, month) = (DAYS[(seconds / 86_400 % 7) as usize], MONTHS[(month - 1) as usize]);
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// Year, month and day of a number of days after 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    // Whole cycles of 400 years first: a clock that is far off must not make the loop below long.
    const CYCLE: u64 = 146_097;
    let mut year = 1970 + days / CYCLE * 400;
    days %= CYCLE;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_name() {
        let table = [
            (0, "Thu Jan  1 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_795_477_856, "Mon Nov 23 23:50:56 UTC 2026"),
        ];
        for (seconds, wanted) in table {
            assert_eq!(unix_date(UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        let table = [
            (0, 0, "1970/01/01 00:00:00.000000"),
            (951_782_399, 999_999, "2000/02/28 23:59:59.999999"),
            (951_782_400, 0, "2000/02/29 00:00:00.000000"),
            (1_704_067_199, 1, "2023/12/31 23:59:59.000001"),
            (1_795_477_856, 236_792, "2026/11/23 23:50:56.236792"),
            (4_107_542_400, 0, "2100/03/01 00:00:00.000000"),
        ];
        for (seconds, micros, wanted) in table {
            let mut out = String::new();
            write(&mut out, UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros)).unwrap();
            assert_eq!(out, wanted);
        }
    }
}
