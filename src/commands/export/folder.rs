//! A folder of `<key>.jwt`, as account servers and nats-server's full resolver keep it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ExportFate, against};
use crate::folder::{self, Folder, FolderLock, Layout, STATE_FOLDER, private};
use crate::gate::Entry;
use crate::jwt::AccountJwt;
use crate::key::AccountKey;

/// The folder, locked.
pub(super) struct FolderTarget {
    root: PathBuf,
    /// None: nothing is to be written.
    folder: Option<Folder>,
    /// Its state folder, if it was made for this.
    made: Option<PathBuf>,
    _lock: Option<FolderLock>,
}

impl FolderTarget {
    pub(super) fn open(root: &Path, layout: Layout, mode: u32, dry_run: bool) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot export to {}: {error}", root.display());
        let state = root.join(STATE_FOLDER);
        let is_ours = state.is_dir();
        if !dry_run {
            private::token_folder(root, mode).map_err(|error| failed(&error))?;
            private::state_folder(&state).map_err(|error| failed(&error))?;
        }
        let lock = if is_ours || !dry_run { Some(FolderLock::acquire(&state)) } else { None };
        let lock = lock.transpose().map_err(|error| failed(&error))?;
        let folder =
            if dry_run { None } else { Some(Folder::open(root, layout, mode).map_err(|error| failed(&error))?) };
        let made = (!is_ours && !dry_run).then_some(state);
        Ok(Self { root: root.to_owned(), folder, made, _lock: lock })
    }

    /// The file of an account, if it is there.
    fn there(&self, key: &AccountKey) -> Option<PathBuf> {
        folder::places(&self.root, key).into_iter().find(|place| place.symlink_metadata().is_ok())
    }
}

impl super::ExportTarget for FolderTarget {
    fn put(&mut self, entry: &Entry) -> Result<ExportFate, String> {
        let (mut stamp, mut fate) = (None, ExportFate::Written);
        if let Some(path) = self.there(entry.key()) {
            match folder::read(&path) {
                Ok((look, bytes)) => {
                    if let Some(fate) = against(&bytes, entry) {
                        return Ok(fate);
                    }
                    (stamp, fate) = (Some(look.stamp), ExportFate::Replaced);
                }
                Err(unread) => return Ok(ExportFate::Refused(format!("{} {unread}", path.display()))),
            }
        }
        let Some(folder) = &self.folder else { return Ok(fate) };
        match folder.write(entry.key(), entry.token(), stamp).map_err(|error| error.to_string())? {
            Some(_) => Ok(fate),
            None => Ok(ExportFate::Refused("somebody else is writing its file".to_owned())),
        }
    }

    fn bury(&mut self, key: &AccountKey, at: i64) -> Result<ExportFate, String> {
        let Some(path) = self.there(key) else { return Ok(ExportFate::Nothing) };
        let issued = folder::read(&path).ok().and_then(|(_, bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            AccountJwt::decode(text.trim_ascii_end()).ok().map(|jwt| jwt.claims.iat)
        });
        match issued {
            Some(issued) if issued <= at => {}
            Some(issued) => {
                return Ok(ExportFate::Kept(format!("it was deleted at {at}, but there is a JWT of {issued}")));
            }
            None => {
                return Ok(ExportFate::Refused(format!(
                    "it was deleted, but {} is no JWT: move it away",
                    path.display()
                )));
            }
        }
        if let Some(folder) = &self.folder {
            folder.mark_deleted(key).map_err(|error| error.to_string())?;
        }
        Ok(ExportFate::Buried)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.folder.as_ref().map_or(Ok(()), Folder::sync).map_err(|error| error.to_string())
    }
}

impl Drop for FolderTarget {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            // Another program's folder keeps nothing of ours. A leftover after a failure does no harm.
            let _ = fs::remove_dir_all(made);
        }
    }
}
