//! The primary: it owns the journal, decides about every change, and is what followers follow.
//!
//! A push is [`Primary::submit`]: the gate admits the token on the caller's thread (the signature check is the
//! expensive part, and there are as many callers as cores), then the journal's writer decides about its order and makes
//! it durable. What follows from a change (the body cache, followers, notifications) follows from the journal.
//!
//! Bodies are served from a bounded cache; what is not there is read from the journal. Nothing is kept in memory per
//! account.
//!
//! The folder of tokens follows the journal ([`mirror`]), and what others do to its files is taken in ([`tend`]).

mod foreign;
mod judge;
mod keeper;
mod mirror;
mod own;
mod progress;
mod scan;
mod source;
mod tend;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;

pub use mirror::Mirrored;
pub use progress::Progress;
pub use source::Source;
pub use tend::Tending;

use crate::clock;
use crate::epoch::{Epoch, Epochs};
use crate::feed::{Change, Content, Ring};
use crate::gate::{Entry, Gate, Position, Refusal, Tombstone, Via};
use crate::key::AccountKey;
use crate::store::journal::{CommitError, Options, Outcome, Stored, Write};
use crate::store::{self, FolderLock, Journal, StoreError};
use source::Tokens;

/// How a primary is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where the tokens are.
    pub source: Source,
    /// Where the journal lives, if not with the tokens.
    pub state_dir: Option<PathBuf>,
    /// Refuse to start if there is no journal yet.
    pub require_existing: bool,
    /// Versions kept per account besides the current one.
    pub history: usize,
    /// How long versions besides the current one are kept; zero is no limit.
    pub history_age: Duration,
    /// Bound of the body cache, in bytes.
    pub cache_bytes: u64,
}

/// The owner of the journal.
#[derive(Debug)]
pub struct Primary {
    journal: Journal,
    gate: Arc<Gate>,
    bodies: Arc<Bodies>,
    session: [u8; 16],
    tokens: Tokens,
    progress: Progress,
    history_age: Duration,
    _lock: Option<FolderLock>,
}

/// What a submission came to.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The JWT that is held now: the one submitted.
    pub entry: Arc<Entry>,
    /// Whether that is a change.
    pub changed: bool,
    /// Where it stands in the order of changes.
    pub position: Position,
}

/// The bounded cache of bodies, kept true by the journal's writer.
#[derive(Debug)]
struct Bodies {
    cache: moka::sync::Cache<AccountKey, Arc<Stored>>,
    epochs: Epochs,
}

impl Bodies {
    fn new(bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, stored: &Arc<Stored>| {
                // The token, and what entry, key and cache cost around it.
                u32::try_from(stored.entry.token().len() + 512).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, epochs: Epochs::default() }
    }

    /// Called with every committed change, before anybody is told of it.
    fn follow(&self, change: &Change) {
        for key in change.keys() {
            self.epochs.bump(key);
            let op = match &change.content {
                // Who scans a million files does not ask for them.
                Content::Put(_) if change.via == Via::FirstScan => Op::Remove,
                Content::Put(entry) => Op::Put(Arc::new(Stored { entry: entry.clone(), serial: change.serial })),
                Content::Delete(_) | Content::Superseded { .. } | Content::Removed { .. } => Op::Remove,
            };
            // Computed, not inserted: computations of one key exclude each other, see `load`.
            self.cache.entry_by_ref(key).and_compute_with(|_| op);
            self.epochs.bump(key);
        }
    }
}

impl Primary {
    /// Opens the journal, which must not be in use by another process.
    pub fn open(setup: &Setup, gate: Arc<Gate>) -> Result<Self, StoreError> {
        let state = setup.state_dir.clone().or_else(|| setup.source.state_dir());
        let mut lock = None;
        if let Some(state) = &state {
            if setup.require_existing && !state.join("journal.sqlite").exists() {
                return Err(StoreError::Unusable {
                    path: state.join("journal.sqlite"),
                    reason: "it does not exist, and store.require_existing is set: is the folder mounted? For a first \
                             start, unset it"
                        .into(),
                });
            }
            store::create_folder(state)?;
            lock = Some(FolderLock::acquire(state)?);
        }
        let tokens = setup.source.open(state.as_deref())?;
        let bodies = Arc::new(Bodies::new(setup.cache_bytes));
        let options = Options {
            path: state.map(|state| state.join("journal.sqlite")),
            history: setup.history,
            readers: std::thread::available_parallelism().map_or(2, usize::from) * 2,
        };
        let follower = bodies.clone();
        let journal =
            Journal::open(&options, move |changes| changes.iter().for_each(|change| follower.follow(change)))?;
        let session = journal.head().session.0;
        Ok(Self {
            journal,
            gate,
            bodies,
            session,
            tokens,
            progress: Progress::default(),
            history_age: setup.history_age,
            _lock: lock,
        })
    }

    /// How far the first look through the folder has come.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the accounts are those of a folder that somebody else keeps: nothing can be pushed then.
    pub const fn is_read_only(&self) -> bool {
        self.tokens.is_foreign()
    }

    /// The journal, for what follows it.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The latest changes, and the place to wait for more.
    pub const fn ring(&self) -> &Arc<Ring> {
        self.journal.ring()
    }

    /// The session of the journal, which is the same for as long as it is open.
    pub const fn session(&self) -> [u8; 16] {
        self.session
    }

    /// Moves whenever something happens to an account.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        self.bodies.epochs.of(key)
    }

    /// The JWT of an account, if its body is in the cache.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        self.bodies.cache.get(key)
    }

    /// The JWT of an account from the journal. Blocks for a query.
    pub fn load(&self, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError> {
        let before = self.bodies.epochs.of(key);
        let Some(stored) = self.journal.get(key)? else { return Ok(None) };
        let stored = Arc::new(stored);
        // A change that was committed meanwhile is in the cache already, or has emptied its place: leave both alone.
        self.bodies
            .cache
            .entry_by_ref(key)
            .and_compute_with(|_| if self.bodies.epochs.of(key) == before { Op::Put(stored.clone()) } else { Op::Nop });
        Ok(Some(stored))
    }

    /// Forgets versions as they get too old, for as long as the process lives.
    pub async fn forget(self: Arc<Self>) {
        /// Pieces of the history that are looked at in one go, before others have a turn.
        const PIECES: usize = 100;
        if self.history_age.is_zero() {
            return;
        }
        let pause = (self.history_age / 10).clamp(Duration::from_millis(100), Duration::from_secs(600));
        let age = i64::try_from(self.history_age.as_millis()).unwrap_or(i64::MAX);
        loop {
            for _ in 0..PIECES {
                self.journal.prune(clock::unix_millis().saturating_sub(age)).await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes in an account JWT: admitted, ordered, durable when this returns.
    pub async fn submit(
        &self,
        token: &[u8],
        expected: Option<&AccountKey>,
        via: Via,
    ) -> Result<Submitted, CommitError> {
        let entry = Arc::new(self.gate.admit(token, expected, via, clock::unix_seconds())?);
        let outcome = self.journal.commit(Write::Put(entry.clone(), via)).await?;
        let (changed, serial) = split(outcome);
        let position = self.journal.head().position(serial);
        Ok(Submitted { entry, changed, position })
    }

    /// Takes in an operator-signed delete request. Returns it, and whether anything changed.
    ///
    /// `expected`: the one account it was addressed to, if the path says so.
    pub async fn delete(
        &self,
        request: &[u8],
        expected: Option<&AccountKey>,
        via: Via,
    ) -> Result<(Arc<Tombstone>, bool), CommitError> {
        let tombstone = Arc::new(self.gate.admit_delete(request, via, clock::unix_seconds())?);
        if let Some(expected) = expected
            && !tombstone.keys().contains(expected)
        {
            return Err(Refusal::DeleteElsewhere(*expected).into());
        }
        let outcome = self.journal.commit(Write::Delete(tombstone.clone(), via)).await?;
        Ok((tombstone, split(outcome).0))
    }
}

fn split(outcome: Outcome) -> (bool, u64) {
    match outcome {
        Outcome::Changed { serial } => (true, serial),
        Outcome::Same { serial } => (false, serial),
    }
}
