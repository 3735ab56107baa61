//! The answers of nats-servers to an announcement.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::key::AccountKey;
use crate::metrics::Metrics;

/// What a nats-server did with a claims update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It took the JWT.
    Updated,
    /// It does not have the account loaded, and asks for it when it needs it.
    Skipped,
    /// It refused.
    Error,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Skipped => "skipped",
            Self::Error => "error",
        }
    }
}

/// Announcements whose answers are still being collected.
#[derive(Debug)]
pub(super) struct Receipts {
    open: Mutex<HashMap<u64, Open>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Open {
    key: AccountKey,
    sent: Instant,
    answers: Vec<(String, Outcome, Duration)>,
}

/// The part of a reply that matters here.
#[derive(Debug, Deserialize)]
struct Reply {
    server: Option<Server>,
    data: Option<Data>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Server {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    description: String,
}

impl Receipts {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { open: Mutex::default(), metrics }
    }

    /// Begins to collect the answers to the announcement `number`.
    pub(super) fn expect(&self, number: u64, key: AccountKey) {
        let open = Open { key, sent: Instant::now(), answers: Vec::new() };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, open);
    }

    /// Takes in one answer.
    pub(super) fn take(&self, number: u64, payload: &[u8]) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.get_mut(&number) else { return };
        let Ok(reply) = serde_json::from_slice::<Reply>(payload) else { return };
        let took = open.sent.elapsed();
        let name = reply.server.map_or_else(|| "unnamed".to_owned(), |server| server.name);
        let outcome = match (&reply.error, &reply.data) {
            (Some(_), _) | (None, None) => Outcome::Error,
            (None, Some(data)) if data.message.contains("skipped") => Outcome::Skipped,
            (None, Some(_)) => Outcome::Updated,
        };
        if let Some(error) = reply.error {
            tracing::warn!(
                account = %open.key, server = name.escape_debug().to_string(),
                "nats-server {} refused the JWT of {}: {}", name.escape_debug(), open.key, error.description.escape_debug()
            );
        }
        self.metrics.announce_replies.with_label_values(&[outcome.label()]).inc();
        self.metrics.announce_duration.observe(took.as_secs_f64());
        open.answers.push((name, outcome, took));
    }

    /// Ends the collections that have gone on for `after`, and logs what they brought.
    pub(super) fn close(&self, after: Duration) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let done: Vec<u64> =
            open.iter().filter(|(_, open)| open.sent.elapsed() >= after).map(|(number, _)| *number).collect();
        for number in done {
            if let Some(open) = open.remove(&number) {
                tracing::info!(account = %open.key, servers = open.answers.len(), "announced JWT of {}: {}", open.key, summary(&open.answers));
            }
        }
    }
}

fn summary(answers: &[(String, Outcome, Duration)]) -> String {
    if answers.is_empty() {
        return "no nats-server answered".into();
    }
    let mut text = String::new();
    for (name, outcome, took) in answers {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{} {} in {:.1} ms", name.escape_debug(), outcome.label(), took.as_secs_f64() * 1000.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let receipts = Receipts::new(Arc::new(Metrics::new("primary").expect("metrics")));
        receipts.expect(7, AccountKey::from_raw([1; 32]));
        receipts.take(7, br#"{"server":{"name":"a"},"data":{"code":200,"message":"jwt updated"}}"#);
        receipts.take(7, br#"{"server":{"name":"b"},"data":{"code":200,"message":"jwt update skipped"}}"#);
        receipts.take(7, br#"{"error":{"code":500,"description":"no"},"server":{"name":"c"}}"#);
        receipts.take(7, b"garbage");
        receipts.take(8, br#"{"server":{"name":"d"},"data":{}}"#);
        let outcomes: Vec<Outcome> =
            receipts.open.lock().expect("lock")[&7].answers.iter().map(|answer| answer.1).collect();
        assert_eq!(outcomes, [Outcome::Updated, Outcome::Skipped, Outcome::Error]);
        receipts.close(Duration::ZERO);
        assert!(receipts.open.lock().expect("lock").is_empty());
    }
}
