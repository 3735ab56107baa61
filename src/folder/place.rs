//! Names next to a file, and moves that survive a power failure.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::FolderError;

/// The path of a file with `ending` after its whole name, in the same folder.
pub fn beside(path: &Path, ending: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Moves a finished file to its place, replaces what was there, and waits until the move is on disk.
pub fn put_in_place(made: &Path, path: &Path) -> Result<(), FolderError> {
    fs::rename(made, path).map_err(FolderError::io("create", path))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Waits until the names in a folder are on disk.
pub fn sync_folder(folder: &Path) -> Result<(), FolderError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|open| open.sync_all()).map_err(FolderError::io("sync folder", folder))
}
