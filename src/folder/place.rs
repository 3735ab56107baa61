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

/// Moves a database with its logs to another name in the same folder, and replaces nothing there. Returns the name, unless
/// there was nothing to move. `ending`: what the new name has after the old one; a number follows if that is taken.
///
/// The log goes last: SQLite must never read the log of one database into another, so a start in between moves the log away.
pub fn move_aside(path: &Path, ending: &str) -> Result<Option<PathBuf>, FolderError> {
    const PARTS: [&str; 3] = ["", "-wal", "-shm"];
    let is_free = |aside: &PathBuf| PARTS.iter().all(|part| beside(aside, part).symlink_metadata().is_err());
    let mut aside = beside(path, ending);
    let mut number = 1;
    while !is_free(&aside) {
        number += 1;
        aside = beside(path, format!("{ending}-{number}"));
    }
    let mut has_moved = false;
    for part in PARTS {
        let (old, new) = (beside(path, part), beside(&aside, part));
        if old.exists() {
            fs::rename(&old, &new).map_err(FolderError::io("move away", &old))?;
            has_moved = true;
        }
    }
    Ok(has_moved.then_some(aside))
}

/// Waits until the names in a folder are on disk.
pub fn sync_folder(folder: &Path) -> Result<(), FolderError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|open| open.sync_all()).map_err(FolderError::io("sync folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_aside_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("database");
        assert_eq!(move_aside(&database, ".old-7").expect("nothing to do"), None);
        for (number, ending) in ["", "-2", "-3"].into_iter().enumerate() {
            fs::write(beside(&database, "-wal"), format!("log {number}")).expect("written");
            // Of the first there is only a log.
            if number > 0 {
                fs::write(&database, format!("database {number}")).expect("written");
            }
            let aside = beside(&database, format!(".old-7{ending}"));
            assert_eq!(move_aside(&database, ".old-7").expect("moved"), Some(aside));
        }
        for (number, ending) in ["", "-2", "-3"].into_iter().enumerate() {
            let aside = beside(&database, format!(".old-7{ending}"));
            assert_eq!(fs::read_to_string(beside(&aside, "-wal")).expect("there"), format!("log {number}"));
            assert_eq!(aside.exists(), number > 0);
        }
    }
}
