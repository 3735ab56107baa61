//! The time of day, in the unit that tokens use, and a clock that nobody sets.

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

/// Milliseconds since some moment near the start of the process, and at least 1: for intervals, which a change of the
/// time of day must not touch.
pub fn uptime_millis() -> i64 {
    i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX).saturating_add(1)
}
