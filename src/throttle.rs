//! Log lines that others on the network can cause, written only now and then.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Permits a line at most once in a period, and counts the suppressed ones.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

/// How many lines were suppressed since the last one. It is displayed at the end of a line, or not at all if there were
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack(pub u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} more since the last such line)"),
        }
    }
}

impl Throttle {
    /// At most one line in this time.
    pub const fn every(every: Duration) -> Self {
        Self { every, state: Mutex::new(State { last: None, held_back: 0 }) }
    }

    /// Whether a line may be written at `now`. `None`: it is held back and counted.
    pub fn turn(&self, now: Instant) -> Option<HeldBack> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            state.held_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(HeldBack(std::mem::take(&mut state.held_back)))
    }
}

/// The same for lines of several reasons, each for itself. The reasons are a small fixed set.
#[derive(Debug)]
pub struct ThrottleBy<R> {
    every: Duration,
    lines: Mutex<HashMap<R, Throttle>>,
}

impl<R: Eq + Hash> ThrottleBy<R> {
    /// At most one line for each reason in this time.
    pub fn every(every: Duration) -> Self {
        Self { every, lines: Mutex::default() }
    }

    /// Whether a line may be written at `now`. `None`: it is held back and counted.
    pub fn turn(&self, reason: R, now: Instant) -> Option<HeldBack> {
        let mut lines = self.lines.lock();
        lines.entry(reason).or_insert_with(|| Throttle::every(self.every)).turn(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_in_a_while_and_tells_how_many_were_held_back() {
        let (throttle, start) = (Throttle::every(Duration::from_secs(10)), Instant::now());
        let at = |seconds| throttle.turn(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(HeldBack(0)));
        assert_eq!([at(0), at(1), at(9)], [None; 3]);
        assert_eq!(at(10), Some(HeldBack(3)));
        assert_eq!(at(19), None);
        assert_eq!(at(60), Some(HeldBack(1)));
        assert_eq!(at(70), Some(HeldBack(0)));
    }

    #[test]
    fn each_reason_has_its_turns() {
        let (throttle, start) = (ThrottleBy::every(Duration::from_secs(10)), Instant::now());
        assert_eq!(
            ["a", "b", "a"].map(|reason| throttle.turn(reason, start)),
            [Some(HeldBack(0)), Some(HeldBack(0)), None]
        );
        let later = start + Duration::from_secs(10);
        assert_eq!(["a", "b"].map(|reason| throttle.turn(reason, later)), [Some(HeldBack(1)), Some(HeldBack(0))]);
    }

    #[test]
    fn the_number_is_the_end_of_a_line() {
        assert_eq!(format!("refused{}", HeldBack(0)), "refused");
        assert_eq!(format!("refused{}", HeldBack(7)), "refused (and 7 more since the last such line)");
    }
}
