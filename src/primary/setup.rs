//! How a primary is set up, and what of the file system it keeps to itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Source;
use crate::config::{Audit, Settings};
use crate::folder::{FolderLock, private};
use crate::key::PublicKey;
use crate::metrics::Metrics;
use crate::store::{StoreError, journal};

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
    /// Bound of the caches of bodies and of activations, in bytes.
    pub cache_bytes: u64,
    /// Activations that one account may have.
    pub activations_per_account: u64,
    /// Write activations to the folder, too.
    pub activation_files: bool,
    /// The identity of another operator whose JWT may take the place of the one in the journal.
    pub change_operator: Option<PublicKey>,
    /// The audit log, and where it is counted. Only a server has one: it also writes lines for what commands committed.
    pub audit: Option<(Audit, Arc<Metrics>)>,
}

impl Setup {
    /// One with little history and small caches, for tests.
    #[cfg(test)]
    pub(super) fn small(source: Source) -> Self {
        Self {
            source,
            state_dir: None,
            require_existing: false,
            history: 2,
            history_age: Duration::ZERO,
            cache_bytes: 1 << 20,
            activations_per_account: 3,
            activation_files: false,
            change_operator: None,
            audit: None,
        }
    }

    /// As the settings say.
    pub fn of(settings: &Settings) -> Self {
        let store = &settings.store;
        Self {
            source: Source::of(store),
            state_dir: store.state_dir.clone(),
            require_existing: store.require_existing,
            history: store.history.saturating_sub(1),
            history_age: store.history_age,
            cache_bytes: store.cache_bytes,
            activations_per_account: store.activations_per_account,
            activation_files: store.activation_files,
            change_operator: settings.change_operator(),
            audit: None,
        }
    }

    /// The folder of the journal; `None` if it is in memory.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(|| self.source.state_dir())
    }

    /// The journal's file; `None` if it is in memory.
    pub fn journal(&self) -> Option<PathBuf> {
        self.state().map(|state| state.join(journal::FILE))
    }

    /// Keeps every other process away from journal and folder for as long as the locks live.
    pub fn lock(&self) -> Result<Vec<FolderLock>, StoreError> {
        let (state, mut locks) = (self.state(), Vec::new());
        if let Source::Folder { dir, mode, .. } = &self.source {
            private::token_folder(dir, *mode)?;
            private::warn_if_open(dir);
        }
        if let Some(state) = &state {
            private::state_folder(state)?;
            locks.push(FolderLock::acquire(state)?);
        }
        // Two that keep their journals elsewhere must not write to one folder either.
        if let Some(own) = self.source.state_dir() {
            private::folder(&own)?;
            let real = |path: &PathBuf| path.canonicalize().ok();
            if state.as_ref().and_then(real) != real(&own) {
                private::state_folder(&own)?;
                locks.push(FolderLock::acquire(&own)?);
            }
        }
        Ok(locks)
    }
}
