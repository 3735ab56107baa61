//! What a replica keeps on disk, and when it is written.
//!
//! A thread of its own writes what has changed every half second. It notes first how far the feed was taken in, and then
//! gathers what changed, so that what is on disk is never behind the position beside it.

mod recall;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Replica, Slot, position};
use crate::clock;
use crate::feed::Head;
use crate::folder::{FolderLock, private};
use crate::key::AccountKey;
use crate::store::snapshot::{Batch, Copy, FILE, Found, Operator, Snapshot, Stand};
use crate::store::{Follower, FollowerChange, FollowerId, StoreError};

/// How often what changed is written.
const EVERY: Duration = Duration::from_millis(500);
/// So much that changed is written at once.
const MANY: usize = 2000;
/// How often it is written that nothing but time has passed.
const IDLE: i64 = 10_000;

/// Where a replica keeps things.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The state folder; `None`: what is seen is remembered in a temporary file.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing snapshot is an error.
    pub require_existing: bool,
    /// A folder of tokens from before, which are taken in if there is no snapshot yet.
    pub tokens: Option<PathBuf>,
}

/// The snapshot, and what is not written there yet.
#[derive(Debug)]
pub(super) struct Keeping {
    snapshot: Arc<Snapshot>,
    found: Found,
    tokens: Option<PathBuf>,
    stand: Mutex<Stand>,
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
    writer: Mutex<Option<JoinHandle<()>>>,
    failing: AtomicBool,
    full: Arc<AtomicBool>,
    written: Mutex<Option<Stand>>,
    _lock: Option<FolderLock>,
}

impl Keeping {
    /// Opens the snapshot, which must not be in use by another process.
    pub(super) fn open(place: &Place, is_mirror: bool) -> Result<Self, StoreError> {
        let lock = place.state_dir.as_deref().map(|folder| open_folder(folder, place.require_existing)).transpose()?;
        let (snapshot, found) = Snapshot::open(place.state_dir.as_deref())?;
        match &found {
            Found::Whole | Found::Nothing => {}
            Found::MovedAway(away) => tracing::error!(
                "the snapshot cannot be used and was moved to {}: what was seen of accounts is forgotten, and a new one \
                 begins",
                away.display()
            ),
            Found::CutOff => tracing::error!("the snapshot was cut off; what is left of it is used"),
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
        Ok(Self {
            identity: Mutex::new(identity),
            warm: AtomicBool::new(!snapshot.is_lasting()),
            snapshot: Arc::new(snapshot),
            tokens: place.tokens.clone().filter(|_| found == Found::Nothing),
            found,
            stand: Mutex::new(stand),
            copies: Arc::default(),
            withheld: Mutex::default(),
            operator: AtomicBool::new(false),
            closing: Mutex::new(false),
            wake: Condvar::new(),
            writer: Mutex::default(),
            failing: AtomicBool::new(false),
            full: Arc::default(),
            written: Mutex::default(),
            _lock: lock,
        })
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

    /// Where the follower of the feed stands, and up to where everything has been taken in.
    pub(super) fn stand(&self) -> Stand {
        *self.stand.lock()
    }

    /// Everything was taken in up to a position, in this stretch.
    pub(super) fn applied(&self, position: Head, stretch: u64) {
        let mut stand = self.stand.lock();
        if stand.stretch != stretch {
            (stand.stretch, stand.joined) = (stretch, stretch);
        }
        stand.position = Some(position);
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
            Found::MovedAway(_) => text.push_str("; the one before cannot be used and was moved away, see the log"),
            Found::CutOff => text.push_str("; it was found cut off"),
            Found::Whole | Found::Nothing => {}
        }
        Some(text)
    }

    /// All that is held was compared with the primary in this stretch.
    pub(super) fn join(&self, stretch: u64) {
        let mut stand = self.stand.lock();
        if stand.stretch == stretch {
            // Whatever was not confirmed is in no stretch at all.
            stand.joined = 1;
        }
    }

    /// Whether a cache has compared all that it held before the stretch that it is in. A mirror keeps no position before it
    /// has.
    pub(super) fn has_joined(&self) -> bool {
        let stand = self.stand.lock();
        stand.is_mirror || stand.joined <= 1
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

    /// Whether there may be copies on disk that are not in the cache.
    pub(super) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }
}

impl Replica {
    /// Begins to write to the snapshot, and to bring back what it holds.
    pub fn keep_up(self: &Arc<Self>) -> Result<(), StoreError> {
        let failed = || StoreError::io("start a thread for", Path::new(FILE));
        let replica = Arc::downgrade(self);
        let keeping = self.keeping.clone();
        let writer = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || keeping.write_on(&replica))
            .map_err(failed())?;
        *self.keeping.writer.lock() = Some(writer);
        if !self.keeping.is_warm() {
            let replica = self.clone();
            std::thread::Builder::new().name("warm-up".into()).spawn(move || replica.warm_up()).map_err(failed())?;
        }
        Ok(())
    }

    /// The replicas behind this one that an earlier process knew. Blocks for a query.
    pub fn followers(&self) -> Vec<Follower> {
        self.keeping.snapshot.followers()
    }

    /// Remembers and forgets replicas behind this one. Blocks for writing.
    pub fn note_followers(&self, changes: &[FollowerChange]) -> Result<(), StoreError> {
        self.keeping.snapshot.set_followers(changes)
    }

    /// Writes what is not written yet, and ends the writing.
    pub fn close(self: &Arc<Self>) {
        *self.keeping.closing.lock() = true;
        self.keeping.wake.notify_all();
        if let Some(writer) = self.keeping.writer.lock().take() {
            // A writer that panicked has said so already.
            let _ = writer.join();
        }
        self.write_down();
    }

    /// Writes what changed. A failure is logged, and what could not be written is tried again.
    fn write_down(self: &Arc<Self>) {
        let keeping = &self.keeping;
        // What is about to be evicted takes memory until somebody looks after it, and writes no row that goes at once.
        self.cache.run_pending_tasks();
        let mut stand = keeping.stand();
        let confirmed = self.position();
        stand.heard = self.heard_at();
        let operator = keeping.operator.swap(false, Ordering::AcqRel).then(|| self.operator_now()).flatten();
        let copies: Vec<_> = std::mem::take(&mut *keeping.copies.lock()).into_iter().collect();
        let seen = self.memory.take_unwritten();
        let proofs = self.shelf.unwritten_now();
        let mended = keeping.snapshot.mended();
        let copies: Vec<_> = copies.into_iter().filter_map(|key| self.copy_now(&key)).collect();
        // What came in while the copies were gathered may be among them.
        stand.confirmed = confirmed.zip(self.position()).map(|(before, after)| position::lower(before, &after));
        let is_news = |written: &Stand| Stand { heard: 0, ..*written } != Stand { heard: 0, ..stand };
        let is_idle = |written: &Stand| !is_news(written) && stand.heard - written.heard < IDLE;
        let is_idle = keeping.written.lock().as_ref().is_some_and(is_idle) && !keeping.snapshot.is_damaged();
        if is_idle && operator.is_none() && copies.is_empty() && seen.is_empty() && proofs.is_empty() {
            self.memory.shrink();
            return;
        }
        let batch = Batch { stand, operator, copies, seen, proofs };
        let written: HashSet<_> = batch.copies.iter().map(|(key, _)| *key).collect();
        match keeping.snapshot.write(&batch) {
            Ok(()) => {
                self.memory.shrink();
                self.shelf.is_written(&batch.proofs);
                // What was noted since has another slot, and is in the next batch.
                keeping.withheld.lock().retain(|key, _| !written.contains(key));
                if keeping.snapshot.mended() != mended {
                    self.lost_something();
                }
                *keeping.written.lock() = Some(stand);
                if keeping.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the snapshot is written again");
                }
            }
            Err(error) => {
                self.memory.is_unwritten(&batch.seen);
                keeping.copies.lock().extend(batch.copies.iter().map(|(key, _)| *key));
                keeping.operator.fetch_or(batch.operator.is_some(), Ordering::AcqRel);
                self.metrics.replica_snapshot_failures.inc();
                if !keeping.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!("the snapshot cannot be written, and is tried again: {error}");
                }
            }
        }
    }

    /// What is to be kept of an account; `None`: what is kept already.
    fn copy_now(&self, key: &AccountKey) -> Option<(AccountKey, Option<Copy>)> {
        match self.cache.get(key) {
            Some(slot) => Some((*key, Some(copy_of(key, &slot)))),
            // What signed it may be listed again, and the mirror be the primary by then.
            None if self.is_mirror() && self.withheld_by(key).is_some() => {
                self.keeping.withheld.lock().get(key).map(|slot| (*key, Some(copy_of(key, slot))))
            }
            None => Some((*key, None)),
        }
    }

    /// When the primary was last heard, unix milliseconds; 0: never.
    fn heard_at(&self) -> i64 {
        self.silence().map_or(0, |silence| clock::unix_millis() - silence)
    }

    /// The operator as it is trusted now.
    fn operator_now(&self) -> Option<Operator> {
        let standing = self.gate.standing();
        let withdrawn = standing.withdrawn().map(|(key, at)| (*key, at)).collect();
        Some(Operator { chain: standing.chain()?.clone(), withdrawn })
    }
}

impl Keeping {
    fn write_on(&self, replica: &Weak<Replica>) {
        let mut closing = self.closing.lock();
        while !*closing {
            self.wake.wait_for(&mut closing, EVERY);
            drop(closing);
            match replica.upgrade() {
                Some(replica) => replica.write_down(),
                None => return,
            }
            closing = self.closing.lock();
        }
    }
}

fn copy_of(key: &AccountKey, slot: &Slot) -> Copy {
    Copy {
        key: *key,
        jwt: slot.entry().token().clone(),
        at: slot.position(),
        stretch: slot.stretch(),
        confirmed: clock::unix_millis() - (clock::uptime_millis() - slot.confirmed()),
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
        return Err(StoreError::Unusable {
            path: file,
            reason:
                "it does not exist, and store.require_existing is set: is the folder mounted? For a first start, unset \
                     it"
                .into(),
        });
    }
    private::state_folder(folder)?;
    Ok(FolderLock::acquire(folder)?)
}
