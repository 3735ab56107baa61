//! The receipts of the latest changes, and what is known of the nats-servers: one state under one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::announcement::{Announcement, Delivery, Outcome};
use super::book::Book;
use super::compared::Compared;
use super::fleet::{Difference, Fleet, ServerStanding};
use super::owed::{ChangeKind, Owed, OwedChange};
use super::servers::{Present, Server, Servers};
use crate::clock;
use crate::gate::Identity;
use crate::key::AccountKey;

/// How long a nats-server that is gone without a word is remembered.
const REMEMBER_GONE: Duration = Duration::from_secs(3600);

/// How far a change has come on its way to the nats-servers.
#[derive(Debug, Clone)]
pub enum DeliveryProgress {
    /// Nothing is ever announced: NATS is not configured.
    Off,
    /// It is not announced yet.
    Pending,
    /// The announcer is past it, and no receipt is kept: it was replaced before it was announced, it is none that is
    /// announced, or it was announced too long ago.
    Passed,
    /// It was announced.
    Announced(Delivery),
}

impl DeliveryProgress {
    /// Whether waiting any longer can bring no more. `is_compared`: whether what nats-servers run is compared; else their
    /// answers are all there is.
    fn is_final(&self, is_compared: bool) -> bool {
        match self {
            Self::Off | Self::Passed => true,
            Self::Pending => false,
            Self::Announced(delivery) if is_compared => delivery.is_proven || delivery.trouble.is_some(),
            Self::Announced(delivery) => {
                delivery.trouble.is_some() || (delivery.silent.is_empty() && !delivery.receipts.is_empty())
            }
        }
    }
}

/// The nats-servers in numbers.
#[derive(Debug, Default)]
pub struct Summary {
    /// They run what is stored.
    pub in_sync: usize,
    /// They run something else.
    pub behind: usize,
    /// It cannot be told what they run.
    pub unknown: usize,
    /// They are gone without a word.
    pub silent: usize,
    /// How many accounts are behind at each one that is there.
    pub accounts_behind: Vec<(Arc<Server>, usize)>,
    /// When the latest sweep ended of the one whose sweep is longest ago, unix milliseconds; 0: never. `None`: none is there.
    pub oldest_sweep: Option<i64>,
}

/// The receipts of the latest changes, and what is known of the nats-servers.
#[derive(Debug)]
pub struct Receipts {
    state: Mutex<ReceiptsState>,
    /// Moves when other nats-servers are there, or one of them may have missed something.
    roster: watch::Sender<u64>,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { state: Mutex::default(), roster: watch::Sender::new(0) }
    }
}

#[derive(Debug, Default)]
struct ReceiptsState {
    book: Book,
    servers: Servers,
    fleet: Fleet,
    owed: Owed,
    /// Those who wait for a change: one channel for each serial, for as long as somebody waits.
    waiting: HashMap<u64, watch::Sender<()>>,
    off: bool,
}

impl ReceiptsState {
    fn wake(&self, serial: u64) {
        if let Some(waiting) = self.waiting.get(&serial) {
            waiting.send_replace(());
        }
    }

    fn wake_all(&self) {
        self.waiting.values().for_each(|waiting| {
            waiting.send_replace(());
        });
    }

    fn progress(&self, serial: u64, now: Instant) -> DeliveryProgress {
        match self.book.delivery(serial, &self.servers, now) {
            Some(delivery) => DeliveryProgress::Announced(delivery),
            None if self.off => DeliveryProgress::Off,
            None if serial <= self.book.passed() => DeliveryProgress::Passed,
            None => DeliveryProgress::Pending,
        }
    }
}

impl Receipts {
    /// Says that there is no NATS, and that there will be none.
    pub fn switch_off(&self) {
        let mut state = self.state.lock();
        state.off = true;
        state.wake_all();
    }

    /// Whether there is no NATS, and will be none.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Notes that a change is being announced, for the first time or again. To be called before it is sent, else an
    /// answer may come first. Returns whether this is the first time.
    pub fn announced(&self, announcement: Announcement) -> bool {
        let serial = announcement.serial;
        let mut state = self.state.lock();
        let ReceiptsState { book, waiting, .. } = &mut *state;
        // What somebody waits for stays.
        let (at, now) = (clock::unix_millis(), Instant::now());
        let is_first = book.announced(announcement, at, now, |serial| waiting.contains_key(&serial));
        state.wake(serial);
        is_first
    }

    /// Begins to keep receipts of a change that this process did not announce. `age`: how long ago it was committed.
    pub fn adopt(&self, announcement: Announcement, age: Duration) {
        let mut state = self.state.lock();
        let ReceiptsState { book, waiting, .. } = &mut *state;
        let now = Instant::now();
        let since = now.checked_sub(age).unwrap_or(now);
        book.adopt(announcement, since, now, |serial| waiting.contains_key(&serial));
    }

    /// When a change was last sent. `None`: not by this process, or its receipts are not kept.
    pub fn last_sent(&self, serial: u64) -> Option<Instant> {
        self.state.lock().book.last_sent(serial)
    }

    /// Whether receipts of a change are kept.
    pub fn keeps(&self, serial: u64) -> bool {
        self.state.lock().book.is_kept(serial)
    }

    /// Up to which change everything is announced, or never will be.
    pub fn announced_up_to(&self) -> u64 {
        self.state.lock().book.passed()
    }

    /// Notes that a change could not be sent, and why.
    pub fn unsent(&self, serial: u64, trouble: &str) {
        let mut state = self.state.lock();
        state.book.unsent(serial, trouble);
        state.wake(serial);
    }

    /// Notes what a nats-server answered to the announcement of a change, however late. Returns the account, and the time
    /// since the change was announced; `None` if no receipt of it is kept.
    pub fn answered(
        &self,
        serial: u64,
        server: Server,
        outcome: Outcome,
        error: Option<&str>,
    ) -> Option<(AccountKey, Duration)> {
        let mut state = self.state.lock();
        let (server, news) = state.servers.heard(server, None);
        let of = state.book.answered(serial, &server, outcome, error, Instant::now());
        state.wake(serial);
        self.roster_moved(state, news);
        of
    }

    /// Notes what a comparison of one account with a nats-server found. `should_run`: what is stored here.
    pub fn compared(
        &self,
        server: &Arc<Server>,
        key: AccountKey,
        compared: Compared,
        should_run: Option<(i64, Identity)>,
    ) {
        let mut state = self.state.lock();
        if !state.servers.is_present(&server.id) {
            return;
        }
        let compared = Arc::new(compared);
        state.fleet.compared(&server.id, key, &compared, should_run);
        state.book.compared(server, &compared, Instant::now());
        state.wake(compared.serial);
    }

    /// Changes what is known of a nats-server.
    pub fn note(&self, id: &str, change: impl FnOnce(&mut ServerStanding)) {
        let mut state = self.state.lock();
        if state.servers.is_present(id) {
            change(state.fleet.standing(id));
        }
    }

    /// Since when a comparison that finds the account of a change not loaded proves that no older JWT will be loaded.
    /// `None`: that is not known yet, or no receipts of the change are kept.
    pub fn not_loaded_since(&self, serial: u64) -> Option<Instant> {
        self.state.lock().book.not_loaded_since(serial)
    }

    /// Whether every nats-server that is there is proven to run a change, and there is one.
    pub fn is_proven(&self, serial: u64) -> bool {
        let state = self.state.lock();
        state.book.is_proven(serial, &state.servers, Instant::now())
    }

    /// Notes that every replica has all changes up to `serial`; [`u64::MAX`] if there is no replica. Returns the changes of
    /// which that is news.
    pub fn replicas_reached(&self, serial: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        let reached = state.book.replicas_reached(serial, Instant::now());
        for serial in &reached {
            state.wake(*serial);
        }
        reached
    }

    /// Remembers a change until it is in force everywhere. `false`: too many are remembered.
    pub fn owe(&self, serial: u64, change: OwedChange) -> bool {
        let mut state = self.state.lock();
        state.owed.add(serial, change);
        !state.owed.is_full()
    }

    /// Forgets what accounts owe, which are deleted.
    pub fn forget_owed(&self, keys: &[AccountKey]) {
        let mut state = self.state.lock();
        keys.iter().for_each(|key| state.owed.forget(key));
    }

    /// If every nats-server is proven to run a change, and that is news: the change.
    pub fn reached_nats(&self, serial: u64) -> Option<OwedChange> {
        let mut state = self.state.lock();
        let is_there = state.book.is_at_nats(serial, &state.servers, Instant::now());
        is_there.then(|| state.owed.at_nats(serial)).flatten()
    }

    /// Notes that a change is in force everywhere. Returns it, if that is news.
    pub fn completed(&self, serial: u64) -> Option<OwedChange> {
        self.state.lock().owed.settled(serial)
    }

    /// How many changes of each kind are older than 10 seconds and not proven to be in force.
    pub fn overdue(&self) -> [(ChangeKind, u64); 3] {
        self.state.lock().owed.overdue(clock::unix_millis())
    }

    /// Notes whether there are nats-servers with a full resolver.
    pub fn full_resolvers(&self, there_are: bool) {
        let mut state = self.state.lock();
        state.book.full_resolvers(there_are);
        state.wake_all();
    }

    /// Whether nats-servers with a full resolver may store an older JWT of a change's account, which they have not loaded.
    pub fn may_be_stored_older(&self, serial: u64) -> bool {
        self.state.lock().book.may_be_stored_older(serial)
    }

    /// Notes whether nats-servers with a full resolver store nothing but a change.
    pub fn stored(&self, serial: u64, is_stored: bool) {
        let mut state = self.state.lock();
        state.book.stored(serial, is_stored);
        state.wake(serial);
    }

    /// Notes that every change up to `serial` is either announced or never will be.
    pub fn passed(&self, serial: u64) {
        let mut state = self.state.lock();
        if state.book.pass(serial) {
            let ReceiptsState { waiting, .. } = &*state;
            waiting.iter().filter(|(waited, _)| **waited <= serial).for_each(|(_, waiting)| {
                waiting.send_replace(());
            });
        }
    }

    /// Notes that all nats-servers are being called, on a new connection or on the same.
    pub fn called(&self, number: u64, on_new_connection: bool) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if on_new_connection {
            state.book.connected(now);
        }
        state.book.sweep(now);
        let ReceiptsState { book, owed, .. } = &mut *state;
        owed.retain(|serial| serial > book.passed() || book.is_kept(serial));
        if let Some(before) = now.checked_sub(REMEMBER_GONE) {
            for id in state.servers.forget(before) {
                state.fleet.forget(&id);
            }
        }
        let changed = state.servers.called(number, on_new_connection, now);
        self.roster_moved(state, changed);
    }

    /// Notes a nats-server that an earlier process knew: it counts as there until it misses calls.
    pub fn recall(&self, server: Server) {
        let mut state = self.state.lock();
        let (_, news) = state.servers.heard(server, Some(0));
        self.roster_moved(state, news);
    }

    /// Notes a nats-server that answered the call with this number.
    pub fn heard(&self, server: Server, call: u64) {
        let mut state = self.state.lock();
        let (_, news) = state.servers.heard(server, Some(call));
        self.roster_moved(state, news);
    }

    /// Forgets a nats-server that said that it stops.
    pub fn stopped(&self, id: &str) {
        let mut state = self.state.lock();
        state.fleet.forget(id);
        let changed = state.servers.stopped(id);
        self.roster_moved(state, changed);
    }

    fn roster_moved(&self, state: MutexGuard<'_, ReceiptsState>, moved: bool) {
        if moved {
            state.wake_all();
            drop(state);
            self.roster.send_modify(|count| *count += 1);
        }
    }

    /// Moves when other nats-servers are there, or one of them may have missed something.
    pub fn roster(&self) -> watch::Receiver<u64> {
        self.roster.subscribe()
    }

    /// The nats-servers that are there.
    pub fn present(&self) -> Vec<Present> {
        self.state.lock().servers.present().collect()
    }

    /// What is known of each nats-server that is there, by name.
    pub fn standings(&self) -> Vec<(Arc<Server>, ServerStanding)> {
        let state = self.state.lock();
        let mut standings: Vec<_> = state
            .servers
            .present()
            .map(|Present { server, .. }| {
                let standing = state.fleet.get(&server.id).cloned().unwrap_or_default();
                (server, standing)
            })
            .collect();
        drop(state);
        standings.sort_by(|(one, _), (other, _)| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        standings
    }

    /// How many nats-servers there are of each kind, and what is behind at each of them.
    pub fn summary(&self) -> Summary {
        let state = self.state.lock();
        let mut summary = Summary { silent: state.servers.gone().count(), ..Summary::default() };
        for Present { server, .. } in state.servers.present() {
            let standing = state.fleet.get(&server.id);
            let (is_in_sync, behind) = standing.map_or((None, 0), |known| (known.is_in_sync(), known.behind()));
            match is_in_sync {
                Some(true) => summary.in_sync += 1,
                Some(false) => summary.behind += 1,
                None => summary.unknown += 1,
            }
            let swept_at = standing.and_then(|known| known.swept_at).unwrap_or(0);
            summary.oldest_sweep = Some(summary.oldest_sweep.map_or(swept_at, |oldest| oldest.min(swept_at)));
            summary.accounts_behind.push((server, behind));
        }
        summary
    }

    /// Nats-servers that were there and are gone without a word, and for how long.
    pub fn gone(&self) -> Vec<(Arc<Server>, Duration)> {
        let state = self.state.lock();
        state.servers.gone().map(|(server, since)| (server.clone(), since.elapsed())).collect()
    }

    /// Accounts that have been behind somewhere since `before` (unix milliseconds), each reported once.
    pub fn lasting(&self, before: Instant) -> Vec<(Arc<Server>, AccountKey, Difference)> {
        let mut state = self.state.lock();
        let lasting = state.fleet.lasting(before);
        let servers: HashMap<String, Arc<Server>> =
            state.servers.present().map(|present| (present.server.id.clone(), present.server)).collect();
        drop(state);
        lasting
            .into_iter()
            .filter_map(|(id, key, difference)| Some((servers.get(&id)?.clone(), key, difference)))
            .collect()
    }

    /// How many nats-servers are there.
    pub fn servers(&self) -> usize {
        self.state.lock().servers.count()
    }

    /// How far a change has come now.
    pub fn progress(&self, serial: u64) -> DeliveryProgress {
        self.state.lock().progress(serial, Instant::now())
    }

    /// Waits until every nats-server that is there is proven to run a change (or has answered, if nothing is compared), or
    /// until it is clear that the change is not announced. May wait for ever.
    pub async fn settled(&self, serial: u64, is_compared: bool) {
        let mut waiting = ChangeWaiter::new(self, serial);
        loop {
            let (progress, recheck) = {
                let (state, now) = (self.state.lock(), Instant::now());
                (state.progress(serial, now), state.book.settles(now))
            };
            if progress.is_final(is_compared) && recheck.is_none() {
                return;
            }
            let until = recheck.map(tokio::time::Instant::from_std);
            tokio::select! {
                changed = waiting.changed() => if changed.is_err() { return },
                () = sleep_until(until) => {}
            }
        }
    }
}

async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A place among those who wait for a change, given up when it is dropped.
struct ChangeWaiter<'r> {
    receipts: &'r Receipts,
    serial: u64,
    news: Option<watch::Receiver<()>>,
}

impl<'r> ChangeWaiter<'r> {
    fn new(receipts: &'r Receipts, serial: u64) -> Self {
        let news = receipts.state.lock().waiting.entry(serial).or_default().subscribe();
        Self { receipts, serial, news: Some(news) }
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        match &mut self.news {
            Some(news) => news.changed().await,
            None => Ok(()),
        }
    }
}

impl Drop for ChangeWaiter<'_> {
    fn drop(&mut self) {
        let mut state = self.receipts.state.lock();
        self.news = None;
        if state.waiting.get(&self.serial).is_some_and(|waiting| waiting.receiver_count() == 0) {
            state.waiting.remove(&self.serial);
        }
    }
}

#[cfg(test)]
mod tests;
