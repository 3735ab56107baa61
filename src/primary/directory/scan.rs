//! The first look through a folder: all of it, on all cores.
//!
//! Each thread reads and verifies a few hundred files, then gives them to the journal in one piece: the signature
//! checks are most of the work, and one answer for each file would be most of the rest. What is torn, foreign or not
//! valid is reported with its name and left alone. What the journal knows already, in this version or a newer one,
//! changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::Primary;
use super::progress::ScanStage;
use super::reports::{self, Reports};
use crate::clock;
use crate::folder::{self, Layout, Listing, TokenFile, Unread};
use crate::gate::{Entry, Via};
use crate::key::AccountKey;
use crate::logging::Bar;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::{AccountStatus, CommitError, Outcome, Write};

/// Files in one piece: what one transaction of the journal holds.
const PIECE: usize = 256;
/// How often the log says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What a scan counts.
#[derive(Debug, Default)]
pub(super) struct ScanTally {
    taken: AtomicU64,
    known: AtomicU64,
    refused: AtomicU64,
}

/// Puts accounts in the order of their keys, in which the journal keeps its heads: then a transaction fills pages one after
/// the other, where keys as they come would touch one page each.
pub(super) fn arrange(listing: &mut Listing) {
    listing.homes.sort_unstable_by(|a, b| a.raw().cmp(b.raw()));
}

/// A scan under way.
pub(super) struct Scan<'a> {
    pub(super) primary: &'a Arc<Primary>,
    pub(super) metrics: &'a Metrics,
    pub(super) reports: &'a Reports,
    pub(super) root: &'a Path,
    pub(super) layout: Layout,
    /// Whether the journal may know some of the files: an earlier scan was not finished.
    pub(super) is_resumed: bool,
    pub(super) stop: &'a CancellationToken,
}

impl Scan<'_> {
    /// Imports everything that was listed. `false`: it was stopped before the end. Blocks.
    pub(super) fn run(&self, listing: &Listing) -> Result<bool, StoreError> {
        let progress = &self.primary.progress;
        let files = listing.homes.len() + listing.extras.len();
        progress.begin(files);
        let (tally, began) = (ScanTally::default(), Instant::now());
        let mut telling = Telling::of(files);
        // The name of an account that is asked for meanwhile leads to its place. Files to which no name leads come first:
        // once they are imported, an account without a file in its place has none.
        let is_placed = |extra: &&TokenFile| folder::places(self.root, &extra.key).contains(&extra.path);
        let (placed, elsewhere): (Vec<_>, Vec<_>) = listing.extras.iter().partition(is_placed);
        self.import(elsewhere.len(), |at| (elsewhere[at].key, elsewhere[at].path.clone()), &tally, &mut telling)?;
        if self.stop.is_cancelled() {
            return Ok(false);
        }
        progress.reach(ScanStage::Placed);
        let file = |at: usize| match listing.homes.get(at) {
            Some(key) => (*key, self.layout.place(self.root, key)),
            None => {
                let extra = placed[at - listing.homes.len()];
                (extra.key, extra.path.clone())
            }
        };
        self.import(files - elsewhere.len(), file, &tally, &mut telling)?;
        if self.stop.is_cancelled() {
            return Ok(false);
        }
        progress.reach(ScanStage::Accounts);
        if files + listing.others.count > 0 {
            tracing::info!(
                "imported the folder: {files} JWT files, of which {} are new, {} were known, {} are rejected; {} files of \
                 other names; in {:.1} s",
                tally.taken.load(Ordering::Relaxed),
                tally.known.load(Ordering::Relaxed),
                tally.refused.load(Ordering::Relaxed),
                listing.others.count,
                began.elapsed().as_secs_f64()
            );
        }
        Ok(true)
    }

    /// Imports `count` files on all cores.
    fn import(
        &self,
        count: usize,
        file: impl Fn(usize) -> (AccountKey, PathBuf) + Sync,
        tally: &ScanTally,
        telling: &mut Telling,
    ) -> Result<(), StoreError> {
        let next = AtomicUsize::new(0);
        // Three times as many as cores: while some wait for the disk and for their commit, others verify.
        let threads = std::thread::available_parallelism().map_or(1, usize::from) * 3;
        let results = std::thread::scope(|scope| {
            let work = || self.work(count, &file, &next, tally);
            let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(work)).collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                std::thread::sleep(Duration::from_millis(20));
                telling.tell(self.primary.progress.files().0);
            }
            workers.into_iter().map(|worker| worker.join().unwrap_or(Err(StoreError::Closed))).collect::<Vec<_>>()
        });
        results.into_iter().collect()
    }

    fn work(
        &self,
        count: usize,
        file: &(impl Fn(usize) -> (AccountKey, PathBuf) + Sync),
        next: &AtomicUsize,
        tally: &ScanTally,
    ) -> Result<(), StoreError> {
        loop {
            let from = next.fetch_add(PIECE, Ordering::Relaxed);
            if from >= count || self.stop.is_cancelled() {
                return Ok(());
            }
            let to = count.min(from + PIECE);
            self.piece((from..to).map(file), tally)?;
            self.primary.progress.advance(to - from);
        }
    }

    fn piece(&self, files: impl Iterator<Item = (AccountKey, PathBuf)>, tally: &ScanTally) -> Result<(), StoreError> {
        let mut admitted = Vec::with_capacity(PIECE);
        for (key, path) in files {
            if let Some(entry) = self.admit(&key, &path, tally) {
                admitted.push((path, entry));
            }
        }
        let writes = admitted.iter().map(|(_, entry)| Write::Put(entry.clone(), Via::FirstScan)).collect();
        let outcomes = self.primary.journal.commit_all_blocking(writes);
        for ((path, entry), outcome) in admitted.into_iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Changed { .. }) => {
                    tally.taken.fetch_add(1, Ordering::Relaxed);
                    self.metrics.accepted(Via::FirstScan);
                    self.primary.remark(&path, &entry);
                }
                Ok(_) => tally.known(),
                Err(CommitError::Refused(refusal)) if refusal.is_conflict() => {
                    tracing::debug!("{} is not imported: {refusal}", path.display());
                    tally.known();
                }
                Err(CommitError::Refused(refusal)) => {
                    self.metrics.refused(Via::FirstScan, &refusal);
                    self.refuse(&path, &reports::refused(&refusal), tally);
                }
                Err(CommitError::Failed(error)) => {
                    self.metrics.writes.commit_failures.inc();
                    return Err(StoreError::Shared(error));
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, path: &Path, reason: &str, tally: &ScanTally) {
        tally.refused.fetch_add(1, Ordering::Relaxed);
        self.reports.left(path, reason);
    }

    /// Reads and admits one file. `None`: there is nothing to commit.
    fn admit(&self, key: &AccountKey, path: &Path, tally: &ScanTally) -> Option<Arc<Entry>> {
        let bytes = match folder::read(path) {
            Ok((_, bytes)) => bytes,
            Err(Unread::Missing) => return None,
            Err(unread) => {
                self.refuse(path, &unread.to_string(), tally);
                return None;
            }
        };
        // A scan that goes on where an earlier one stopped need not verify again what is held, byte for byte. What is
        // held but cannot be read may be put back by this very file.
        if self.is_resumed
            && let Ok(AccountStatus::Live(held)) = self.primary.journal.status(key)
            && held.entry.digest()[..] == Sha256::digest(bytes.trim_ascii_end())[..]
        {
            tally.known();
            return None;
        }
        match self.primary.gate.admit(&bytes, Some(key), Via::FirstScan, clock::unix_seconds()) {
            Ok(entry) => Some(Arc::new(entry)),
            Err(refusal) => {
                self.metrics.refused(Via::FirstScan, &refusal);
                self.refuse(path, &reports::refused(&refusal), tally);
                None
            }
        }
    }
}

/// Says how far it is: on a terminal always, in the log now and then.
struct Telling {
    bar: Bar,
    files: usize,
    said: Instant,
}

impl Telling {
    fn of(files: usize) -> Self {
        let bar = Bar::new("importing the folder", files.try_into().unwrap_or(u64::MAX));
        Self { bar, files, said: Instant::now() }
    }

    fn tell(&mut self, done: u64) {
        self.bar.set(done);
        if self.said.elapsed() > SAY_EVERY {
            self.said = Instant::now();
            tracing::info!("importing the folder: {done} of {} files", self.files);
        }
    }
}

impl ScanTally {
    fn known(&self) {
        self.known.fetch_add(1, Ordering::Relaxed);
    }
}
