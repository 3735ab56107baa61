//! Rejected attempts that have no line yet.
//!
//! Anybody who has an old JWT can push it again and again, and everybody can read JWTs. So the attempts that get lines are
//! bounded: by their number in memory, and by their rate. The others are counted, and the next line tells how many there were.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::Rejected;

/// Attempts that wait …
const WAITING: usize = 4096;
/// … and their bytes.
const BYTES: usize = 16 << 20;
/// Attempts in one moment that get lines …
const BURST: f64 = 2000.0;
/// … and per second, in the long run.
const PER_SECOND: f64 = 50.0;

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Rejected>,
    bytes: usize,
    /// Lines that may be written now.
    allowed: f64,
    at: Instant,
    /// Attempts without a line.
    lost: u64,
}

impl Queue {
    pub(super) const fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, allowed: BURST, at: now, lost: 0 }
    }

    /// Adds an attempt. Returns whether it will have a line.
    pub(super) fn push(&mut self, rejected: Rejected, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.allowed = since.mul_add(PER_SECOND, self.allowed).min(BURST);
        self.at = now;
        let weight = weight(&rejected);
        if self.waiting.len() >= WAITING || self.bytes + weight > BYTES || self.allowed < 1.0 {
            self.lost += 1;
            return false;
        }
        self.allowed -= 1.0;
        self.bytes += weight;
        self.waiting.push_back(rejected);
        true
    }

    /// The first ones, and how many are without a line. They stay until [`Queue::written`].
    pub(super) fn first(&self, limit: usize) -> (Vec<Rejected>, u64) {
        (self.waiting.iter().take(limit).cloned().collect(), self.lost)
    }

    /// `count` of the first ones have their lines, and `lost` others were counted in a line.
    pub(super) fn written(&mut self, count: usize, lost: u64) {
        let written: usize =
            self.waiting.drain(..count.min(self.waiting.len())).map(|rejected| weight(&rejected)).sum();
        self.bytes -= written;
        self.lost = self.lost.saturating_sub(lost);
    }
}

/// What an attempt takes in memory, more or less.
fn weight(rejected: &Rejected) -> usize {
    let texts = rejected.what.keys.iter().chain(&rejected.what.name).map(|text| text.len() + 32);
    512 + texts.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::event::What;
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        let rejected = |at| Rejected { at, reason: "older", what: What::default(), via: "post", sender: None };
        let pushed = (0..2500).filter(|at| queue.push(rejected(*at), start)).count();
        assert_eq!((pushed, queue.first(3).0.len(), queue.first(3).1), (2000, 3, 500));
        queue.written(3, 500);
        assert_eq!((queue.first(1).0[0].at, queue.first(1).1), (3, 0));
        // A second later there is room for some more.
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|at| queue.push(rejected(*at), later)).count(), 50);
        // The memory is bounded, too.
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..2500).filter(|at| queue.push(rejected(*at), much_later)).count(), 2000);
        assert_eq!((0..2500).filter(|at| queue.push(rejected(*at), much_later)).count(), 0);
        let (mut queue, many) = (Queue::new(start), vec!["x".repeat(56); 10_000]);
        let large = || Rejected { what: What { keys: many.clone(), ..What::default() }, ..rejected(0) };
        assert_eq!((0..100).filter(|_| queue.push(large(), start)).count(), 19);
        queue.written(1, 0);
        assert!(queue.push(large(), start) && !queue.push(large(), start));
    }
}
