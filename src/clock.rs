//! The time of day, in the unit that tokens use, and a clock that cannot be set.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, in unix seconds.
pub fn unix_seconds() -> i64 {
    unix_millis() / 1000
}

/// Now, in unix milliseconds.
pub fn unix_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Milliseconds since `at` (unix milliseconds), which an earlier process noted. `None`: `at` is in the future, because
/// the clock was set back. Then the age is unknown, and must not look fresh.
pub fn millis_since(at: i64) -> Option<i64> {
    age_at(unix_millis(), at)
}

/// The same, at `now`.
pub fn age_at(now: i64, at: i64) -> Option<i64> {
    now.checked_sub(at).filter(|age| *age >= 0)
}

/// Milliseconds since some moment near the start of the process, and at least 1: for intervals, which a change of the
/// time of day must not touch.
pub fn uptime_millis() -> i64 {
    i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_come_was_never_a_while_ago() {
        assert_eq!([age_at(10, 4), age_at(10, 10), age_at(10, 11)], [Some(6), Some(0), None]);
        assert_eq!([age_at(i64::MIN, i64::MAX), age_at(i64::MAX, i64::MIN)], [None, None]);
    }
}
