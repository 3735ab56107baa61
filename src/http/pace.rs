//! How fast followers may fetch in the background.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Of one processor's time, all that is fetched in the background may take one part in this number.
const SHARE: u32 = 20;

/// Spreads over time what is fetched in the background, by all followers together.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Instant>);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Notes that an answer took `cost`. Returns how long its client has to wait before it asks again.
    pub(super) fn after(&self, cost: Duration, now: Instant) -> Duration {
        let mut free = self.0.lock();
        *free = (*free).max(now) + cost * SHARE;
        *free - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_together_take_a_twentieth_of_the_time() {
        let (pace, start, cost) = (Pace::new(), Instant::now() + Duration::from_secs(1), Duration::from_millis(5));
        let mut next = [start; 7];
        let mut answers = 0;
        let end = start + Duration::from_secs(20);
        // Each asks when it may, and the earliest comes first.
        while let Some(at) = next.iter_mut().min().filter(|at| **at < end) {
            *at += pace.after(cost, *at);
            answers += 1;
        }
        let share = (cost * answers).as_secs_f64() / 20.0;
        // What each asks at first comes on top.
        assert!((0.04..=0.053).contains(&share), "{share}");
        let later = end + Duration::from_secs(60);
        assert_eq!(pace.after(cost, later), cost * SHARE, "what was not used is not saved up");
    }
}
