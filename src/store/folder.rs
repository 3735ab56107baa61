//! A folder of JWT files, as the Go servers and nats-server's full resolver keep it.
//!
//! `<dir>/<account key>.jwt`, flat, or in sub-folders named after the last two characters of the key. Files of other
//! names may lie beside them and are none of ours.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{STATE_FOLDER, StoreError};
use crate::key::AccountKey;

/// Largest file that is read, in bytes: the largest token and some white space behind it.
const MAX_FILE: u64 = (1 << 20) + 4096;
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

/// What a look through a folder found.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files that are named like an account's JWT, in the order of the file system.
    pub tokens: Vec<TokenFile>,
    /// Names that end in `.jwt`, but do not begin with an account key (an operator's JWT, activations).
    pub others: Vec<PathBuf>,
    /// Sub-folders that could not be read, and why.
    pub unreadable: Vec<StoreError>,
}

/// Looks for JWT files in a folder and its sub-folders. Only names are looked at.
pub fn list(folder: &Path) -> Result<Listing, StoreError> {
    let mut listing = Listing::default();
    walk(folder, 0, &mut listing)?;
    Ok(listing)
}

/// Where an account's file may lie: flat, or in the sub-folder of its last two characters.
pub fn places(folder: &Path, key: &AccountKey) -> [PathBuf; 2] {
    let text = key.text();
    let name = format!("{text}.jwt");
    [folder.join(&name), folder.join(&text[text.len() - 2..]).join(&name)]
}

fn walk(folder: &Path, depth: usize, listing: &mut Listing) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("read folder", folder))?;
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read folder", folder))?;
        let path = entry.path();
        let name = entry.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jwt")) {
            match AccountKey::parse(stem) {
                Ok(key) => listing.tokens.push(TokenFile { path, key }),
                Err(_) => listing.others.push(path),
            }
        } else if depth < MAX_DEPTH
            && name != STATE_FOLDER
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Err(error) = walk(&path, depth + 1, listing)
        {
            listing.unreadable.push(error);
        }
    }
    Ok(())
}

/// Why a token file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Not a plain file: a folder, a pipe, a socket.
    #[error("is not a regular file")]
    NotAFile,
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// More than any token.
    #[error("is {0} bytes long, which is more than any JWT")]
    TooLarge(u64),
    /// The system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one token file. Never blocks on a pipe, never reads more than a token can be.
pub fn read(path: &Path) -> Result<Vec<u8>, Unread> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(Unread::NotAFile);
    }
    if meta.len() > MAX_FILE {
        return Err(Unread::TooLarge(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(Unread::Empty);
    }
    Ok(bytes)
}
