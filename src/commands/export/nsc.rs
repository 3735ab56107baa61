//! An operator's folder of nsc, which names accounts as people do.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{ExportFate, against};
use crate::folder::{self, FolderError, nsc, private};
use crate::gate::{Entry, Trust};
use crate::jwt::{AccountJwt, given};
use crate::key::AccountKey;

/// The longest name of a folder, in bytes, with the ending of the file in it.
const LONGEST: usize = 240;

/// The folder, and which accounts it has where.
pub(super) struct NscTarget {
    root: PathBuf,
    /// The file of each account, by its key.
    places: HashMap<String, PathBuf>,
    /// The account of each file, likewise, and of those that were written.
    taken: HashMap<PathBuf, String>,
    /// The mode of files.
    mode: u32,
    dry_run: bool,
}

impl NscTarget {
    /// Opens it, or makes one for this operator.
    pub(super) fn open(root: &Path, operator: Option<Arc<Trust>>, mode: u32, dry_run: bool) -> Result<Self, String> {
        let failed = |error: FolderError| format!("cannot export to {}: {error}", root.display());
        if root.join(".nsc").exists() {
            nsc::check(root).map_err(failed)?;
        } else {
            if let Some(error) = nsc::wrong_level(root) {
                return Err(failed(error));
            }
            let operator = operator.ok_or_else(|| {
                format!("{} is no folder of nsc; to make one, say whose it is, with -operator", root.display())
            })?;
            if !dry_run {
                make(root, &operator, mode).map_err(failed)?;
            }
        }
        let mut places = HashMap::new();
        if root.is_dir() {
            for path in nsc::list(root).map_err(failed)?.1 {
                if let Ok((_, bytes)) = folder::read(&path)
                    && let Ok(jwt) = AccountJwt::decode(&given(&bytes).unwrap_or_default())
                {
                    places.insert(jwt.claims.sub, path);
                }
            }
        }
        let taken = places.iter().map(|(key, path)| (path.clone(), key.clone())).collect();
        Ok(Self { root: root.to_owned(), places, taken, mode, dry_run })
    }
}

fn make(root: &Path, operator: &Trust, mode: u32) -> Result<(), FolderError> {
    private::token_folder(root, mode)?;
    private::token_folder(&root.join("accounts"), mode)?;
    let info = json!({ "managed": false, "name": operator.name(), "kind": "operator" });
    if let Some(name) = file_name(operator.name()) {
        write(&root.join(format!("{name}.jwt")), operator.token(), mode)?;
    }
    // Last, because it says that the rest is there.
    write(&root.join(".nsc"), format!("{info:#}").as_bytes(), mode)
}

impl super::ExportTarget for NscTarget {
    fn put(&mut self, entry: &Entry) -> Result<ExportFate, String> {
        let key = entry.key().text();
        let place = match self.places.get(&key) {
            Some(place) => place.clone(),
            None => {
                let jwt = AccountJwt::decode(entry.text()).map_err(|error| error.to_string())?;
                let Some(name) = file_name(&jwt.claims.name) else {
                    return Ok(ExportFate::Refused(format!(
                        "its name, {:?}, cannot be that of a folder",
                        jwt.claims.name
                    )));
                };
                self.root.join("accounts").join(name).join(format!("{name}.jwt"))
            }
        };
        let mut fate = ExportFate::Written;
        if let Some(other) = self.taken.get(&place).filter(|other| **other != key) {
            return Ok(ExportFate::Refused(format!("another account, {other}, has the name of {}", place.display())));
        }
        if place.symlink_metadata().is_ok() {
            let (_, bytes) = match folder::read(&place) {
                Ok(read) => read,
                Err(unread) => return Ok(ExportFate::Refused(format!("{} {unread}", place.display()))),
            };
            match against(&bytes, entry) {
                Some(ExportFate::Refused(why)) => {
                    return Ok(ExportFate::Refused(format!("{}: {why}", place.display())));
                }
                Some(fate) => return Ok(fate),
                None => fate = ExportFate::Replaced,
            }
        }
        if !self.dry_run {
            let parent = place.parent().unwrap_or(&self.root);
            private::token_folder(parent, self.mode).map_err(|error| error.to_string())?;
            write(&place, entry.token(), self.mode).map_err(|error| error.to_string())?;
        }
        self.taken.insert(place, key);
        Ok(fate)
    }

    /// To nsc an account is deleted by deleting it there, with its users and keys.
    fn bury(&mut self, key: &AccountKey, at: i64) -> Result<ExportFate, String> {
        Ok(match self.places.get(&key.text()) {
            Some(place) => {
                ExportFate::Kept(format!("it was deleted at {at}; {} is left to nsc delete account", place.display()))
            }
            None => ExportFate::Nothing,
        })
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.dry_run {
            return Ok(());
        }
        let folder = File::open(&self.root).map_err(|error| error.to_string())?;
        rustix::fs::syncfs(&folder).map_err(|error| format!("cannot sync {}: {error}", self.root.display()))
    }
}

/// A name that people gave, if it is the name of one file, too.
fn file_name(name: &str) -> Option<&str> {
    let is_one = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    (is_one && name.len() <= LONGEST).then_some(name)
}

/// Writes a file so that a reader finds the old or the new one.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), FolderError> {
    let made = folder::beside(path, ".part");
    private::write(&made, content)
        .and_then(|()| fs::set_permissions(&made, Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&made, path))
        .map_err(FolderError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (name, fits) in [("A", true), ("an account", true), ("Ä.1", true), ("", false), (".", false), ("..", false)]
        {
            assert_eq!(file_name(name).is_some(), fits, "{name:?}");
        }
        for name in ["../x", "a/b", "/etc", ".nsc", "a\0", "a\\b", &"x".repeat(300)] {
            assert_eq!(file_name(name), None, "{name:?}");
        }
    }
}
