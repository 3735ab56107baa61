//! Notices when a file of the open journal is removed or replaced.
//!
//! Writes to a file without a name are lost with the process. SQLite keeps the latest commits in a log next to the
//! database, and an index of that log in a third file, so all three are watched. The writer checks before it commits and
//! before it answers. A thread checks periodically, so that a server without writes notices as well.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::error::StoreError;
use crate::folder::beside;

/// The identity of a file: which disk, which inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FilePlace {
    device: u64,
    inode: u64,
}

impl FilePlace {
    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }
}

/// The files of an open journal.
#[derive(Debug)]
pub(super) struct Files {
    /// The database first; none of a journal in memory.
    opened: Vec<(PathBuf, FilePlace)>,
    lost: AtomicBool,
}

/// A file that was removed or replaced.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    file: &'a Path,
    /// Whether it is the database itself.
    is_database: bool,
    /// Whether it was there at the last check.
    pub(super) is_news: bool,
}

impl Files {
    /// Those of a journal in memory.
    pub(super) const fn none() -> Self {
        Self { opened: Vec::new(), lost: AtomicBool::new(false) }
    }

    /// Those that are at `path` now. A connection must have read from the journal: then SQLite has made them all.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let mut opened = Vec::new();
        for ending in ["", "-wal", "-shm"] {
            let file = beside(path, ending);
            let meta = std::fs::metadata(&file).map_err(StoreError::io("look at", &file))?;
            opened.push((file, FilePlace::of(&meta)));
        }
        Ok(Self { opened, lost: AtomicBool::new(false) })
    }

    /// Whether the journal is on disk at all.
    pub(super) const fn is_on_disk(&self) -> bool {
        !self.opened.is_empty()
    }

    /// Whether one of them was removed or replaced, as of the last check.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Checks that they are still there, and logs a change.
    pub(super) fn check(&self) -> Result<(), Lost<'_>> {
        let is_there = |(file, place): &&(PathBuf, FilePlace)| {
            std::fs::metadata(file).is_ok_and(|meta| FilePlace::of(&meta) == *place)
        };
        let gone = self.opened.iter().enumerate().find(|(_, opened)| !is_there(opened));
        let was_lost = self.lost.swap(gone.is_some(), Ordering::Relaxed);
        let Some((number, (file, _))) = gone else {
            if was_lost {
                tracing::warn!("the journal {} is back in its place", self.opened[0].0.display());
            }
            return Ok(());
        };
        if !was_lost {
            tracing::error!(
                "{} was removed or replaced: what is stored is served, nothing can be pushed",
                file.display()
            );
        }
        Err(Lost { file, is_database: number == 0, is_news: !was_lost })
    }
}

impl Lost<'_> {
    /// Whether the database is there, and only the log with the latest commits lost its name.
    pub(super) const fn can_be_saved(&self) -> bool {
        !self.is_database
    }
}

impl From<Lost<'_>> for StoreError {
    fn from(lost: Lost<'_>) -> Self {
        let remedy = if lost.is_database { "put the folder back (or mount it), and restart" } else { "restart" };
        Self::unusable(
            lost.file,
            format!(
                "a file of the journal was removed or replaced while this server was running; {remedy} this server"
            ),
        )
    }
}
