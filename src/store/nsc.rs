//! The operator folder of nsc: `accounts/<name>/<name>.jwt`, named by people, not by keys.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{Access, access};

use super::StoreError;

/// Whether `root` is an operator's folder of nsc; the error says what is missing.
pub fn check(root: &Path) -> Result<(), StoreError> {
    let marker = root.join(".nsc");
    let text = fs::read(&marker).map_err(StoreError::io("read", &marker))?;
    let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
    if is_object {
        return Ok(());
    }
    Err(StoreError::Unusable {
        path: marker,
        reason:
            "it is not nsc's description of a store; give the operator's folder of nsc, which holds .nsc and accounts"
                .into(),
    })
}

/// Operators' folders of nsc that `path` is in, or that are in it: what may be meant where it is none itself.
pub fn near(path: &Path) -> Vec<PathBuf> {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // It has folders for accounts, and in them one for each.
    if let Some(above) = full.ancestors().skip(1).take(2).find(|folder| check(folder).is_ok()) {
        return vec![above.to_owned()];
    }
    let entries = fs::read_dir(&full).into_iter().flatten().flatten();
    let mut within: Vec<_> = entries.map(|entry| entry.path()).filter(|folder| check(folder).is_ok()).collect();
    within.sort();
    within
}

/// The folders to watch, and the account files that are there.
pub fn list(root: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StoreError> {
    let accounts = root.join("accounts");
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    let entries = match fs::read_dir(&accounts) {
        Ok(entries) => entries,
        // An operator without an account has none of this yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() => return Ok((folders, files)),
        Err(error) => return Err(StoreError::io("read folder", &accounts)(error)),
    };
    // Names can be read without the right to open what has them: then nothing is known of what is in there.
    access(&accounts, Access::EXEC_OK).map_err(|error| StoreError::io("open folders in", &accounts)(error.into()))?;
    folders.push(accounts.clone());
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read folder", &accounts))?;
        let folder = entry.path();
        if !folder.is_dir() {
            continue;
        }
        let mut name = entry.file_name();
        name.push(".jwt");
        let file = folder.join(name);
        // One that cannot be looked at is there, for all that is known.
        let is_absent = file.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if !is_absent {
            files.push(file);
        }
        folders.push(folder);
    }
    Ok((folders, files))
}
