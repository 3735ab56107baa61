//! Pauses that are drawn at random, so that servers that lost the same peer in one moment do not all come back in one.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::sleep;

/// Pauses between attempts: each is twice as long as the one before, up to a longest one.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `first`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause: between the half and the whole of what it may be.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        drawn(pause, 0.5..=1.0)
    }

    /// Waits for the next pause.
    pub async fn wait(&mut self) {
        sleep(self.pause()).await;
    }

    /// An attempt succeeded: begins with the first pause again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A duration times a number that is drawn from `range`.
pub fn drawn(duration: Duration, range: RangeInclusive<f64>) -> Duration {
    duration.mul_f64(rand::random_range(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(500));
        let mut backoff = Backoff::new(first, longest);
        for _ in 0..2 {
            for whole in [100, 200, 400, 500, 500] {
                let (whole, pause) = (Duration::from_millis(whole), backoff.pause());
                assert!((whole / 2..=whole).contains(&pause), "{pause:?} of {whole:?}");
            }
            backoff.reset();
        }
    }
}
