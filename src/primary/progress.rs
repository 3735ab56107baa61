//! How far the first scan of a folder has come, and so what is known of an account that the journal does not have.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::folder::FolderShard;
use crate::key::AccountKey;

/// How far the scan has come. Each stage includes those before it, and none is ever left for an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ScanStage {
    /// Any file may be that of any account.
    Begun,
    /// The files that lie elsewhere are imported: what is left of an account is in its place.
    Placed,
    /// The files of all accounts are imported.
    Accounts,
    /// Everything is imported.
    Complete,
}

impl ScanStage {
    /// The stage after which nothing more of an account can come. `is_placed`: the file in its place is imported, or there
    /// is none.
    pub(super) const fn before(is_placed: bool) -> Self {
        if is_placed { Self::Placed } else { Self::Accounts }
    }
}

/// The work under way.
#[derive(Debug)]
pub struct ScanProgress {
    total: AtomicU64,
    done: AtomicU64,
    /// What `moved` holds, to be read without a lock.
    stage: AtomicU8,
    moved: watch::Sender<ScanStage>,
    /// Shards that cannot be read, or were not when their files were last imported.
    closed: RwLock<Vec<FolderShard>>,
    /// Whether there are any, to be read without a lock.
    has_closed: AtomicBool,
}

/// Proof that the journal has whatever the folder held of an account at start. What the journal lacks then is absent.
///
/// A look that may end in "absent" takes this as its argument, so it cannot begin before the proof is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Imported(AccountKey);

impl Imported {
    /// The account.
    pub(super) const fn key(&self) -> &AccountKey {
        &self.0
    }
}

impl Default for ScanProgress {
    fn default() -> Self {
        let stage = ScanStage::Begun;
        Self {
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stage: AtomicU8::new(stage as u8),
            moved: watch::Sender::new(stage),
            closed: RwLock::default(),
            has_closed: AtomicBool::new(false),
        }
    }
}

impl ScanProgress {
    /// Files looked at, and how many there are; zero while they are still being counted.
    pub fn files(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Whether everything that was there at start is imported: now, or before an earlier stop.
    pub fn is_complete(&self) -> bool {
        self.has_reached(ScanStage::Complete)
    }

    /// The proof for an account, if the scan has come that far.
    pub(super) fn imported(&self, key: &AccountKey) -> Option<Imported> {
        (self.has_reached(ScanStage::Accounts) && !self.is_closed(|| key.text())).then_some(Imported(*key))
    }

    /// The proof for an account, if the scan has come that far. `is_placed`: the file in its place is imported, or there is
    /// none.
    pub(super) fn proof(&self, key: &AccountKey, is_placed: bool) -> Option<Imported> {
        if is_placed { self.has_reached(ScanStage::Placed).then_some(Imported(*key)) } else { self.imported(key) }
    }

    /// Says which shards cannot be read. `are_others_imported`: all other shards are imported; else those that could not be
    /// read before stay closed until they are.
    pub(super) fn set_closed(&self, shards: &[FolderShard], are_others_imported: bool) {
        let mut closed = self.closed.write();
        if are_others_imported {
            closed.clear();
        }
        closed.extend_from_slice(shards);
        closed.sort_unstable();
        closed.dedup();
        self.has_closed.store(!closed.is_empty(), Ordering::Release);
    }

    /// How many shards cannot be read, or are still to be imported since.
    pub fn closed(&self) -> usize {
        if !self.has_closed.load(Ordering::Acquire) {
            return 0;
        }
        self.closed.read().len()
    }

    /// Whether the file with this name, without its ending, may be in a shard that cannot be read.
    pub(super) fn is_closed(&self, name: impl FnOnce() -> String) -> bool {
        self.has_closed.load(Ordering::Acquire)
            && FolderShard::of(&name()).is_some_and(|shard| self.closed.read().contains(&shard))
    }

    /// Waits for a stage, `limit` at most. Returns whether it is reached.
    pub(super) async fn reaches(&self, stage: ScanStage, limit: Duration) -> bool {
        let mut moved = self.moved.subscribe();
        timeout(limit, moved.wait_for(|now| *now >= stage)).await.is_ok_and(|now| now.is_ok())
    }

    /// As [`ScanProgress::reaches`], on a thread that may be blocked.
    pub(super) fn reaches_blocking(&self, stage: ScanStage, limit: Duration) -> bool {
        /// Rare enough to poll: such a thread waits only for an account that vouches for an activation, in a first scan.
        const POLL: Duration = Duration::from_millis(10);
        let began = Instant::now();
        while !self.has_reached(stage) && began.elapsed() < limit {
            std::thread::sleep(POLL);
        }
        self.has_reached(stage)
    }

    /// Whether a stage is reached. What was imported for it is seen by whoever sees that.
    pub(super) fn has_reached(&self, stage: ScanStage) -> bool {
        self.stage.load(Ordering::Acquire) >= stage as u8
    }

    /// Says that a stage is reached.
    pub(super) fn reach(&self, stage: ScanStage) {
        self.stage.fetch_max(stage as u8, Ordering::Release);
        self.moved.send_if_modified(|now| stage > std::mem::replace(now, stage.max(*now)));
    }

    /// Starts again, as after another start of the process.
    #[cfg(test)]
    pub(super) fn restart(&self) {
        self.stage.store(ScanStage::Begun as u8, Ordering::Release);
        self.moved.send_replace(ScanStage::Begun);
    }

    pub(super) fn begin(&self, total: usize) {
        self.total.store(total.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn advance(&self, files: usize) {
        self.done.fetch_add(files.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
