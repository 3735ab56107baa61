//! What the writer's thread and the others share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::event::{Rejected, is_more_than_stored};
use super::line::Link;
use super::queue::Queue;
use crate::gate::Client;
use crate::metrics::Metrics;

/// Changes whose sender is remembered until their lines are written. Lines of earlier ones have only its address.
const SENDERS: usize = 8192;

/// How far the log is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The serial of the last change with a line on disk.
    pub(super) serial: u64,
    /// The last line on disk.
    pub(super) last: Option<Link>,
    /// Why the log cannot be written.
    pub(super) failure: Option<Arc<str>>,
}

/// What the writer is asked to do.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Asked {
    pub(super) lines: bool,
    pub(super) reopen: bool,
    pub(super) close: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) metrics: Arc<Metrics>,
    pub(super) queue: Mutex<Queue>,
    senders: Mutex<BTreeMap<u64, Arc<Client>>>,
    asked: Mutex<Asked>,
    bell: Condvar,
    progress: watch::Sender<Progress>,
    /// Whether changes are refused while the log cannot be written. Then acknowledgements wait for their lines.
    refuses: AtomicBool,
}

impl Shared {
    pub(super) fn new(metrics: Arc<Metrics>, refuses: bool) -> Self {
        Self {
            metrics,
            refuses: AtomicBool::new(refuses),
            queue: Mutex::new(Queue::new(Instant::now())),
            senders: Mutex::default(),
            asked: Mutex::default(),
            bell: Condvar::new(),
            progress: watch::channel(Progress::default()).0,
        }
    }

    pub(super) fn remember(&self, serial: u64, sender: &Arc<Client>) {
        if is_more_than_stored(sender) {
            let mut senders = self.senders.lock();
            senders.insert(serial, sender.clone());
            while senders.len() > SENDERS {
                senders.pop_first();
            }
        }
    }

    pub(super) fn sender(&self, serial: u64) -> Option<Arc<Client>> {
        self.senders.lock().get(&serial).cloned()
    }

    /// Forgets the senders of all changes up to this one.
    pub(super) fn forget(&self, serial: u64) {
        let mut senders = self.senders.lock();
        *senders = senders.split_off(&serial.saturating_add(1));
    }

    pub(super) fn rejected(&self, rejected: Rejected) {
        if !self.queue.lock().push(rejected, Instant::now()) {
            self.metrics.audit.lost.inc();
        }
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.ask(|asked| asked.lines = true);
    }

    pub(super) fn reopen(&self) {
        self.ask(|asked| asked.reopen = true);
    }

    pub(super) fn close(&self) {
        self.ask(|asked| asked.close = true);
    }

    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(&mut self.asked.lock());
        self.bell.notify_one();
    }

    /// Waits until something is asked, or for some time. Returns what is asked, once. `is_failing`: lines are no reason to
    /// try again at once.
    pub(super) fn wait(&self, longest: Duration, is_failing: bool) -> Asked {
        let mut asked = self.asked.lock();
        let nothing = |asked: &mut Asked| !((asked.lines && !is_failing) || asked.reopen || asked.close);
        let _ = self.bell.wait_while_for(&mut asked, nothing, longest);
        let now = *asked;
        // The end is asked for once and for all.
        *asked = Asked { close: now.close, ..Asked::default() };
        now
    }

    /// Waits until more lines have come, unless something waits for the first of them.
    pub(super) fn gather(&self, longest: Duration) {
        if !self.refuses() {
            let mut asked = self.asked.lock();
            let _ = self.bell.wait_while_for(&mut asked, |asked| !asked.close, longest);
        }
    }

    pub(super) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    pub(super) fn set_refuses(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    pub(super) fn reached(&self, serial: u64, last: Link) {
        self.progress.send_modify(|progress| *progress = Progress { serial, last: Some(last), failure: None });
    }

    pub(super) fn failed(&self, why: &Arc<str>) {
        self.progress.send_modify(|progress| progress.failure = Some(why.clone()));
    }

    /// How far the log is.
    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.progress.borrow().failure.clone()
    }

    /// Waits until the line of a change is on disk. The error says why it is not.
    pub(super) async fn reaches(&self, serial: u64) -> Result<(), Arc<str>> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.serial >= serial || progress.failure.is_some()).await;
        // The sender lives as long as this.
        let Ok(progress) = reached else { return Err("the audit log is closed".into()) };
        match &progress.failure {
            Some(why) if progress.serial < serial => Err(why.clone()),
            _ => Ok(()),
        }
    }
}
