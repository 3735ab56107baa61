//! What can go wrong with the databases.

use std::path::{Path, PathBuf};

use crate::audit::{AuditError, Unaudited};
use crate::folder::FolderError;

/// A failure of the store: what could not be done, with which file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal's database failed.
    #[error("journal {path}: {source}{}", remedy(.source))]
    Sqlite {
        /// The journal file, or `:memory:`.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file or folder could not be used, or is not what it has to be.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What was asked for may be in the folder of tokens, which is still being imported.
    #[error("the token folder is still being imported, and may hold it; try again in a second")]
    Importing,
    /// What was asked for may be in a sub-folder of the token folder that cannot be read.
    #[error("a sub-folder of the token folder cannot be read, and may hold it; see this server's log")]
    SubFolderClosed,
    /// A failure that others met, too.
    #[error(transparent)]
    Shared(#[from] std::sync::Arc<Self>),
    /// The journal's writer has ended.
    #[error("the journal is closed")]
    Closed,
    /// The audit log cannot be used at all.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The change has no line in the audit log.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
}

impl StoreError {
    /// Whether there is no room left to write.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Folder(error) => error.is_full(),
            Self::Shared(error) => error.is_full(),
            _ => false,
        }
    }

    /// Whether the database is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            Self::Shared(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether nothing failed, but what was asked for may still be found in the folder: it is being imported, or part of it
    /// cannot be read.
    pub fn is_importing(&self) -> bool {
        match self {
            Self::Importing | Self::SubFolderClosed => true,
            Self::Shared(error) => error.is_importing(),
            _ => false,
        }
    }

    /// Whether it only lacks a line in the audit log.
    pub fn is_unaudited(&self) -> bool {
        match self {
            Self::Unaudited(_) => true,
            Self::Shared(error) => error.is_unaudited(),
            _ => false,
        }
    }

    /// The failure as the clients of this server may read it: anonymous ones, too. Where its files are, is only in the log.
    pub fn for_clients(&self) -> String {
        match self {
            Self::Sqlite { source, .. } => format!("the journal failed: {}{}", without_paths(source), remedy(source)),
            Self::Folder(error) => error.for_clients(),
            Self::Shared(error) => error.for_clients(),
            Self::Audit(_) => "the audit log cannot be used; this server's log says why".to_owned(),
            Self::Importing | Self::SubFolderClosed | Self::Closed | Self::Unaudited(_) => self.to_string(),
        }
    }

    /// Adds the file of a journal to what SQLite said.
    pub(crate) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy {
        move |source| Self::Sqlite { path: path.to_owned(), source }
    }

    /// The file is no journal that this version can use. `reason` says what is wrong, and what to do.
    pub(crate) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Folder(FolderError::unusable(path, reason))
    }

    /// Adds what was tried, with which file, to what the system said.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let failed = FolderError::io(action, path);
        move |source| Self::Folder(failed(source))
    }
}

/// Runs a query on a thread that may be blocked. A query whose thread is lost has failed with [`StoreError::Closed`].
pub async fn blocking<T: Send + 'static>(
    query: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(query).await.map_err(|_| StoreError::Closed)?
}

/// What SQLite said, without its own words: they name files.
fn without_paths(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => code.to_string(),
        _ => "it is not as it was written".to_owned(),
    }
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; free some room on the disk, writes are accepted again at once",
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            "; restart a replica, which repairs it; for a primary, restore it from a backup, or move it away to start from the \
             folder's JWT files"
        }
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => "; check the folder's permissions",
        // A table or a format that is not as it was written, or a value of another type.
        None | Some(rusqlite::ErrorCode::Unknown) => {
            "; it was damaged or edited: restart a replica, which repairs it; for a primary, restore it from a backup, or move \
             it away to start from the folder's JWT files"
        }
        _ => "",
    }
}
