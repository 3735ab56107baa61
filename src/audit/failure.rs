//! What can go wrong with the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file cannot be used.
    #[error("cannot {action} the audit log {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process writes it.
    #[error("the audit log {0} is in use by another process; each server needs a file of its own")]
    InUse(PathBuf),
    /// It is something else.
    #[error(
        "{0} has content and is no audit log of this server; set audit.path to another file, or move this one away"
    )]
    Foreign(PathBuf),
}

impl AuditError {
    /// Adds what was tried, with which file, to what the system said.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a change is not acknowledged, although the journal could commit it. The reasons name no files: clients read them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unaudited {
    /// It was not committed.
    #[error("the audit log cannot be written ({0}), and audit.on_failure is refuse; nothing was changed")]
    Before(Arc<str>),
    /// It is committed. Its line is written when that is possible again.
    #[error("the change is stored, but its line in the audit log is not on disk ({0}); it is safe to send it again")]
    After(Arc<str>),
}
