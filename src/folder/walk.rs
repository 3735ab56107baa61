//! Lists a folder by its names alone.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{FolderError, FolderShard, Layout, STATE_FOLDER};
use crate::jwt::HashId;
use crate::key::{AccountKey, seed};

/// How deep sub-folders are followed.
const MAX_DEPTH: usize = 4;
/// The folder of the file system at the root of a volume. Only root may open it, and it holds no tokens.
const LOST_AND_FOUND: &str = "lost+found";

/// A file that is named like an account's JWT.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// Its path.
    pub path: PathBuf,
    /// The account in its name.
    pub key: AccountKey,
}

/// A sub-folder that cannot be read.
#[derive(Debug)]
pub struct Closed {
    /// Why, with its path.
    pub error: FolderError,
    /// Its shard, if accounts may have their files in it. Other sub-folders can only hold copies.
    pub shard: Option<FolderShard>,
}

/// Files that are ignored because of their names.
#[derive(Debug, Default)]
pub struct Others {
    /// Some of them, at most [`Self::KEPT`].
    pub first: Vec<PathBuf>,
    /// How many there are.
    pub count: usize,
}

impl Others {
    /// Files that are named in the log; there may be a million of them.
    pub const NAMED: usize = 10;
    /// Files that are opened to see whether there is a private key in them.
    pub const KEPT: usize = 100;

    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(path);
        }
    }
}

/// Everything in a folder that matters to this server.
#[derive(Debug, Default)]
pub struct Listing {
    /// Accounts whose file is in the place of the layout. Their paths follow from their keys.
    pub homes: Vec<AccountKey>,
    /// Files of accounts in other places.
    pub extras: Vec<TokenFile>,
    /// Files that are named like an activation token, with the hash in their name.
    pub activations: Vec<(PathBuf, HashId)>,
    /// Files of accounts that were deleted, as `<key>.jwt.deleted`.
    pub deleted: Vec<TokenFile>,
    /// Files that look like an account's JWT but have another name, and names with a private key in them.
    pub others: Others,
    /// The folder itself, and those in it.
    pub folders: Vec<PathBuf>,
    /// Sub-folders that cannot be read.
    pub closed: Vec<Closed>,
}

/// Lists a folder and its sub-folders. Only names are looked at; about 32 bytes for each account.
pub fn list(root: &Path, layout: Layout) -> Result<Listing, FolderError> {
    let mut listing = Listing::default();
    listing.add(root, root, layout, 0)?;
    Ok(listing)
}

/// Whether a file with this name looks like an account's or an activation's, but is neither. Such a name has `.jwt`, an
/// account's key or a private key in it. Hidden files and copies of editors do not count.
pub fn is_misnamed(name: &str) -> bool {
    if seed::is_in(name) {
        return true;
    }
    if name.starts_with(['.', '#']) || name.ends_with('~') || buried(name).is_some() {
        return false;
    }
    let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
    if ending == "jwt" {
        return AccountKey::parse(stem).is_err() && HashId::parse(stem).is_none();
    }
    name.to_ascii_lowercase().contains(".jwt") || AccountKey::parse(&stem.to_ascii_uppercase()).is_ok()
}

/// The account in the name of a file that marks a deletion.
fn buried(name: &str) -> Option<AccountKey> {
    AccountKey::parse(name.strip_suffix(".jwt.deleted")?).ok()
}

impl Listing {
    fn add(&mut self, folder: &Path, root: &Path, layout: Layout, depth: usize) -> Result<(), FolderError> {
        let entries = fs::read_dir(folder).map_err(FolderError::io("read folder", folder))?;
        // A folder may list names without the right to open them.
        access(folder, Access::EXEC_OK).map_err(|error| FolderError::io("open files in", folder)(error.into()))?;
        self.folders.push(folder.to_owned());
        for entry in entries {
            let entry = entry.map_err(FolderError::io("read folder", folder))?;
            let name = entry.file_name();
            if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jwt")) {
                self.name(stem, entry.path(), root, layout);
            } else if let Some(key) = name.to_str().and_then(buried) {
                self.deleted.push(TokenFile { path: entry.path(), key });
            } else if name.to_str().is_some_and(is_misnamed) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                self.others.add(entry.path());
            } else if depth < MAX_DEPTH
                && name != STATE_FOLDER
                && name != LOST_AND_FOUND
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Err(error) = self.add(&entry.path(), root, layout, depth + 1)
            {
                let shard = name.to_str().and_then(FolderShard::named).filter(|_| depth == 0);
                self.closed.push(Closed { error, shard });
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
        } else if is_misnamed(&format!("{stem}.jwt")) {
            self.others.add(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_an_accounts_is_told_from_others() {
        let key = AccountKey::from_raw([7; 32]).text();
        for name in [
            "foo.jwt",
            "O.jwt",
            "a.b.jwt",
            &key,
            &format!("{key}.JWT"),
            &format!("{key}.jwt.bak"),
            &format!("{key}.txt"),
            &format!("{}.jwt", key.to_lowercase()),
            &format!("{}x.jwt", &key[..55]),
            "foo.jwt.deleted",
        ] {
            assert!(is_misnamed(name), "{name}");
        }
        for name in [
            &*format!("{key}.jwt"),
            &format!("{key}.jwt.deleted"),
            &format!(".{key}.jwt.swp"),
            &format!("{key}.jwt~"),
            &format!("#{key}.jwt#"),
            "README.md",
            "notes-jwt",
            "creds",
            "",
        ] {
            assert!(!is_misnamed(name), "{name}");
        }
    }

    #[test]
    fn any_number_of_ignored_files_takes_little_memory() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..Others::KEPT + 5 {
            fs::write(dir.path().join(format!("{n}.jwt")), "").unwrap();
        }
        let others = list(dir.path(), Layout::Flat).unwrap().others;
        assert_eq!((others.first.len(), others.count), (Others::KEPT, Others::KEPT + 5));
    }
}
