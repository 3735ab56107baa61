//! The snapshot on disk, and the list of what must be written to it.
//!
//! The parts of a replica note changes here. [`super::persist`] gathers and writes them. No other part knows how the
//! disk is organised.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::cached_copy::CachedCopy;
use super::setup::SnapshotPlace;
use crate::folder::{FolderLock, private};
use crate::key::AccountKey;
use crate::store::snapshot::{Batch, Copy, FILE, FoundSnapshot, Snapshot, Stand};
use crate::store::{FollowerId, StoreError};

/// The number of changed accounts that starts a write at once.
const MANY: usize = 2000;

/// The snapshot, and what is not written yet.
#[derive(Debug)]
pub(super) struct Disk {
    snapshot: Arc<Snapshot>,
    found: FoundSnapshot,
    tokens: Option<PathBuf>,
    /// Accounts whose copy came, changed or left.
    copies: Arc<Mutex<HashSet<AccountKey>>>,
    /// Copies of a mirror that left the cache because their signer was withdrawn, until they are on disk.
    withheld: Mutex<HashMap<AccountKey, Arc<CachedCopy>>>,
    operator: AtomicBool,
    /// The id of this replica upstream.
    identity: Mutex<FollowerId>,
    /// Whether the cache has all that an earlier process stored, or is full.
    warm: AtomicBool,
    closing: Mutex<bool>,
    wake: Condvar,
    failing: AtomicBool,
    full: Arc<AtomicBool>,
    _lock: Option<FolderLock>,
}

impl Disk {
    /// Opens the snapshot, which no other process may use. Returns also the position of the earlier process. Fails if
    /// the state folder is in use, missing or unusable.
    pub(super) fn open(place: &SnapshotPlace, is_mirror: bool) -> Result<(Self, Stand), StoreError> {
        let lock = place.state_dir.as_deref().map(|folder| open_folder(folder, place.require_existing)).transpose()?;
        let (snapshot, found) = Snapshot::open(place.state_dir.as_deref())?;
        match &found {
            FoundSnapshot::Whole | FoundSnapshot::Nothing => {}
            FoundSnapshot::MovedAway(away) => tracing::error!(
                "the snapshot is unusable and was moved to {}; this replica forgets what it saw of accounts, and begins a \
                 new one",
                away.display()
            ),
            FoundSnapshot::CutOff => tracing::error!("the snapshot was cut off; this replica uses the rest"),
        }
        let beginning = Stand { position: None, confirmed: None, stretch: 0, joined: 0, heard: 0, is_mirror };
        let mut stand = snapshot.stand().unwrap_or(beginning);
        if is_mirror && !stand.is_mirror {
            // A cache does not hold everything.
            stand.position = None;
        }
        stand.is_mirror = is_mirror;
        let identity = match snapshot.identity() {
            Some(identity) => identity,
            None => new_identity(&snapshot),
        };
        let disk = Self {
            identity: Mutex::new(identity),
            warm: AtomicBool::new(!snapshot.is_lasting()),
            snapshot: Arc::new(snapshot),
            tokens: place.tokens.clone().filter(|_| found == FoundSnapshot::Nothing),
            found,
            copies: Arc::default(),
            withheld: Mutex::default(),
            operator: AtomicBool::new(false),
            closing: Mutex::new(false),
            wake: Condvar::new(),
            failing: AtomicBool::new(false),
            full: Arc::default(),
            _lock: lock,
        };
        Ok((disk, stand))
    }

    pub(super) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The id of this replica upstream.
    pub(super) fn identity(&self) -> FollowerId {
        *self.identity.lock()
    }

    /// Takes another id, because another replica uses this one.
    pub(super) fn renew_identity(&self) {
        *self.identity.lock() = new_identity(&self.snapshot);
    }

    /// The listener for copies that leave the cache.
    pub(super) fn on_leave(
        &self,
    ) -> impl Fn(Arc<AccountKey>, Arc<CachedCopy>, moka::notification::RemovalCause) + use<> {
        let copies = self.snapshot.is_lasting().then(|| self.copies.clone());
        let full = self.full.clone();
        move |key, _, cause| {
            if cause == moka::notification::RemovalCause::Size {
                full.store(true, Ordering::Release);
            }
            if let Some(copies) = &copies
                && cause != moka::notification::RemovalCause::Replaced
            {
                copies.lock().insert(*key);
            }
        }
    }

    /// A copy came or changed.
    pub(super) fn note_copy(&self, key: &AccountKey) {
        if self.snapshot.is_lasting() {
            let mut copies = self.copies.lock();
            copies.insert(*key);
            if copies.len() == MANY {
                self.wake.notify_one();
            }
        }
    }

    /// A mirror stores a copy even if it leaves the cache because its signer was withdrawn.
    pub(super) fn note_withheld(&self, key: &AccountKey, copy: Arc<CachedCopy>) {
        if self.snapshot.is_lasting() {
            self.withheld.lock().insert(*key, copy);
        }
    }

    pub(super) fn note_operator(&self) {
        self.operator.store(true, Ordering::Release);
    }

    /// The state of the snapshot, for people. `None`: nothing is stored.
    pub(super) fn describe(&self) -> Option<String> {
        if !self.snapshot.is_lasting() {
            return None;
        }
        let mut text = if self.failing.load(Ordering::Acquire) {
            "cannot be written; see the log".to_owned()
        } else if self.is_warm() {
            "is stored".to_owned()
        } else {
            "is being restored".to_owned()
        };
        match self.snapshot.lost() {
            0 => {}
            lost => text.push_str(&format!("; it was damaged, and at least {lost} rows were lost")),
        }
        match &self.found {
            FoundSnapshot::MovedAway(_) => {
                text.push_str("; the earlier one is unusable and was moved away, see the log");
            }
            FoundSnapshot::CutOff => text.push_str("; it was found cut off"),
            FoundSnapshot::Whole | FoundSnapshot::Nothing => {}
        }
        Some(text)
    }

    /// Whether a copy had to leave because the cache was full.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Returns to what is written, as after a restart.
    #[cfg(test)]
    pub(super) fn restart(&self) {
        self.copies.lock().clear();
        self.warm.store(false, Ordering::Release);
    }

    /// The copy of an account that an earlier process stored, unless it has changed since. Blocks for a query.
    pub(super) fn stored(&self, key: &AccountKey) -> Option<Copy> {
        if self.is_noted(key) { None } else { self.snapshot.copy(key) }
    }

    /// Whether a copy has changed since the last write.
    pub(super) fn is_noted(&self, key: &AccountKey) -> bool {
        self.copies.lock().contains(key)
    }

    /// Takes the list: accounts whose copies changed, and whether the operator did.
    pub(super) fn take_noted(&self) -> (Vec<AccountKey>, bool) {
        let operator = self.operator.swap(false, Ordering::AcqRel);
        (std::mem::take(&mut *self.copies.lock()).into_iter().collect(), operator)
    }

    /// A mirror's copy that left the cache because its signer was withdrawn, until it is written.
    pub(super) fn withheld(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        self.withheld.lock().get(key).cloned()
    }

    /// Writes a batch. A failure is logged, and the batch is noted again. Returns whether it is written.
    pub(super) fn write(&self, batch: &Batch) -> bool {
        let written: HashSet<_> = batch.copies.iter().map(|(key, _)| *key).collect();
        match self.snapshot.write(batch) {
            Ok(()) => {
                // A later change has another copy, and is in the next batch.
                self.withheld.lock().retain(|key, _| !written.contains(key));
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("writing the snapshot succeeded again");
                }
                true
            }
            Err(error) => {
                self.copies.lock().extend(written);
                self.operator.fetch_or(batch.operator.is_some(), Ordering::AcqRel);
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!("cannot write the snapshot, and will retry: {error}");
                }
                false
            }
        }
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Waits until a write is due, but no longer than `pause`. Returns whether the writer must end.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.wake.wait_for(&mut closing, pause);
        }
        *closing
    }

    /// Tells the writer to end.
    pub(super) fn close(&self) {
        *self.closing.lock() = true;
        self.wake.notify_all();
    }

    /// The folder of JWTs of an earlier kind of server, if they must still be imported.
    pub(super) fn tokens(&self) -> Option<&Path> {
        self.tokens.as_deref()
    }

    /// Whether an earlier process left a snapshot.
    pub(super) fn was_found(&self) -> bool {
        self.found != FoundSnapshot::Nothing
    }

    /// Notes that the cache has all that an earlier process stored.
    pub(super) fn set_warm(&self) {
        self.warm.store(true, Ordering::Release);
    }

    /// Whether the cache has all that an earlier process stored.
    pub(super) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }
}

/// A random id. If it cannot be stored, it lives as long as the process.
fn new_identity(snapshot: &Snapshot) -> FollowerId {
    let identity = rand::random();
    if let Err(error) = snapshot.set_identity(&identity) {
        tracing::warn!("cannot store the id of this replica, which gets another one at the next start: {error}");
    }
    identity
}

/// Makes and locks a state folder.
fn open_folder(folder: &Path, require_existing: bool) -> Result<FolderLock, StoreError> {
    let file = folder.join(FILE);
    if require_existing && !file.exists() {
        return Err(StoreError::unusable(
            &file,
            "it does not exist, and store.require_existing is set: is the folder mounted? For a first start, unset it",
        ));
    }
    private::state_folder(folder)?;
    Ok(FolderLock::acquire(folder)?)
}
