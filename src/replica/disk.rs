//! What a replica keeps on disk, and what is noted to be written there.
//!
//! The parts of a replica note here what has changed. [`super::persist`] gathers it and writes it. Nothing else knows how the
//! disk is organised.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::setup::Place;
use super::slot::Slot;
use crate::folder::{FolderLock, private};
use crate::key::AccountKey;
use crate::store::snapshot::{Batch, Copy, FILE, FoundSnapshot, Snapshot, Stand};
use crate::store::{FollowerId, StoreError};

/// This many accounts that changed are written at once.
const MANY: usize = 2000;

/// The snapshot, and what is not written there yet.
#[derive(Debug)]
pub(super) struct Disk {
    snapshot: Arc<Snapshot>,
    found: FoundSnapshot,
    tokens: Option<PathBuf>,
    /// Accounts whose copy came, changed or went.
    copies: Arc<Mutex<HashSet<AccountKey>>>,
    /// What left a mirror's cache because its signer was withdrawn, until it is on disk.
    withheld: Mutex<HashMap<AccountKey, Arc<Slot>>>,
    operator: AtomicBool,
    /// The id by which this replica is known upstream.
    identity: Mutex<FollowerId>,
    /// Whether all that an earlier process kept is in the cache, as far as it has room.
    warm: AtomicBool,
    closing: Mutex<bool>,
    wake: Condvar,
    failing: AtomicBool,
    full: Arc<AtomicBool>,
    _lock: Option<FolderLock>,
}

impl Disk {
    /// Opens the snapshot, which must not be in use by another process. Says also where an earlier process stood.
    pub(super) fn open(place: &Place, is_mirror: bool) -> Result<(Self, Stand), StoreError> {
        let lock = place.state_dir.as_deref().map(|folder| open_folder(folder, place.require_existing)).transpose()?;
        let (snapshot, found) = Snapshot::open(place.state_dir.as_deref())?;
        match &found {
            FoundSnapshot::Whole | FoundSnapshot::Nothing => {}
            FoundSnapshot::MovedAway(away) => tracing::error!(
                "the snapshot cannot be used and was moved to {}: what was seen of accounts is forgotten, and a new one \
                 begins",
                away.display()
            ),
            FoundSnapshot::CutOff => tracing::error!("the snapshot was cut off; what is left of it is used"),
        }
        let beginning = Stand { position: None, confirmed: None, stretch: 0, joined: 0, heard: 0, is_mirror };
        let mut stand = snapshot.stand().unwrap_or(beginning);
        if is_mirror && !stand.is_mirror {
            // What a cache holds is not everything.
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

    /// The id by which this replica is known upstream.
    pub(super) fn identity(&self) -> FollowerId {
        *self.identity.lock()
    }

    /// Takes another id, because this one is another replica's as well.
    pub(super) fn renew_identity(&self) {
        *self.identity.lock() = new_identity(&self.snapshot);
    }

    /// What a cache is to call for every entry that leaves it.
    pub(super) fn on_leave(&self) -> impl Fn(Arc<AccountKey>, Arc<Slot>, moka::notification::RemovalCause) + use<> {
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

    /// A copy came, or what is known of it changed.
    pub(super) fn note_copy(&self, key: &AccountKey) {
        if self.snapshot.is_lasting() {
            let mut copies = self.copies.lock();
            copies.insert(*key);
            if copies.len() == MANY {
                self.wake.notify_one();
            }
        }
    }

    /// A mirror's copy is about to leave the cache because its signer was withdrawn: it is kept on disk all the same.
    pub(super) fn note_withheld(&self, key: &AccountKey, slot: Arc<Slot>) {
        if self.snapshot.is_lasting() {
            self.withheld.lock().insert(*key, slot);
        }
    }

    /// The operator changed.
    pub(super) fn note_operator(&self) {
        self.operator.store(true, Ordering::Release);
    }

    /// For people: how it does. `None`: nothing is kept.
    pub(super) fn describe(&self) -> Option<String> {
        if !self.snapshot.is_lasting() {
            return None;
        }
        let mut text = if self.failing.load(Ordering::Acquire) {
            "cannot be written; see the log".to_owned()
        } else if self.is_warm() {
            "is kept".to_owned()
        } else {
            "is being brought back".to_owned()
        };
        match self.snapshot.lost() {
            0 => {}
            lost => text.push_str(&format!("; it was damaged, and at least {lost} rows were lost")),
        }
        match &self.found {
            FoundSnapshot::MovedAway(_) => {
                text.push_str("; the one before cannot be used and was moved away, see the log");
            }
            FoundSnapshot::CutOff => text.push_str("; it was found cut off"),
            FoundSnapshot::Whole | FoundSnapshot::Nothing => {}
        }
        Some(text)
    }

    /// Whether something had to leave the cache for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Goes back to what is written, as after a restart.
    #[cfg(test)]
    pub(super) fn restart(&self) {
        self.copies.lock().clear();
        self.warm.store(false, Ordering::Release);
    }

    /// The copy that an earlier process left of an account, unless something has happened to it since. Blocks for a query.
    pub(super) fn stored(&self, key: &AccountKey) -> Option<Copy> {
        if self.is_noted(key) { None } else { self.snapshot.copy(key) }
    }

    /// Whether something has happened to a copy that is not written yet.
    pub(super) fn is_noted(&self, key: &AccountKey) -> bool {
        self.copies.lock().contains(key)
    }

    /// Takes what is noted: accounts whose copies changed, and whether the operator did.
    pub(super) fn take_noted(&self) -> (Vec<AccountKey>, bool) {
        let operator = self.operator.swap(false, Ordering::AcqRel);
        (std::mem::take(&mut *self.copies.lock()).into_iter().collect(), operator)
    }

    /// A mirror's copy that left the cache because its signer was withdrawn, until it is written.
    pub(super) fn withheld(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.withheld.lock().get(key).cloned()
    }

    /// Writes what was gathered. A failure is logged, and what could not be written is noted again. Returns whether it is
    /// written.
    pub(super) fn write(&self, batch: &Batch) -> bool {
        let written: HashSet<_> = batch.copies.iter().map(|(key, _)| *key).collect();
        match self.snapshot.write(batch) {
            Ok(()) => {
                // What was noted since has another slot, and is in the next batch.
                self.withheld.lock().retain(|key, _| !written.contains(key));
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the snapshot is written again");
                }
                true
            }
            Err(error) => {
                self.copies.lock().extend(written);
                self.operator.fetch_or(batch.operator.is_some(), Ordering::AcqRel);
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!("the snapshot cannot be written, and is tried again: {error}");
                }
                false
            }
        }
    }

    /// Whether the last attempt to write has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Waits until something is to be written, but no longer than `pause`. Returns whether the writing is to end.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.wake.wait_for(&mut closing, pause);
        }
        *closing
    }

    /// The writing is to end.
    pub(super) fn close(&self) {
        *self.closing.lock() = true;
        self.wake.notify_all();
    }

    /// A folder of tokens from before whose JWTs are still to be read.
    pub(super) fn tokens(&self) -> Option<&Path> {
        self.tokens.as_deref()
    }

    /// Whether an earlier process left something.
    pub(super) fn was_found(&self) -> bool {
        self.found != FoundSnapshot::Nothing
    }

    /// All that an earlier process kept is in the cache, if it has room for it.
    pub(super) fn set_warm(&self) {
        self.warm.store(true, Ordering::Release);
    }

    /// Whether no copies are on disk only.
    pub(super) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }
}

/// An id that no other replica has. If it cannot be kept, it lives as long as the process.
fn new_identity(snapshot: &Snapshot) -> FollowerId {
    let identity = rand::random();
    if let Err(error) = snapshot.set_identity(&identity) {
        tracing::warn!("the id of this replica is not kept: {error}");
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
