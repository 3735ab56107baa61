//! The folder follows the journal.
//!
//! Files in a folder of a million are slow to make, so a push does not wait for its file. The writer reads from the journal
//! which accounts have changed, and settles each of them once, however often it changed. Every few seconds it has the file
//! system write everything to disk, and notes in the journal up to which change all files are on disk. After a crash it
//! continues from there. A file that cannot be written is tried again, and delays no other file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::compare::{Cause, Comparer, Settled};
use super::source::Tokens;
use super::{Primary, activations};
use crate::folder::Folder;
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::journal::MIRROR;
use crate::store::{StoreError, blocking};

/// Changes that are read in one piece.
const PIECE: u64 = 2048;
/// The shortest time from one piece to the next. A single change is written at once, and changes in a row are written
/// together: to wake two threads for each would cost the pushes that follow more than the files do.
const PACE: Duration = Duration::from_millis(10);
/// Under steady load, everything is synced this often.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// With nothing left to write, it is synced after this long.
const SYNC_IDLE: Duration = Duration::from_millis(200);
/// The longest pause before a file that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// If this many files fail, the folder itself fails: no more are tried until it works again.
const MANY: usize = 256;

/// How far the writer has come.
#[derive(Debug)]
pub(in crate::primary) struct WriterProgress {
    written: AtomicU64,
    synced: watch::Sender<u64>,
    failing: Mutex<Option<String>>,
}

impl WriterProgress {
    pub(super) fn new(at: u64) -> Arc<Self> {
        Arc::new(Self { written: AtomicU64::new(at), synced: watch::Sender::new(at), failing: Mutex::default() })
    }

    /// All files are written up to this serial.
    pub(in crate::primary) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// All files are on disk up to this serial.
    pub(in crate::primary) fn synced(&self) -> u64 {
        *self.synced.borrow()
    }

    /// What is wrong with the folder, if anything is; for clients.
    pub(in crate::primary) fn failure(&self) -> Option<String> {
        self.failing.lock().clone()
    }

    /// Waits until all files are on disk up to a serial, but no longer than `longest`. Returns whether they are.
    pub(super) async fn wait(&self, serial: u64, longest: Duration) -> bool {
        timeout(longest, self.synced.subscribe().wait_for(|synced| *synced >= serial)).await.is_ok_and(|r| r.is_ok())
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failing.lock() = failure;
    }
}

/// The change up to which all files are on disk, as the journal notes it.
pub(super) fn begin(primary: &Primary) -> Result<u64, StoreError> {
    Ok(primary.journal().cursor(MIRROR)?.unwrap_or(0))
}

/// What a file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FileSubject {
    Account(AccountKey),
    Activation(HashId),
}

/// The loop that writes.
pub(super) struct Writer {
    comparer: Arc<Comparer>,
    state: Arc<WriterProgress>,
    /// Files that could not be settled, and the change that each is about.
    failed: HashMap<FileSubject, u64>,
    /// Files that somebody is writing now, likewise.
    unsettled: HashMap<FileSubject, u64>,
    pause: Duration,
    try_again: Instant,
    synced_at: Instant,
    /// When the next piece may be read.
    next_piece: Instant,
}

impl Writer {
    pub(super) fn new(comparer: Arc<Comparer>, state: Arc<WriterProgress>) -> Self {
        Self {
            comparer,
            state,
            failed: HashMap::new(),
            unsettled: HashMap::new(),
            pause: Duration::ZERO,
            try_again: Instant::now(),
            synced_at: Instant::now(),
            next_piece: Instant::now(),
        }
    }

    /// Follows the journal for as long as the process lives. `asked`: accounts whose file others could not settle.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<AccountKey>) {
        let mut watch = self.comparer.primary().ring().watch();
        loop {
            let head = watch.borrow_and_update().serial;
            self.comparer
                .set_behind(self.state.written() < head || !self.failed.is_empty() || !self.unsettled.is_empty());
            self.comparer.set_written(self.reached());
            self.again().await;
            if self.state.written() < head && self.failed.len() < MANY {
                sleep_until(self.next_piece).await;
                self.next_piece = Instant::now() + PACE;
                self.advance().await;
                self.sync(SYNC_EVERY).await;
                continue;
            }
            self.sync(SYNC_IDLE).await;
            let waits = !self.failed.is_empty() || !self.unsettled.is_empty() || self.state.synced() < self.reached();
            let pause = if waits { SYNC_IDLE } else { Duration::from_secs(60) };
            if !waits {
                // The first attempt to note it may have failed, and another process may be waiting for it.
                self.comparer.primary().notes().set_cursor(MIRROR, self.state.synced()).await;
            }
            tokio::select! {
                moved = watch.changed() => if moved.is_err() { return },
                // The watcher ends before this loop: then no accounts come.
                Some(key) = asked.recv() => {
                    self.unsettled.entry(FileSubject::Account(key)).or_insert_with(|| self.state.written());
                }
                () = sleep(pause) => {}
            }
        }
    }

    /// Settles the accounts of the next changes.
    async fn advance(&mut self) {
        let (comparer, after) = (self.comparer.clone(), self.state.written());
        let pending = match blocking(move || comparer.primary().journal().pending(after, PIECE)).await {
            Ok(pending) => pending,
            Err(error) => {
                self.fail(&error).await;
                return sleep(self.pause).await;
            }
        };
        // The last change of an account is the one that its file is about.
        let mut all: HashMap<FileSubject, u64> =
            pending.keys.into_iter().map(|(key, serial)| (FileSubject::Account(key), serial)).collect();
        if self.comparer.primary().activation_files {
            all.extend(pending.activations.into_iter().map(|(id, serial)| (FileSubject::Activation(id), serial)));
        }
        self.settle(all).await;
        self.state.written.store(pending.reached, Ordering::Release);
        self.comparer.set_written(self.reached());
        self.show();
    }

    /// When it is time, tries the files again that failed or that somebody was writing.
    async fn again(&mut self) {
        if self.try_again > Instant::now() || (self.failed.is_empty() && self.unsettled.is_empty()) {
            return;
        }
        let had_failed = !self.failed.is_empty();
        let mut keys = std::mem::take(&mut self.unsettled);
        keys.extend(std::mem::take(&mut self.failed));
        self.settle(keys).await;
        if self.failed.is_empty() {
            if had_failed {
                tracing::info!("the token folder can be written again");
                self.state.set_failure(None);
            }
            self.pause = Duration::ZERO;
            // Files that somebody is writing are tried again a little later.
            self.try_again = Instant::now() + SYNC_IDLE;
        }
        self.show();
    }

    async fn settle(&mut self, all: HashMap<FileSubject, u64>) {
        let comparer = self.comparer.clone();
        let tried = all.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut results = Vec::new();
            let mut failures = 0;
            let Tokens::Own(folder) = &comparer.primary().tokens else { return results };
            for (what, serial) in all {
                let result = if failures < MANY { settle(&comparer, folder, what).map(Some) } else { Ok(None) };
                failures += usize::from(result.is_err());
                results.push((what, serial, result));
            }
            results
        })
        .await;
        let mut first = None;
        let Ok(done) = done else {
            // The thread panicked, and may have written nothing.
            self.failed.extend(tried);
            return self.fail(&StoreError::Closed).await;
        };
        for (what, serial, result) in done {
            match result {
                Ok(Some(Settled::NotStill)) => {
                    self.unsettled.insert(what, serial);
                }
                Ok(Some(_)) => {}
                // It was not tried.
                Ok(None) => {
                    self.failed.insert(what, serial);
                }
                Err(error) => {
                    self.comparer.metrics().folder.failures.inc();
                    self.failed.insert(what, serial);
                    first.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first {
            self.fail(&error).await;
        }
    }

    async fn fail(&mut self, error: &StoreError) {
        let wait = format!("{} files wait to be written, and are tried again", self.failed.len());
        if self.state.failure().is_none() {
            tracing::error!(
                "the token folder is behind the journal, which holds everything that was acknowledged: {error}; {wait}"
            );
        }
        self.state.set_failure(Some(format!("{}; {wait}", error.for_clients())));
        self.pause = (self.pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        self.try_again = Instant::now() + self.pause;
        if self.failed.len() >= MANY {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The change up to which all files are written.
    fn reached(&self) -> u64 {
        let waiting = self.failed.values().chain(self.unsettled.values()).min();
        waiting.map_or(self.state.written(), |serial| serial.saturating_sub(1).min(self.state.written()))
    }

    /// If it is time, has everything written to disk, and notes in the journal how far that is.
    async fn sync(&mut self, every: Duration) {
        let reached = self.reached();
        if self.state.synced() >= reached || self.synced_at.elapsed() < every {
            return;
        }
        let comparer = self.comparer.clone();
        let synced = blocking(move || match &comparer.primary().tokens {
            Tokens::Own(folder) => Ok(folder.sync()?),
            _ => Ok(()),
        });
        let synced = synced.await;
        self.synced_at = Instant::now();
        match synced {
            Ok(()) => {
                if self.failed.is_empty() && self.state.failure().is_some() {
                    self.state.set_failure(None);
                }
                self.comparer.primary().notes().set_cursor(MIRROR, reached).await;
                self.state.synced.send_replace(reached);
            }
            Err(error) => self.fail(&error).await,
        }
    }

    fn show(&self) {
        let behind = self.comparer.primary().journal().head().serial.saturating_sub(self.reached());
        self.comparer.metrics().folder.pending.set(i64::try_from(behind).unwrap_or(i64::MAX));
    }
}

fn settle(comparer: &Comparer, folder: &Folder, what: FileSubject) -> Result<Settled, StoreError> {
    match what {
        FileSubject::Account(key) => comparer.settle(folder, &key, Cause::Journal),
        FileSubject::Activation(id) => {
            if activations::write(comparer.primary(), folder, &id)? {
                comparer.metrics().folder.written.inc();
            }
            Ok(Settled::Agreed)
        }
    }
}
