//! What is known of the way of each change to the nats-servers: the receipts.
//!
//! The NATS edge tells what it announced, who answered and who is there; the HTTP edge asks, and may wait. Neither
//! knows the other. Everything is in memory and bounded: a receipt serves the person who pushed, soon after, not the
//! archive. A push that nobody waits for does not come here at all; the announcer does, in its own time.

mod book;
mod propagation;
mod receipt;
mod servers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use book::Book;
pub use propagation::{Propagation, Silent, Stand, Told};
pub use receipt::{Announcement, Delivery, Outcome, Receipt};
pub use servers::Server;

use crate::clock;
use crate::key::AccountKey;

/// Where a change stands on its way to the nats-servers.
#[derive(Debug, Clone)]
pub enum Progress {
    /// No nats-server is ever told: NATS is not configured.
    Off,
    /// It is not announced yet.
    Pending,
    /// The announcer is past it, and no receipt is kept: it was replaced before it was announced, it is none that is
    /// announced, or it was announced too long ago.
    Passed,
    /// It was announced.
    Announced(Delivery),
}

impl Progress {
    /// Whether waiting any longer can bring no more.
    fn is_final(&self) -> bool {
        match self {
            Self::Off | Self::Passed => true,
            Self::Pending => false,
            Self::Announced(delivery) => delivery.complete || delivery.trouble.is_some(),
        }
    }
}

/// The receipts of the latest changes, and the nats-servers that are there.
#[derive(Debug, Default)]
pub struct Receipts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    /// Those who wait for a change: one channel for each serial, for as long as somebody waits.
    waiting: HashMap<u64, watch::Sender<()>>,
    off: bool,
}

impl State {
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

    fn progress(&self, serial: u64, now: Instant) -> Progress {
        match self.book.delivery(serial, now) {
            Some(delivery) => Progress::Announced(delivery),
            None if self.off => Progress::Off,
            None if serial <= self.book.passed() => Progress::Passed,
            None => Progress::Pending,
        }
    }
}

impl Receipts {
    /// Says that there is no NATS, and that there will be none.
    pub fn switch_off(&self) {
        let mut state = self.lock();
        state.off = true;
        state.wake_all();
    }

    /// Notes that a change is being announced, for the first time or again. To be called before it is sent, else an
    /// answer may come first.
    pub fn announced(&self, announcement: Announcement) {
        let serial = announcement.serial;
        let mut state = self.lock();
        let State { book, waiting, .. } = &mut *state;
        // What somebody waits for stays.
        book.announced(announcement, clock::unix_millis(), Instant::now(), |serial| waiting.contains_key(&serial));
        state.wake(serial);
    }

    /// Notes that a change could not be sent, and why.
    pub fn unsent(&self, serial: u64, trouble: &str) {
        let mut state = self.lock();
        state.book.unsent(serial, trouble);
        state.wake(serial);
    }

    /// Notes what a nats-server did with a change, however late. Returns the time since the change was announced;
    /// `None` if no receipt of it is kept.
    pub fn answered(&self, serial: u64, server: Server, outcome: Outcome, error: Option<&str>) -> Option<Duration> {
        let mut state = self.lock();
        let after = state.book.answered(serial, server, outcome, error, Instant::now())?;
        state.wake(serial);
        Some(after)
    }

    /// Notes that every change up to `serial` is either announced or never will be.
    pub fn passed(&self, serial: u64) {
        let mut state = self.lock();
        if state.book.pass(serial) {
            let State { waiting, .. } = &*state;
            waiting.iter().filter(|(waited, _)| **waited <= serial).for_each(|(_, waiting)| {
                waiting.send_replace(());
            });
        }
    }

    /// Notes that all nats-servers are being asked who they are, on a new connection or on the same.
    pub fn called(&self, on_new_connection: bool) {
        let mut state = self.lock();
        let now = Instant::now();
        if on_new_connection {
            state.book.connected(now);
        }
        if state.book.sweep(now) {
            state.wake_all();
        }
    }

    /// Notes a nats-server that is there, and that it was there when it was asked at `asked`.
    pub fn heard(&self, server: Server, asked: Instant) {
        let mut state = self.lock();
        if state.book.heard(server, asked, Instant::now()) {
            state.wake_all();
        }
    }

    /// Forgets a nats-server that said that it stops.
    pub fn gone(&self, id: &str) {
        let mut state = self.lock();
        if state.book.gone(id) {
            state.wake_all();
        }
    }

    /// Changes to be announced again, because a nats-server that was cut off when they were announced is back: serial,
    /// account, and one such server.
    pub fn owed(&self) -> Vec<(u64, AccountKey, Arc<Server>)> {
        self.lock().book.owed(Instant::now())
    }

    /// How many nats-servers are there.
    pub fn servers(&self) -> usize {
        self.lock().book.servers()
    }

    /// Where a change stands now.
    pub fn progress(&self, serial: u64) -> Progress {
        self.lock().progress(serial, Instant::now())
    }

    /// Waits until nothing more is to come for a change: every nats-server that is there has answered, or nobody will
    /// be told. May wait for ever.
    pub async fn settled(&self, serial: u64) {
        let mut waiting = Waiting::new(self, serial);
        loop {
            let (progress, recheck) = {
                let (state, now) = (self.lock(), Instant::now());
                (state.progress(serial, now), state.book.settles(now))
            };
            if progress.is_final() {
                return;
            }
            let until = recheck.map(tokio::time::Instant::from_std);
            tokio::select! {
                changed = waiting.changed() => if changed.is_err() { return },
                () = sleep_until(until) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A place among those who wait for a change, given up when it is dropped.
struct Waiting<'r> {
    receipts: &'r Receipts,
    serial: u64,
    news: Option<watch::Receiver<()>>,
}

impl<'r> Waiting<'r> {
    fn new(receipts: &'r Receipts, serial: u64) -> Self {
        let news = receipts.lock().waiting.entry(serial).or_default().subscribe();
        Self { receipts, serial, news: Some(news) }
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        match &mut self.news {
            Some(news) => news.changed().await,
            None => Ok(()),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.receipts.lock();
        self.news = None;
        if state.waiting.get(&self.serial).is_some_and(|waiting| waiting.receiver_count() == 0) {
            state.waiting.remove(&self.serial);
        }
    }
}

#[cfg(test)]
mod tests;
