//! One process per folder.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{FolderError, private};

/// Attempts to take a lock after the first one, …
const LOOKS: u32 = 5;
/// … after this pause.
const LOOK: Duration = Duration::from_millis(20);

/// An exclusive lock on a state folder, held while this value lives.
///
/// The operating system releases it when the process ends, however it ends. A user that can open the file can hold the lock, so
/// only its owner can.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Whether a process holds the lock of `folder`. True as well if that is unknown.
    pub fn is_held(folder: &Path) -> bool {
        folder.join("lock").exists() && Self::acquire(folder).is_err()
    }

    /// Locks `folder`, which must exist. If another process holds it, the error says which.
    pub fn acquire(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join("lock");
        let io = |action| FolderError::io(action, &path);
        let mut file = private::open_or_create(&path).map_err(io("open lock file"))?;
        let meta = file.metadata().map_err(io("look at lock file"))?;
        if !meta.is_file() {
            return Err(FolderError::unusable(&path, "it is no plain file, so it cannot be the lock"));
        }
        let above = std::fs::metadata(folder).map_err(FolderError::io("look at", folder))?;
        private::trusted(&path, &meta, &above)?;
        let was_open = private::close_to_others(&file, &meta).map_err(io("set the mode of"))?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The text only helps people: the lock holds without it.
                let _ = file.read_to_string(&mut holder);
                let mut holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    holder => holder.to_owned(),
                };
                if let Some(mode) = was_open {
                    holder.push_str(&format!(
                        ", or by any user's process: its lock file was open to others until now (mode {mode:04o}), and \
                         `fuser -v {}` names the process",
                        path.display()
                    ));
                }
                return Err(FolderError::Locked { path: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        let holder = format!("process {} of nats-account-server\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(io("write lock file"))?;
        Ok(Self { _file: file })
    }
}

/// Locks the file, with some attempts: a process that only checks the lock holds it for a moment.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            decided => return decided,
        }
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_second_holder_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = FolderLock::acquire(folder.path()).expect("free");
        let error = FolderLock::acquire(folder.path()).expect_err("held").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        FolderLock::acquire(folder.path()).expect("free again");
    }

    #[test]
    fn only_its_owner_can_open_the_lock_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let mode = || std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777;
        drop(FolderLock::acquire(folder.path()).expect("free"));
        assert_eq!(mode(), 0o600);
        // Another user opened it while that was possible.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opened");
        let other = File::open(&path).expect("open to all");
        other.lock().expect("held");
        let error = FolderLock::acquire(folder.path()).expect_err("held").to_string();
        assert!(error.contains("open to others until now (mode 0644)"), "{error}");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn what_is_no_file_is_no_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, elsewhere) = (folder.path().join("lock"), folder.path().join("elsewhere"));
        symlink(&elsewhere, &path).expect("linked");
        FolderLock::acquire(folder.path()).expect_err("a link");
        assert!(!elsewhere.exists(), "it was not followed");
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        FolderLock::acquire(folder.path()).expect_err("a folder");
    }
}
