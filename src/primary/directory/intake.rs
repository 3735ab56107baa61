//! What the watcher asks of either intake.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::folder::FolderShard;
use crate::key::AccountKey;
use crate::store::StoreError;

/// Imports what happens to a folder. Every method blocks.
pub(super) trait Intake: Send + 'static {
    /// Imports everything, for the first time.
    fn scan(&mut self, stop: &CancellationToken) -> Result<Scanned, StoreError>;

    /// Imports everything that changed since a time.
    fn look(&mut self, since: SystemTime) -> Result<Looked, StoreError>;

    /// Imports files that were touched. Returns those to try again.
    fn touched(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf>;

    /// The time until the next look, if the intake has a reason of its own.
    fn wants_look(&self) -> Option<Duration> {
        None
    }
}

/// How a first scan ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// It was told to stop.
    Stopped,
    /// All is imported that can be read.
    Done {
        /// From these folders.
        folders: Vec<PathBuf>,
        /// Shards that cannot be read.
        closed: Vec<FolderShard>,
    },
}

/// How a look through the folder ended.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) folders: Vec<PathBuf>,
    pub(super) again: Vec<PathBuf>,
    /// Shards that cannot be read.
    pub(super) closed: Vec<FolderShard>,
    /// Whether everything that changed and can be read was dealt with. If not, the next look begins where this one did.
    pub(super) is_whole: bool,
}

/// The account in a file's name.
pub(super) fn named(path: &Path) -> Option<AccountKey> {
    AccountKey::parse(path.file_name()?.to_str()?.strip_suffix(".jwt")?).ok()
}
