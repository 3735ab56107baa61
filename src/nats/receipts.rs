//! The answers of nats-servers to an announcement: into the receipts, the metrics and the log.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};

use super::identity::Identity;
use super::reconcile::Comparer;
use crate::jwt::Called;
use crate::metrics::Metrics;
use crate::node::{self, Outcome, Server};

/// Announcements whose answers are still being collected for the log.
#[derive(Debug)]
pub(super) struct ReceiptCollector {
    kept: Arc<node::Receipts>,
    open: Mutex<HashMap<u64, OpenCollection>>,
    metrics: Arc<Metrics>,
    comparer: Option<Arc<Comparer>>,
}

#[derive(Debug)]
struct OpenCollection {
    account: Called,
    sent: Instant,
    answers: Vec<(String, Outcome, Duration)>,
}

/// The part of a reply that matters here.
#[derive(Debug, Deserialize)]
struct UpdateReply {
    server: Option<Identity>,
    data: Option<UpdateData>,
    error: Option<UpdateError>,
}

#[derive(Debug, Deserialize)]
struct UpdateData {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct UpdateError {
    #[serde(default)]
    description: String,
}

impl ReceiptCollector {
    /// `comparer`: compares what the nats-servers say with what they run.
    pub(super) fn new(kept: Arc<node::Receipts>, metrics: Arc<Metrics>, comparer: Option<Arc<Comparer>>) -> Self {
        Self { kept, open: Mutex::default(), metrics, comparer }
    }

    /// Where the receipts are kept.
    pub(super) const fn kept(&self) -> &Arc<node::Receipts> {
        &self.kept
    }

    /// Begins to collect the answers to the announcement `number`.
    pub(super) fn expect(&self, number: u64, account: Called) {
        let open = OpenCollection { account, sent: Instant::now(), answers: Vec::new() };
        self.open.lock().insert(number, open);
    }

    /// Collects the answers, and logs what came in the time `after` each announcement.
    pub(super) async fn collect(self: Arc<Self>, mut answers: Subscriber, after: Duration) {
        let mut sweep = interval(Duration::from_millis(250));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        loop {
            tokio::select! {
                answer = answers.next(), if open => match answer {
                    // The status "no responders" has no body.
                    Some(answer) if answer.status.is_none() => {
                        if let Some((serial, number)) = numbers(&answer.subject) {
                            self.take(serial, number, &answer.payload);
                        }
                    }
                    Some(_) => {}
                    None => open = false,
                },
                _ = sweep.tick() => self.close(after),
            }
        }
    }

    /// Notes one answer to the announcement `number` of the change `serial`, however late.
    fn take(&self, serial: u64, number: u64, payload: &[u8]) {
        let Ok(reply) = serde_json::from_slice::<UpdateReply>(payload) else { return };
        let server = reply.server.map_or_else(Server::unnamed, Server::from);
        let outcome = match (&reply.error, &reply.data) {
            (Some(_), _) | (None, None) => Outcome::Error,
            (None, Some(data)) if data.message.contains("skipped") => Outcome::NotLoaded,
            (None, Some(_)) => Outcome::Updated,
        };
        let (name, id) = (server.name.clone(), server.id.clone());
        let error = reply.error.as_ref().map(|error| &*error.description);
        let known = self.kept.answered(serial, server, outcome, error);
        self.metrics.delivery.replies.inc([outcome.label()]);
        if let Some((comparer, (key, _))) = self.comparer.as_ref().zip(known) {
            comparer.answered(&id, &key, serial, outcome);
        }
        let mut open = self.open.lock();
        let Some(open) = open.get_mut(&number) else {
            if let Some((_, took)) = known {
                self.metrics.delivery.reply_duration.observe(took.as_secs_f64());
                let (name, outcome, took) = (name.escape_debug(), outcome.label(), took.as_secs_f64());
                tracing::info!(
                    serial,
                    server = name.to_string(),
                    "nats-server {name} answered change {serial} late: {outcome} in {took:.1} s"
                );
            }
            return;
        };
        let took = open.sent.elapsed();
        if let Some(error) = error {
            tracing::warn!(
                account = %open.account.key(), server = name.escape_debug().to_string(),
                "nats-server {} rejected the JWT of {}: {}", name.escape_debug(), open.account, error.escape_debug()
            );
        }
        self.metrics.delivery.reply_duration.observe(took.as_secs_f64());
        open.answers.push((name, outcome, took));
    }

    /// Ends the collections that have gone on for `after`, and logs what they brought.
    fn close(&self, after: Duration) {
        let mut open = self.open.lock();
        let done: Vec<u64> =
            open.iter().filter(|(_, open)| open.sent.elapsed() >= after).map(|(number, _)| *number).collect();
        for number in done {
            if let Some(open) = open.remove(&number) {
                tracing::info!(account = %open.account.key(), servers = open.answers.len(), "announced JWT of {}: {}", open.account, summary(&open.answers));
            }
        }
    }
}

/// The change and the announcement that a reply's subject names at its end.
fn numbers(subject: &str) -> Option<(u64, u64)> {
    let mut tokens = subject.rsplit('.').map(str::parse);
    let (number, serial) = (tokens.next()?.ok()?, tokens.next()?.ok()?);
    Some((serial, number))
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
    use crate::key::AccountKey;
    use crate::metrics::Profile;
    use crate::node::{Announcement, DeliveryProgress};

    #[test]
    fn a_reply_says_by_its_subject_what_it_answers() {
        assert_eq!(numbers("_INBOX.a.b.12.3"), Some((12, 3)));
        for other in ["_INBOX.a.3", "3", "", "_INBOX.12.x"] {
            assert_eq!(numbers(other), None, "{other}");
        }
    }

    #[test]
    fn answers_are_told_apart_and_kept_also_when_they_come_late() {
        let kept = Arc::new(node::Receipts::default());
        let receipts =
            ReceiptCollector::new(kept.clone(), Arc::new(Metrics::new(Profile::primary()).expect("metrics")), None);
        let key = AccountKey::from_raw([1; 32]);
        let (iat, identity) = (1, [2; 32]);
        kept.announced(Announcement { serial: 3, key, iat, identity, has_older: false, bytes: 700 });
        receipts.expect(7, key.into());
        receipts.take(3, 7, br#"{"server":{"name":"a","id":"A"},"data":{"code":200,"message":"jwt updated"}}"#);
        receipts.take(3, 7, br#"{"server":{"name":"b","id":"B"},"data":{"code":200,"message":"jwt update skipped"}}"#);
        receipts.take(3, 7, br#"{"error":{"code":500,"description":"no"},"server":{"name":"c","id":"C"}}"#);
        receipts.take(3, 7, b"garbage");
        let outcomes: Vec<Outcome> = receipts.open.lock()[&7].answers.iter().map(|answer| answer.1).collect();
        assert_eq!(outcomes, [Outcome::Updated, Outcome::NotLoaded, Outcome::Error]);
        receipts.close(Duration::ZERO);
        assert!(receipts.open.lock().is_empty());
        receipts.take(3, 7, br#"{"server":{"name":"d","id":"D"},"data":{}}"#);
        let DeliveryProgress::Announced(delivery) = kept.progress(3) else { panic!("no receipt") };
        let names: Vec<&str> = delivery.receipts.iter().map(|receipt| &*receipt.server.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        let reply = delivery.receipts[2].reply.as_ref().expect("an answer");
        assert_eq!(reply.error.as_deref(), Some("no"));
    }
}
