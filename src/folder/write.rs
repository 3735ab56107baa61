//! Writes token files so that a reader finds the old or the new one, never half of it.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};

use super::read::{Look, look};
use super::{Folder, FolderError, Stamp, beside, private};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// The ending, after the whole name, of a file whose account is deleted.
const DELETED: &str = ".deleted";

impl Folder {
    /// Puts an account's JWT in its place, if the file that was `there`, or nothing, still is. `None`: it is not. Not
    /// synced: see [`Folder::sync`].
    pub fn write(&self, key: &AccountKey, token: &[u8], there: Option<Stamp>) -> Result<Option<Stamp>, FolderError> {
        let home = self.home(key);
        self.write_to(&home, token, || look(&home).ok().map(|look| look.stamp) == there)
    }

    /// Writes an activation where earlier account servers kept it.
    pub fn write_activation(&self, id: &HashId, token: &[u8]) -> Result<(), FolderError> {
        self.write_to(&self.activation(id), token, || true).map(|_| ())
    }

    /// The place where earlier account servers kept an activation.
    pub fn activation(&self, id: &HashId) -> PathBuf {
        self.layout.place_of(&self.root, &id.text())
    }

    /// `is_wanted` is asked at the last moment.
    fn write_to(
        &self,
        home: &Path,
        token: &[u8],
        is_wanted: impl FnOnce() -> bool,
    ) -> Result<Option<Stamp>, FolderError> {
        let made = self.making.join(self.number.fetch_add(1, Ordering::Relaxed).to_string());
        let result = self.make(&made, token).and_then(|(file, look)| {
            if !is_wanted() {
                return Ok(None);
            }
            match fs::rename(&made, home) {
                // The sub-folder of these two characters is missing.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_here() => {
                    let parent = home.parent().unwrap_or(&self.root);
                    private::token_folder(parent, self.mode)?;
                    fs::rename(&made, home)
                }
                result => result,
            }
            .map_err(FolderError::io("write", home))?;
            // A move is a change, too. If someone has written to it since, the stamp matches no file, so the file is read.
            let moved = file.metadata().map(|meta| Look::of(&meta)).map_err(FolderError::io("look at", home))?;
            Ok(Some(if moved.is_unwritten_since(&look) { moved.stamp } else { look.stamp }))
        });
        if !matches!(result, Ok(Some(_))) {
            // A file that could not be moved is of no use.
            let _ = fs::remove_file(&made);
        }
        result
    }

    /// Whether the folder is there. A removed folder is not made again: its disk may not be mounted.
    fn is_here(&self) -> bool {
        self.making.is_dir()
    }

    fn make(&self, path: &Path, token: &[u8]) -> Result<(File, Look), FolderError> {
        let make = || {
            let mut file = private::create(path)?;
            file.write_all(token)?;
            file.set_permissions(Permissions::from_mode(self.mode))?;
            let look = Look::of(&file.metadata()?);
            Ok((file, look))
        };
        make().map_err(FolderError::io("write", path))
    }

    /// Marks an account's file as deleted, as nats-server's full resolver does.
    pub fn mark_deleted(&self, key: &AccountKey) -> Result<(), FolderError> {
        let home = self.home(key);
        match fs::rename(&home, beside(&home, DELETED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FolderError::io("rename", &home)(error)),
            _ => Ok(()),
        }
    }

    /// Removes what [`Folder::mark_deleted`] left, because the account is there again.
    pub fn unmark_deleted(&self, key: &AccountKey) -> Result<(), FolderError> {
        for place in super::places(&self.root, key) {
            let marked = beside(&place, DELETED);
            match fs::remove_file(&marked) {
                Err(error) if !is_absent(&error) => return Err(FolderError::io("remove", &marked)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves what is at `path`, whatever it is, to the folder for rejected content, and writes the reason next to it. Returns its
    /// new path.
    pub fn put_aside(&self, path: &Path, key: &AccountKey, reason: &str) -> Result<PathBuf, FolderError> {
        private::folder(&self.refused)?;
        // The same content again is kept once.
        let content = match super::read(path) {
            Ok((_, bytes)) => data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)[..6]),
            Err(_) => format!("{}-{}", crate::clock::unix_millis(), self.number.fetch_add(1, Ordering::Relaxed)),
        };
        // The name must not end in .jwt: a full resolver reads such files in all sub-folders as accounts.
        let aside = self.refused.join(format!("{key}-{content}.jwt.refused"));
        let note = self.refused.join(format!("{key}-{content}.reason.txt"));
        let text = format!("{} {reason}\n", path.display());
        private::write(&note, text.as_bytes()).map_err(FolderError::io("write", &note))?;
        // Never a copy: that would wait for a pipe, follow a link, and double a large file.
        fs::rename(path, &aside).map_err(FolderError::io("move away", path))?;
        Ok(aside)
    }

    /// Waits until all writes are on disk.
    pub fn sync(&self) -> Result<(), FolderError> {
        let folder = File::open(&self.making).map_err(FolderError::io("open", &self.making))?;
        rustix::fs::syncfs(&folder).map_err(|error| FolderError::io("sync", &self.root)(error.into()))
    }
}

/// Whether the path, or even its folder, is missing.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Removes unfinished files of an earlier process.
pub(super) fn clear(making: &Path) {
    let Ok(entries) = fs::read_dir(making) else { return };
    for entry in entries.flatten() {
        // A leftover does no harm: a process never uses a name twice.
        let _ = fs::remove_file(entry.path());
    }
}
