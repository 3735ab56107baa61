//! The workers as the rest of this server reaches them: to say what was announced and answered, and to have an account
//! compared at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::ask::{AskError, Asker, MonitorRequest};
use super::pace::Pace;
use super::schedule::Job;
use super::worker::ServerWorker;
use crate::key::AccountKey;
use crate::nats::link::Link;
use crate::node::{Compare, Outcome};

/// Accounts that are compared in a second because somebody asks about them.
const ASKED_PER_SECOND: f64 = 20.0;
/// What was compared so lately is not compared again because somebody asks.
const ASKED_AGAIN: Duration = Duration::from_millis(250);
/// How many accounts that were asked about are remembered.
const MAX_ASKED: usize = 4096;

/// The workers. There are none before there is a connection.
#[derive(Debug)]
pub(in crate::nats) struct Comparer {
    link: Arc<Link>,
    /// By the id of the nats-server.
    pub(super) workers: Mutex<HashMap<String, RunningWorker>>,
    asked: Mutex<AskedAbout>,
}

#[derive(Debug)]
pub(super) struct RunningWorker {
    pub(super) worker: Arc<ServerWorker>,
    pub(super) presence: u64,
    /// The cursor that the journal has.
    pub(super) written: Option<u64>,
    pub(super) task: AbortHandle,
}

/// What somebody asked about lately.
#[derive(Debug)]
struct AskedAbout {
    pace: Pace,
    at: HashMap<AccountKey, Instant>,
}

impl Comparer {
    pub(in crate::nats) fn new(link: Arc<Link>) -> Self {
        let asked = AskedAbout { pace: Pace::new(ASKED_PER_SECOND, ASKED_PER_SECOND), at: HashMap::new() };
        Self { link, workers: Mutex::default(), asked: Mutex::new(asked) }
    }

    /// A change is being announced for the first time.
    pub(in crate::nats) fn announced(&self, key: AccountKey, serial: u64) {
        for running in self.workers.lock().values() {
            running.worker.announced(key, serial);
        }
    }

    /// A nats-server answered an announcement.
    pub(in crate::nats) fn answered(&self, id: &str, key: &AccountKey, serial: u64, outcome: Outcome) {
        let workers = self.workers.lock();
        if let Some(running) = workers.get(id) {
            running.worker.answered(key, serial, outcome);
        }
    }

    /// Whether an account that somebody asks about is compared for that.
    fn is_asked_about(&self, key: AccountKey) -> bool {
        let now = Instant::now();
        let mut asked = self.asked.lock();
        if asked.at.get(&key).is_some_and(|at| now.saturating_duration_since(*at) < ASKED_AGAIN) {
            return false;
        }
        if asked.pace.take(now).is_err() {
            return false;
        }
        if asked.at.len() >= MAX_ASKED {
            asked.at.retain(|_, at| now.saturating_duration_since(*at) < ASKED_AGAIN);
        }
        asked.at.insert(key, now);
        true
    }
}

impl Compare for Comparer {
    fn compare(&self, key: AccountKey) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if !self.is_asked_about(key) {
            return Box::pin(std::future::ready(()));
        }
        let workers: Vec<Arc<ServerWorker>> = {
            let workers = self.workers.lock();
            workers.values().map(|running| running.worker.clone()).collect()
        };
        Box::pin(async move {
            join_all(workers.iter().map(|worker| worker.step(Job { key, serial: 0, attempts: 0 }))).await;
        })
    }

    fn trouble(&self) -> Option<String> {
        let asker = Asker::new(self.link.everyday()?);
        asker
            .is_denied(MonitorRequest::Accounts)
            .then(|| AskError::Denied(MonitorRequest::Accounts.permission()).to_string())
    }
}
