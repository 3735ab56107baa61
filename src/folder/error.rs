//! What can go wrong with a folder and the files in it.

use std::path::{Path, PathBuf};

/// A failure of a folder: what could not be done, with which file.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder could not be used.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as in "cannot create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder is not what it has to be.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another process works on the folder.
    #[error("folder {path} is in use by {holder}; stop that process, or choose another folder")]
    Locked {
        /// The state folder.
        path: PathBuf,
        /// What the lock file says of the holder.
        holder: String,
    },
}

impl FolderError {
    /// Whether there is no room left to write.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    }

    /// The failure as anonymous clients of this server may read it. Only the log names its files.
    pub fn for_clients(&self) -> String {
        match self {
            Self::Io { action, source, .. } => format!("cannot {action}: {source}; the log says where"),
            Self::Unusable { reason, .. } => format!("the store cannot be used: {reason}"),
            Self::Locked { .. } => "the store is in use by another process".to_owned(),
        }
    }

    /// Adds what was tried, with which file, to what the system said.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
