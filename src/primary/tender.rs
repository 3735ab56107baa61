//! What is asked of those who tend a folder, whoever owns it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::folder::FolderShard;
use crate::key::AccountKey;
use crate::store::StoreError;

/// What is done about a folder, whoever owns it. All of it blocks.
pub(super) trait Tender: Send + 'static {
    /// Takes in everything, for the first time.
    fn scan(&mut self, stop: &CancellationToken) -> Result<Scanned, StoreError>;

    /// Looks at everything that changed since a time. Returns the folders to watch, and the files to look at again.
    fn look(&mut self, since: SystemTime) -> Result<Looked, StoreError>;

    /// Looks at files that were touched. Returns those to look at again.
    fn touched(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf>;

    /// When it wants to look again, if it has a reason of its own.
    fn wants_look(&self) -> Option<Duration> {
        None
    }
}

/// What a first scan came to.
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

/// What a look came to.
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
