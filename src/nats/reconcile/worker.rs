//! One nats-server: comparing its accounts one by one, and what follows from each comparison.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::CompareContext;
use super::ask::AskError;
use super::pace::Pace;
use super::schedule::{Job, Schedule};
use crate::clock;
use crate::key::AccountKey;
use crate::node::{Again, Compared, FETCH_TIMEOUT, Match, NatsServer, NatsServerChange, Outcome, Server};
use crate::throttle::Throttle;

/// How long the answer to an announcement is waited for, before the nats-server is asked.
const REPLY_WAIT: Duration = Duration::from_millis(500);
/// A repair is not sent so soon after the last announcement of the same change, which may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(300);
/// Room for the nats-server's own time after its fetch has timed out.
const SLACK: Duration = Duration::from_millis(20);
/// Changed accounts that are compared in a second at most. A comparison costs a nats-server 0.2 to 1 ms.
const PER_SECOND: f64 = 500.0;
/// Comparisons under way at one nats-server.
const WINDOW: usize = 8;
/// A nats-server whose last answer took longer is asked about one account at a time.
const SLOW_ANSWER: Duration = Duration::from_millis(300);
/// An account whose answer was slow is left out of sweeps for this many times as long.
const REST: u32 = 50;
/// How many such accounts are remembered.
const MAX_SLOW: usize = 1000;
/// How soon a comparison that brought no answer is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The same where our user may not ask.
const DENIED_RETRY: Duration = Duration::from_secs(60);
/// How often it is looked again whether all replicas have a change, so that "not loaded" counts.
const REPLICA_LOOKS: u32 = 5;

/// What is done with one nats-server.
#[derive(Debug)]
pub(super) struct ServerWorker {
    pub(super) shared: Arc<CompareContext>,
    pub(super) server: Arc<Server>,
    schedule: Mutex<Schedule>,
    wake: Notify,
    pace: Mutex<Pace>,
    /// Accounts whose answers were slow, and until when sweeps leave them out.
    slow: Mutex<HashMap<AccountKey, Instant>>,
    last_answer: AtomicU64,
    catch_up: Mutex<CatchUp>,
    pub(super) catch_up_wake: Notify,
}

/// From where on a nats-server may have missed changes.
#[derive(Debug, Default)]
struct CatchUp {
    /// Asked for, and not begun.
    asked: Option<u64>,
    /// Under way.
    under_way: Option<u64>,
}

impl ServerWorker {
    /// A worker that begins with what changed after `from`.
    pub(super) fn new(shared: Arc<CompareContext>, server: Arc<Server>, from: u64) -> Self {
        Self {
            shared,
            server,
            schedule: Mutex::default(),
            wake: Notify::new(),
            pace: Mutex::new(Pace::new(PER_SECOND, PER_SECOND / 5.0)),
            slow: Mutex::default(),
            last_answer: AtomicU64::new(0),
            catch_up: Mutex::new(CatchUp { asked: Some(from), under_way: None }),
            catch_up_wake: Notify::new(),
        }
    }

    /// A change was announced for the first time.
    pub(super) fn announced(&self, key: AccountKey, serial: u64) {
        self.schedule.lock().changed(key, serial, Instant::now() + REPLY_WAIT);
        self.wake.notify_one();
    }

    /// The nats-server answered an announcement.
    pub(super) fn answered(&self, key: &AccountKey, serial: u64, outcome: Outcome) {
        let now = Instant::now();
        let at = match outcome {
            // It may be fetching the account right now, and what it gets may be older.
            Outcome::NotLoaded => self.shared.receipts.not_loaded_since(serial).unwrap_or(now + FETCH_TIMEOUT) + SLACK,
            _ => now,
        };
        let mut schedule = self.schedule.lock();
        if outcome == Outcome::NotLoaded && at > now + REPLY_WAIT && schedule.has(key) {
            // The wait for a silent server would end sooner, and find nothing that counts.
            schedule.changed(*key, serial, at);
        } else {
            schedule.hasten(key, at);
        }
        drop(schedule);
        self.wake.notify_one();
        if outcome == Outcome::NotLoaded {
            self.shared.look_at_stored(*key, serial);
        }
    }

    /// Plans a comparison of an account now.
    pub(super) fn suspect(&self, key: AccountKey, serial: u64) {
        self.schedule.lock().changed(key, serial, Instant::now());
        self.wake.notify_one();
    }

    /// What changed after `from` may not have arrived there, or may have been loaded from a stale replica.
    pub(super) fn catch_up_from(&self, from: u64) {
        let mut catch_up = self.catch_up.lock();
        catch_up.asked = Some(catch_up.asked.map_or(from, |asked| asked.min(from)));
        drop(catch_up);
        self.catch_up_wake.notify_one();
    }

    /// From where on to catch up, if that is asked for. It counts as under way until [`ServerWorker::caught_up`].
    pub(super) fn begin_catch_up(&self) -> Option<u64> {
        let mut catch_up = self.catch_up.lock();
        catch_up.under_way = catch_up.asked.take();
        catch_up.under_way
    }

    /// What was under way has ended: all of it is in the schedule.
    pub(super) fn caught_up(&self) {
        self.catch_up.lock().under_way = None;
    }

    /// Whether the nats-server has to catch up.
    pub(super) fn is_catching_up(&self) -> bool {
        let catch_up = self.catch_up.lock();
        catch_up.asked.is_some() || catch_up.under_way.is_some()
    }

    /// Up to which change everything was compared there after it was announced.
    pub(super) fn cursor(&self) -> u64 {
        // First: what is announced later is in the schedule by then.
        let announced = self.shared.receipts.announced_up_to();
        let outstanding = self.schedule.lock().lowest().map(|serial| serial.saturating_sub(1));
        let catch_up = self.catch_up.lock();
        [outstanding, catch_up.asked, catch_up.under_way].into_iter().flatten().fold(announced, u64::min)
    }

    /// What the journal keeps of the nats-server.
    pub(super) fn noted(&self, is_gone: bool) -> NatsServerChange {
        let Server { id, name, cluster, host, version } = (*self.server).clone();
        let (compared, noted) = (self.cursor(), clock::unix_millis());
        (id.clone(), Some(NatsServer { id, name, cluster, host, version, compared, noted, is_gone }))
    }

    /// Compares what is due, for as long as the nats-server is there.
    pub(super) async fn compare_due(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            let mut pause = None;
            while running.len() < self.window() {
                let now = Instant::now();
                let next = self.schedule.lock().next();
                let Some(next) = next else { break };
                if next > now {
                    pause = Some(next - now);
                    break;
                }
                if let Err(wait) = self.pace.lock().take(now) {
                    pause = Some(wait);
                    break;
                }
                let job = self.schedule.lock().take(now);
                let Some(job) = job else { break };
                running.push(async move {
                    self.step(job).await;
                    self.schedule.lock().done(&job.key);
                });
            }
            self.note_pending();
            tokio::select! {
                Some(()) = running.next() => {}
                () = self.wake.notified() => {}
                () = wait(pause) => {}
            }
        }
    }

    fn window(&self) -> usize {
        let last = Duration::from_millis(self.last_answer.load(Ordering::Relaxed));
        if last > SLOW_ANSWER { 1 } else { WINDOW }
    }

    fn note_pending(&self) {
        let mut schedule = self.schedule.lock();
        let (pending, beyond) = (schedule.pending(), schedule.take_beyond());
        drop(schedule);
        if let Some(serial) = beyond {
            self.catch_up_from(serial.saturating_sub(1));
        }
        let pending = pending + usize::from(self.is_catching_up());
        self.shared.receipts.note(&self.server.id, |standing| standing.pending = pending);
    }

    /// Whether sweeps pass an account over: it is compared anyway, or costs the nats-server too much.
    pub(super) fn passes_over(&self, key: &AccountKey) -> bool {
        if self.schedule.lock().has(key) {
            return true;
        }
        let mut slow = self.slow.lock();
        let rests = slow.get(key).is_some_and(|until| Instant::now() < *until);
        if !rests {
            slow.remove(key);
        }
        rests
    }

    /// Compares one account, and does what follows.
    pub(super) async fn step(&self, job: Job) {
        let began = Instant::now();
        let compared = self.shared.compare(&self.server, job.key).await;
        self.took(job.key, began.elapsed());
        match compared {
            Ok(compared) => self.follow_up(job, &compared).await,
            Err(error) => self.failed(job, &error),
        }
        self.wake.notify_one();
    }

    fn took(&self, key: AccountKey, took: Duration) {
        self.last_answer.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if took > SLOW_ANSWER {
            let mut slow = self.slow.lock();
            if slow.len() < MAX_SLOW {
                slow.insert(key, Instant::now() + took * REST);
            }
        }
    }

    async fn follow_up(&self, job: Job, compared: &Compared) {
        let shared = &self.shared;
        let job = Job { serial: compared.serial, ..job };
        let now = Instant::now();
        match &compared.found {
            Match::Current if compared.is_in_force() => {
                if job.attempts > 0 {
                    shared.metrics.delivery.repairs.inc(["older", "in_force"]);
                }
            }
            Match::Current => self.schedule.lock().again(job, now),
            Match::NotLoaded | Match::Foreign => {
                if !shared.receipts.keeps(job.serial) {
                    return;
                }
                shared.look_at_stored(job.key, job.serial);
                match shared.receipts.not_loaded_since(job.serial) {
                    Some(since) if compared.asked >= since => {}
                    Some(since) => self.schedule.lock().retry(job, since + SLACK),
                    // A replica that is behind for longer makes all that changed be compared when it is back.
                    None if job.attempts < REPLICA_LOOKS => self.schedule.lock().again(job, now),
                    None => {}
                }
            }
            Match::Behind { .. } => {
                self.repair(job, "older").await;
                self.schedule.lock().again(job, now);
            }
            Match::Incomplete { is_unresolved: true, .. } => {
                if job.attempts > 0 {
                    self.repair(job, "imports").await;
                }
                self.schedule.lock().again(job, now);
            }
            Match::Incomplete { .. } | Match::CannotUnload { .. } | Match::Rejected { .. } => {}
        }
    }

    /// Announces the current JWT of an account again, unless that is on its way.
    async fn repair(&self, job: Job, reason: &'static str) {
        let shared = &self.shared;
        let is_on_its_way = shared.receipts.last_sent(job.serial).is_some_and(|sent| sent.elapsed() < ON_ITS_WAY);
        if is_on_its_way || job.serial > shared.receipts.announced_up_to() {
            return;
        }
        if job.attempts > 1 {
            shared.metrics.delivery.repairs.inc([reason, "still_behind"]);
        }
        if shared.announcements.send(Again::Account(job.key)).await.is_err() {
            return;
        }
        shared.metrics.delivery.repairs.inc([reason, "announced"]);
        static LINE: Throttle = Throttle::every(Duration::from_secs(1));
        if let Some(held_back) = LINE.turn(Instant::now()) {
            let name = self.server.name.escape_debug();
            tracing::info!(
                account = %job.key,
                server = %name,
                serial = job.serial,
                reason,
                "nats-server {name} does not run the current JWT of {}: announcing it again{held_back}",
                shared.node.called(&job.key)
            );
        }
    }

    fn failed(&self, job: Job, error: &AskError) {
        self.shared.metrics.delivery.comparisons.inc(["failed"]);
        let pause = match error {
            AskError::Denied(_) | AskError::TooLarge(_) => DENIED_RETRY,
            AskError::NotConnected | AskError::Nobody => RETRY,
            AskError::Silent | AskError::Unusable(_) => RETRY * 5,
        };
        self.note_unknown(error);
        self.schedule.lock().retry(job, Instant::now() + pause);
    }

    /// Notes that it cannot be told what the nats-server runs.
    pub(super) fn note_unknown(&self, error: &AskError) {
        self.shared.receipts.note(&self.server.id, |standing| standing.unknown = Some(error.to_string()));
    }

    /// Notes for changed accounts that they are not loaded there, as the list said that was asked for at `asked`.
    pub(super) fn not_loaded(&self, key: AccountKey, serial: u64, asked: Instant) {
        let compared = Compared {
            serial,
            found: Match::NotLoaded,
            asked,
            at: clock::unix_millis(),
            connections_left: None,
            lagging: Vec::new(),
        };
        self.shared.receipts.compared(&self.server, key, compared, None);
        self.shared.look_at_stored(key, serial);
        self.shared.note_in_force(serial);
    }
}

async fn wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => std::future::pending().await,
    }
}
