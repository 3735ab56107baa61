//! The health of one server, from its latest answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::UpstreamError;
use crate::backoff::drawn;
use crate::clock;

/// The longest pause after failures, without a quarter that is drawn.
const MAX_REST: Duration = Duration::from_secs(5);
/// The number of failures in a row after which a reachable server counts as failing. A single failure may concern one
/// account.
const STRIKES: u32 = 3;
/// The shortest time for which a server stays out of use, in milliseconds. It doubles each time.
const FIRST_LEAVE: i64 = 1_000;
const MAX_LEAVE: i64 = 60_000;
/// A server that was preferred for this long, in milliseconds, begins with [`FIRST_LEAVE`] again.
const STEADY: i64 = 60_000;

/// Whether a server can be used.
#[derive(Debug, Clone)]
pub(super) enum ServerVerdict {
    /// It is not known yet which operator's accounts it hosts.
    Unknown,
    /// It hosts our operator's accounts, and answers.
    Well,
    /// It does not give usable answers, for this reason.
    Failing(Arc<str>),
    /// It hosts another operator's accounts. Its answers are of no use, above all that it does not know an account.
    Foreign(Arc<str>),
}

/// The record of one server.
#[derive(Debug)]
pub(super) struct Health {
    verdict: Mutex<ServerVerdict>,
    failures: AtomicU32,
    rests_until: AtomicI64,
    preferred_since: AtomicI64,
    leaves: AtomicU32,
    left_until: AtomicI64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            verdict: Mutex::new(ServerVerdict::Unknown),
            failures: AtomicU32::new(0),
            rests_until: AtomicI64::new(0),
            preferred_since: AtomicI64::new(0),
            leaves: AtomicU32::new(0),
            left_until: AtomicI64::new(0),
        }
    }
}

impl Health {
    pub(super) fn verdict(&self) -> ServerVerdict {
        self.verdict.lock().clone()
    }

    /// Sets the verdict, and returns the earlier one.
    pub(super) fn judge(&self, verdict: ServerVerdict) -> ServerVerdict {
        std::mem::replace(&mut *self.verdict.lock(), verdict)
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(self.verdict(), ServerVerdict::Well)
    }

    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.verdict(), ServerVerdict::Foreign(_))
    }

    /// Why another server, if there is one, is better.
    pub(super) fn fault(&self) -> Option<Arc<str>> {
        match self.verdict() {
            ServerVerdict::Unknown | ServerVerdict::Well => None,
            ServerVerdict::Failing(reason) | ServerVerdict::Foreign(reason) => Some(reason),
        }
    }

    /// Whether it failed so recently that a copy is better than a wait for it.
    pub(super) fn is_resting(&self) -> bool {
        clock::uptime_millis() < self.rests_until.load(Ordering::Acquire)
    }

    /// It gave a usable answer.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Release);
        self.rests_until.store(0, Ordering::Release);
        let mut verdict = self.verdict.lock();
        if matches!(*verdict, ServerVerdict::Failing(_)) {
            *verdict = ServerVerdict::Unknown;
        }
    }

    /// It gave no usable answer.
    pub(super) fn failed(&self, error: &UpstreamError) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel);
        let rest = drawn(Duration::from_millis(100 << failures.min(6)).min(MAX_REST), 1.0..=1.25);
        let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
        self.rests_until.store(clock::uptime_millis() + rest, Ordering::Release);
        if failures + 1 >= STRIKES || error.is_lasting() {
            self.fail(&error.to_string());
        }
    }

    /// Marks it as failing, so that another server is used if there is one.
    pub(super) fn fail(&self, reason: &str) {
        let mut verdict = self.verdict.lock();
        if !matches!(*verdict, ServerVerdict::Foreign(_)) {
            *verdict = ServerVerdict::Failing(reason.into());
        }
    }

    /// All requests go to it from now on.
    pub(super) fn prefer(&self) {
        self.preferred_since.store(clock::uptime_millis(), Ordering::Release);
    }

    /// All requests go to another server from now on. The server stays out of use longer each time, so that one that
    /// only seems healthy does not move all traffic back and forth.
    pub(super) fn leave(&self) {
        let now = clock::uptime_millis();
        if now - self.preferred_since.load(Ordering::Acquire) > STEADY {
            self.leaves.store(0, Ordering::Release);
        }
        let leaves = self.leaves.fetch_add(1, Ordering::AcqRel).min(6);
        self.left_until.store(now + (FIRST_LEAVE << leaves).min(MAX_LEAVE), Ordering::Release);
    }

    /// Whether it was out of use for long enough.
    pub(super) fn may_return(&self) -> bool {
        clock::uptime_millis() >= self.left_until.load(Ordering::Acquire)
    }
}

/// A request that was sent. If it is given up after `patience`, that counts against the server.
pub(super) struct Sent<'a> {
    health: &'a Health,
    at: tokio::time::Instant,
    patience: Duration,
    is_answered: bool,
}

impl<'a> Sent<'a> {
    pub(super) fn now(health: &'a Health, patience: Duration) -> Self {
        Self { health, at: tokio::time::Instant::now(), patience, is_answered: false }
    }

    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.is_answered && self.at.elapsed() >= self.patience {
            self.health.failed(&UpstreamError::no_answer());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_none_three_are_and_no_connection_is() {
        let late = UpstreamError::no_answer();
        let health = Health::default();
        for _ in 0..5 {
            health.failed(&late);
            health.failed(&late);
            assert!(health.is_resting() && health.fault().is_none());
            health.answered();
            assert!(!health.is_resting());
        }
        for _ in 0..STRIKES {
            health.failed(&late);
        }
        assert_eq!(health.fault().as_deref(), Some("no answer in time"));
        let health = Health::default();
        health.failed(&UpstreamError::Connect("refused".into()));
        assert_eq!(health.fault().as_deref(), Some("refused"));
    }

    #[test]
    fn who_hosts_another_operator_does_so_however_it_fails() {
        let health = Health::default();
        health.judge(ServerVerdict::Foreign("foreign".into()));
        health.fail("slow");
        assert!(health.is_foreign());
    }

    #[test]
    fn a_request_that_was_given_up_early_counts_against_nobody() {
        let health = Health::default();
        drop(Sent::now(&health, Duration::from_secs(60)));
        Sent::now(&health, Duration::ZERO).answered();
        assert!(!health.is_resting());
        drop(Sent::now(&health, Duration::ZERO));
        assert!(health.is_resting());
    }
}
