//! The demo's folder: what lies where, and whose it is.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::DemoError;

/// Marks a folder as a demo's: only such a folder is ever emptied. Locked while the demo runs.
const MARK: &str = "THROWAWAY-DEMO-FOLDER.txt";
const MARK_TEXT: &str = "\
This folder was made by `nats-account-server demo`.

The keys in it are throwaway keys: they were made for one demo, they are unprotected, and the next demo replaces
them with others. Use none of them for anything real. The whole folder can be deleted when no demo runs in it.
";

/// A folder that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder, or empties it if an earlier demo made it.
    pub(super) fn prepare(dir: &Path) -> Result<Self, DemoError> {
        let failed = |what: &str, path: &Path| {
            let (what, path) = (what.to_owned(), path.to_owned());
            move |error: std::io::Error| DemoError::file(&what, &path, &error)
        };
        let root = std::path::absolute(dir).map_err(failed("use", dir))?;
        let mark = root.join(MARK);
        if !mark.is_file() && has_content(&root).map_err(failed("read", &root))? {
            return Err(DemoError::new(format!(
                "{} exists, but no demo made it, so the demo does not use it. Name another folder with --dir",
                root.display()
            )));
        }
        make_dir(&root).map_err(failed("make", &root))?;
        let lock = File::options().create(true).append(true).open(&mark).map_err(failed("write", &mark))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DemoError::new(format!(
                    "another demo runs in {}. Name another folder with --dir",
                    root.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(DemoError::file("lock", &mark, &error)),
        }
        lock.set_len(0).and_then(|()| (&lock).write_all(MARK_TEXT.as_bytes())).map_err(failed("write", &mark))?;
        for entry in fs::read_dir(&root).map_err(failed("read", &root))? {
            let entry = entry.map_err(failed("read", &root))?;
            let path = entry.path();
            if path == mark {
                continue;
            }
            // What a link leads to is not ours.
            let is_dir = entry.file_type().map_err(failed("read", &path))?.is_dir();
            if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(failed("remove", &path))?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// The whole path of something in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that only its owner can read, and the folders above it.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf, DemoError> {
        let path = self.path(name);
        let written = path.parent().map_or(Ok(()), make_dir).and_then(|()| {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(content.as_bytes())
        });
        match written {
            Ok(()) => Ok(path),
            Err(error) => Err(DemoError::file("write", &path, &error)),
        }
    }
}

fn make_dir(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn has_content(path: &Path) -> std::io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let temp = tempfile::tempdir().expect("a folder");
        fs::write(temp.path().join("precious"), "x").expect("a file");
        let error = Folder::prepare(temp.path()).expect_err("not ours");
        assert!(error.to_string().contains("no demo made it"), "{error}");
        assert!(temp.path().join("precious").exists());
    }

    #[test]
    fn a_demo_folder_is_emptied_and_used_again_but_not_while_a_demo_runs() {
        let temp = tempfile::tempdir().expect("a folder");
        let place = temp.path().join("a/demo");
        let first = Folder::prepare(&place).expect("a new folder");
        first.write("x/y", "old").expect("a file");
        let error = Folder::prepare(&place).expect_err("it is in use");
        assert!(error.to_string().starts_with("another demo runs in "), "{error}");
        drop(first);
        let second = Folder::prepare(&place).expect("the folder again");
        assert!(!second.path("x").exists());
        assert!(second.path(MARK).exists());
    }
}
