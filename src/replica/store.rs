//! The store of a replica: the journal whose changes come from upstream.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::sync::Notify;

use super::copies::Copies;
use super::setup::{Env, StorePlace};
use crate::config::ReplicaMode;
use crate::feed::digest::Leaf;
use crate::feed::{Head, Subject, SubjectKind};
use crate::folder::{FolderLock, private};
use crate::gate::Standing;
use crate::store::journal::upstream::UpstreamWrite;
use crate::store::journal::{
    CacheBound, CommitError, Committing, FILE, Mended, OperatorWrite, Options, Outcome, Role, Stand, Write,
};
use crate::store::{FollowerId, Journal, JournalReader, StoreError};

/// The share of a cache's bound that the texts of the latest changes may take, in its log: one in this number.
const LOG_SHARE: u64 = 8;
/// The largest log of a cache, in bytes of text.
const MOST_LOG: u64 = 64 << 20;

/// The journal of a replica.
#[derive(Debug)]
pub(super) struct Store {
    journal: Journal,
    place: StorePlace,
    /// Whether it was there before this process.
    was_found: bool,
    /// Notified of each commit to a cache: its texts may be too many now. One task waits.
    grown: Arc<Notify>,
    identity: Mutex<FollowerId>,
    failing: AtomicBool,
    failures: IntCounter,
    _lock: Option<FolderLock>,
}

impl Store {
    /// Opens the store, which no other process may use. `copies` follow what is written. Fails if the state folder is in
    /// use, missing or unusable.
    pub(super) fn open(env: &Env, copies: &Arc<Copies>) -> Result<Self, StoreError> {
        let place = env.setup.place.clone();
        let lock = place.state_dir.as_deref().map(|folder| open_folder(folder, place.require_existing)).transpose()?;
        let path = place.state_dir.as_deref().map(|folder| folder.join(FILE));
        let was_found = path.as_deref().is_some_and(Path::exists);
        let role = if env.setup.mode == ReplicaMode::Mirror { Role::Mirror } else { Role::Cache };
        let wanted = copies.clone();
        let options = Options {
            path,
            // A cache keeps no versions that are no longer served.
            history: if role == Role::Mirror { env.setup.history } else { 0 },
            readers: std::thread::available_parallelism().map_or(2, usize::from) * 2,
            role,
            cache: Some(CacheBound {
                log_bytes: (env.setup.cache_bytes / LOG_SHARE).min(MOST_LOG),
                text_bytes: env.setup.cache_bytes,
                keeps_unasked: env.setup.warm,
                is_wanted: Arc::new(move |key| wanted.contains(key)),
            }),
        };
        let (follower, grown) = (copies.clone(), Arc::new(Notify::new()));
        let (growing, is_cache) = (grown.clone(), role == Role::Cache);
        let journal = Journal::open_under(&options, env.gate.clone(), move |_, effects| {
            follower.follow(effects);
            if is_cache {
                growing.notify_one();
            }
        })?;
        journal.measured_by(env.metrics.writes.commit.clone());
        let store = Self {
            journal,
            place,
            was_found,
            grown,
            identity: Mutex::default(),
            failing: AtomicBool::new(false),
            failures: env.metrics.replica.store_failures.clone(),
            _lock: lock,
        };
        match store.journal.replica_id()? {
            Some(identity) => *store.identity.lock() = identity,
            None => store.renew_identity(),
        }
        Ok(store)
    }

    /// What it answers.
    pub(super) const fn reader(&self) -> &Arc<JournalReader> {
        self.journal.reader()
    }

    pub(super) const fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn stand(&self) -> Stand {
        self.reader().stand()
    }

    /// The position of this replica on the feed.
    pub(super) fn position(&self) -> Option<Head> {
        self.stand().position
    }

    /// The leaves of the operator JWTs that upstream ordered, as far as that is known: one, or none. Blocks for a query.
    pub(super) fn ordered_operators(&self) -> Result<Vec<(Subject, Leaf)>, StoreError> {
        let last = |kind| Subject::from_raw(kind, [u8::MAX; 32]);
        let (after, to) = (last(SubjectKind::Account), last(SubjectKind::Operator));
        let found = self.reader().held_leaves(None, Some(after), Some(to))?;
        Ok(found.into_iter().map(|(subject, leaf, _)| (subject, leaf)).collect())
    }

    /// Waits until there was a commit, after which the texts of a cache may be too many. For one task.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Whether it outlives the process.
    pub(super) const fn is_lasting(&self) -> bool {
        self.place.state_dir.is_some()
    }

    /// Whether it was there before this process.
    pub(super) const fn was_found(&self) -> bool {
        self.was_found
    }

    /// The folder of JWTs of an earlier kind of server, if they must still be imported.
    pub(super) fn tokens(&self) -> Option<&Path> {
        self.place.tokens.as_deref().filter(|_| !self.was_found)
    }

    /// Writes, and waits until it is done.
    pub(super) async fn write(&self, write: UpstreamWrite) -> Result<Outcome, CommitError> {
        self.noted(self.journal.commit(Write::Upstream(write)).await)
    }

    /// Writes after what was enqueued before, and does not wait until it is done.
    pub(super) async fn enqueue(&self, write: UpstreamWrite) -> Result<Committing, CommitError> {
        self.journal.enqueue(Write::Upstream(write)).await
    }

    /// Writes many things at once. One outcome for each.
    pub(super) async fn write_all(&self, writes: Vec<UpstreamWrite>) -> Vec<Result<Outcome, CommitError>> {
        let writes = writes.into_iter().map(Write::Upstream).collect();
        self.journal.commit_all(writes).await.into_iter().map(|outcome| self.noted(outcome)).collect()
    }

    /// As [`Store::write`], on a thread that may be blocked.
    pub(super) fn write_blocking(&self, write: UpstreamWrite) -> Result<Outcome, CommitError> {
        self.noted(self.journal.commit_blocking(Write::Upstream(write)))
    }

    /// Writes when there is room, and does not wait.
    pub(super) fn write_soon(&self, write: UpstreamWrite) {
        // What is lost is written again later, or had again from upstream.
        let _ = self.journal.commit_soon(Write::Upstream(write));
    }

    /// Notes which operator JWTs are in force, and does not wait.
    pub(super) fn note_operator(&self, standing: &Standing) {
        if let Some(chain) = standing.chain().cloned()
            && self.journal.commit_soon(Write::Operator(OperatorWrite::Follow(chain))).is_none()
        {
            tracing::warn!("the operator JWT is not stored yet: the store is busy");
        }
    }

    /// Notes them again if the store has others, because the write before was lost. Blocks for a query.
    pub(super) fn keep_operator(&self, standing: &Standing) -> Result<(), StoreError> {
        let stored = self.reader().operator()?;
        let is_stored = match (standing.chain(), &stored) {
            (Some(chain), Some(stored)) => stored.in_force().version() == chain.in_force().version(),
            (chain, _) => chain.is_none(),
        };
        if !is_stored {
            self.note_operator(standing);
        }
        Ok(())
    }

    /// Logs when writing begins to fail, and when it succeeds again.
    pub(super) fn noted(&self, outcome: Result<Outcome, CommitError>) -> Result<Outcome, CommitError> {
        match &outcome {
            Err(CommitError::Failed(error)) => {
                self.failures.inc();
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!("cannot write the store, and will retry: {error}");
                }
            }
            Ok(_) | Err(CommitError::Refused(_)) => {
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("writing the store succeeded again");
                }
            }
        }
        outcome
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// The id of this replica upstream.
    pub(super) fn identity(&self) -> FollowerId {
        *self.identity.lock()
    }

    /// Takes another id, because another replica uses this one.
    pub(super) fn renew_identity(&self) {
        let identity = rand::random();
        *self.identity.lock() = identity;
        self.journal.notes().set_replica_id(&identity);
    }

    /// The state of the store, for people. `None`: nothing outlives the process.
    pub(super) fn describe(&self) -> Option<String> {
        let state = self.is_lasting().then(|| {
            if self.is_failing() {
                "cannot be written; see the log".to_owned()
            } else if self.reader().is_lost() {
                "a file of it was removed or replaced; see the log".to_owned()
            } else {
                "is stored".to_owned()
            }
        });
        let mended = match self.journal.mended() {
            None => "",
            Some(Mended::Brought { .. }) => "; it was found damaged, and what was sound of it is used, see the log",
            Some(Mended::MovedAway(_)) => "; the earlier one is unusable and was moved away, see the log",
        };
        state.map(|state| state + mended)
    }

    /// Ends the writer after what is queued is written.
    pub(super) async fn close(&self) {
        self.journal.close().await;
    }
}

/// Makes and locks a state folder.
fn open_folder(folder: &Path, require_existing: bool) -> Result<FolderLock, StoreError> {
    let file: PathBuf = folder.join(FILE);
    if require_existing && !file.exists() {
        return Err(StoreError::unusable(
            &file,
            "it does not exist, and store.require_existing is set: is the folder mounted? For a first start, unset it",
        ));
    }
    private::state_folder(folder)?;
    Ok(FolderLock::acquire(folder)?)
}
