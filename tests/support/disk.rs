//! A disk that fills up.

use std::path::Path;
use std::process::Command;

/// A file system of its own, with little room.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `Err` says why there is none.
    pub(crate) fn new(size: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// One that a test needs to run at all; `None` was said on the console.
    pub(crate) fn or_skip(size: &str) -> Option<Self> {
        Self::new(size)
            .inspect_err(|reason| println!("skipped: a small file system cannot be mounted here: {reason}"))
            .ok()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
