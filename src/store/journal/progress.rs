//! The progress of a journal, for a process that does not own it.

use std::path::Path;

use rusqlite::OptionalExtension as _;

use super::super::error::StoreError;
use super::open::open_reader;

/// The name of the cursor up to which the token folder has followed the journal, on disk.
pub const MIRROR: &str = "mirror";

/// The progress of a journal and of its token folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalProgress {
    /// The serial of the last change.
    pub serial: u64,
    /// The serial up to which the token folder has followed, on disk.
    pub mirrored: u64,
}

impl JournalProgress {
    /// Reads it from a journal that another process may be writing.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let sqlite = StoreError::sqlite(path);
        let connection = open_reader(path)?;
        let serial = connection.query_row("SELECT serial FROM meta", [], |row| row.get(0)).map_err(sqlite)?;
        let mirrored = connection
            .query_row("SELECT serial FROM cursor WHERE name = ?1", [MIRROR], |row| row.get(0))
            .optional()
            .map_err(sqlite)?;
        Ok(Self { serial, mirrored: mirrored.unwrap_or(0) })
    }
}
