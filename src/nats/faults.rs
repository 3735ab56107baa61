//! Failures to connect, each reported once.
//!
//! A server that is away fails at each attempt, at each address, and for each connection. One line is worth reading; it is
//! repeated after a long time, and when something else fails.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::explain::Fault;
use crate::throttle::HeldBack;

/// A failure that goes on is reported again after this time.
const AGAIN: Duration = Duration::from_secs(600);
/// A failure that comes back after a success is reported again after this time: connections may come and go quickly.
const SOON: Duration = Duration::from_secs(10);
/// How many failures are remembered.
const MOST: usize = 64;

/// A failed attempt.
#[derive(Debug, Clone)]
pub(super) struct ConnectFailure {
    /// The address, without what logs in there. None if it does not matter which one it was.
    pub(super) server: Option<String>,
    /// What failed.
    pub(super) fault: Fault,
    /// The same for people, and what to do.
    pub(super) text: String,
}

/// What failed, and what of it was reported.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<FaultState>);

#[derive(Debug, Default)]
struct FaultState {
    reported: HashMap<(Option<String>, Fault), Reported>,
    /// Counts successes.
    outage: u64,
    latest: Option<String>,
    held_back: u64,
}

/// Whether a failure is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Novelty {
    None,
    /// It goes on for a long time.
    Again,
    /// It is another failure than before.
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Reported {
    at: Instant,
    outage: u64,
}

impl Faults {
    /// Notes what failed in a round of attempts. Returns the line to report, if there is news in it.
    pub(super) fn failed(&self, failures: &[ConnectFailure], now: Instant) -> Option<String> {
        let mut state = self.0.lock();
        let mut texts: Vec<&str> = failures.iter().map(|failure| failure.text.as_str()).collect();
        texts.dedup();
        state.latest = Some(texts.join("; "));
        let mut news = Novelty::None;
        for failure in failures.iter().filter(|failure| failure.fault != Fault::Reported) {
            news = news.max(state.news(failure, now));
        }
        if news == Novelty::None {
            state.held_back += u64::from(failures.iter().any(|failure| failure.fault != Fault::Reported));
            return None;
        }
        let held_back = std::mem::take(&mut state.held_back);
        // Before another failure there was another line.
        let held_back = HeldBack(if news == Novelty::Again { held_back } else { 0 });
        let lines: Vec<String> = failures.iter().map(ConnectFailure::line).collect();
        Some(format!("{}{held_back}", lines.join("; ")))
    }

    /// Notes that all connections are there.
    pub(super) fn succeeded(&self) {
        let mut state = self.0.lock();
        (state.latest, state.held_back) = (None, 0);
        state.outage += 1;
    }

    /// What failed in the latest round of attempts, for people. It names no file.
    pub(super) fn latest(&self) -> Option<String> {
        self.0.lock().latest.clone()
    }
}

impl ConnectFailure {
    fn line(&self) -> String {
        self.server.as_ref().map_or_else(|| self.text.clone(), |server| format!("{server}: {}", self.text))
    }
}

impl FaultState {
    fn news(&mut self, failure: &ConnectFailure, now: Instant) -> Novelty {
        let server = if failure.fault.is_of_user() { None } else { failure.server.clone() };
        let (key, outage) = ((server, failure.fault.clone()), self.outage);
        let is_recent = |reported: &Reported| {
            let pause = if reported.outage == outage { AGAIN } else { SOON };
            now.saturating_duration_since(reported.at) < pause
        };
        let news = match self.reported.get(&key) {
            Some(reported) if is_recent(reported) => return Novelty::None,
            Some(reported) if reported.outage == outage => Novelty::Again,
            _ => Novelty::Other,
        };
        if self.reported.len() >= MOST {
            self.reported.retain(|_, reported| is_recent(reported));
        }
        if self.reported.len() >= MOST && !self.reported.contains_key(&key) {
            return Novelty::None;
        }
        self.reported.insert(key, Reported { at: now, outage });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(server: &str, fault: Fault, text: &str) -> ConnectFailure {
        ConnectFailure { server: Some(server.to_owned()), fault, text: text.to_owned() }
    }

    fn other(server: &str, text: &str) -> ConnectFailure {
        failure(server, Fault::Other(text.to_owned()), text)
    }

    #[test]
    fn a_failure_is_reported_once_and_again_after_a_long_time() {
        let (faults, start) = (Faults::default(), Instant::now());
        let at = |seconds, text: &str| faults.failed(&[other("a", text)], start + Duration::from_secs(seconds));
        assert_eq!(at(0, "refused"), Some("a: refused".to_owned()));
        assert_eq!([1, 2, 599].map(|seconds| at(seconds, "refused")), [None, None, None]);
        assert_eq!(at(600, "refused"), Some("a: refused (and 3 more since the last such line)".to_owned()));
        assert_eq!([601, 602].map(|seconds| at(seconds, "refused")), [None, None]);
        assert_eq!(at(603, "rejected"), Some("a: rejected".to_owned()));
        assert_eq!(at(604, "refused"), None, "it was reported before");
        assert_eq!(faults.latest(), Some("refused".to_owned()));
    }

    #[test]
    fn after_a_success_a_failure_is_news_but_not_all_the_time() {
        let (faults, start) = (Faults::default(), Instant::now());
        let at = |seconds| faults.failed(&[other("a", "refused")], start + Duration::from_secs(seconds)).is_some();
        assert!(at(0));
        faults.succeeded();
        assert_eq!(faults.latest(), None);
        assert!(!at(2));
        assert!(at(10));
        assert!(!at(11));
    }

    #[test]
    fn a_user_is_the_same_at_every_server() {
        let (faults, now) = (Faults::default(), Instant::now());
        assert!(faults.failed(&[failure("a", Fault::Rejected, "x")], now).is_some());
        assert!(faults.failed(&[failure("b", Fault::Rejected, "x")], now).is_none());
        assert!(faults.failed(&[other("b", "x")], now).is_some());
        assert!(faults.failed(&[failure("c", Fault::Reported, "x")], now).is_none(), "reported elsewhere");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (faults, now) = (Faults::default(), Instant::now());
        let reported = (0..1000).filter(|at| faults.failed(&[other("a", &format!("x{at}"))], now).is_some()).count();
        assert_eq!(reported, MOST);
        assert!(faults.failed(&[other("a", "y")], now + AGAIN).is_some(), "old ones make room");
    }
}
