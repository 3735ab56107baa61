//! Looking through a folder. Only names are looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{STATE_FOLDER, StoreError};
use super::Layout;
use crate::jwt::HashId;
use crate::key::AccountKey;

/// How deep sub-folders are followed.
const MAX_DEPTH: usize = 4;

/// A file that is named like an account's JWT.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// The account in its name.
    pub key: AccountKey,
}

/// Everything in a folder that concerns us.
#[derive(Debug, Default)]
pub struct Listing {
    /// Accounts whose file lies where the layout has it: their paths follow from their keys.
    pub homes: Vec<AccountKey>,
    /// Files of accounts that lie elsewhere.
    pub extras: Vec<TokenFile>,
    /// Files that are named like an activation token, with the hash in their name.
    pub activations: Vec<(PathBuf, HashId)>,
    /// Files of accounts that were deleted, as `<key>.jwt.deleted`.
    pub deleted: Vec<TokenFile>,
    /// Other names that end in `.jwt`, such as an operator's JWT.
    pub others: Vec<PathBuf>,
    /// The folder itself, and those in it.
    pub folders: Vec<PathBuf>,
    /// Sub-folders that could not be read.
    pub unreadable: Vec<StoreError>,
}

/// Lists a folder and its sub-folders. Only names are looked at; about 32 bytes for each account.
pub fn list(root: &Path, layout: Layout) -> Result<Listing, StoreError> {
    let mut listing = Listing::default();
    listing.add(root, root, layout, 0)?;
    Ok(listing)
}

/// The account in the name of a file that was put away when the account was deleted.
fn buried(name: &str) -> Option<AccountKey> {
    AccountKey::parse(name.strip_suffix(".jwt.deleted")?).ok()
}

impl Listing {
    fn add(&mut self, folder: &Path, root: &Path, layout: Layout, depth: usize) -> Result<(), StoreError> {
        let entries = fs::read_dir(folder).map_err(StoreError::io("read folder", folder))?;
        self.folders.push(folder.to_owned());
        for entry in entries {
            let entry = entry.map_err(StoreError::io("read folder", folder))?;
            let name = entry.file_name();
            if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jwt")) {
                self.name(stem, entry.path(), root, layout);
            } else if let Some(key) = name.to_str().and_then(buried) {
                self.deleted.push(TokenFile { path: entry.path(), key });
            } else if depth < MAX_DEPTH
                && name != STATE_FOLDER
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Err(error) = self.add(&entry.path(), root, layout, depth + 1)
            {
                self.unreadable.push(error);
            }
        }
        Ok(())
    }

    fn name(&mut self, stem: &str, path: PathBuf, root: &Path, layout: Layout) {
        if let Ok(key) = AccountKey::parse(stem) {
            if path == layout.place(root, &key) {
                self.homes.push(key);
            } else {
                self.extras.push(TokenFile { path, key });
            }
        } else if let Some(hash) = HashId::parse(stem) {
            self.activations.push((path, hash));
        } else {
            self.others.push(path);
        }
    }
}
