//! How fast one nats-server is asked. Time is an argument here.

use std::time::{Duration, Instant};

/// Allows a number of events in a second, and some at once after a pause.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    burst: f64,
    allowed: f64,
    last: Option<Instant>,
}

impl Pace {
    /// `per_second` events on average, `burst` at once at most.
    pub(super) const fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, allowed: burst, last: None }
    }

    /// Whether an event may happen now, which it then does. Else how long to wait.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(last) = self.last {
            let passed = now.saturating_duration_since(last).as_secs_f64();
            self.allowed = passed.mul_add(self.per_second, self.allowed).min(self.burst);
        }
        self.last = Some(now);
        if self.allowed >= 1.0 {
            self.allowed -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.allowed) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_at_a_rate_and_some_at_once() {
        let (mut pace, start) = (Pace::new(10.0, 3.0), Instant::now());
        assert_eq!([(); 3].map(|()| pace.take(start)), [Ok(()); 3]);
        let wait = pace.take(start).expect_err("too soon");
        assert!((wait.as_secs_f64() - 0.1).abs() < 0.001, "{wait:?}");
        assert!(pace.take(start + Duration::from_millis(101)).is_ok());
        let later = start + Duration::from_secs(60);
        assert_eq!([(); 3].map(|()| pace.take(later)), [Ok(()); 3]);
        assert!(pace.take(later).is_err());
    }
}
