//! The layout of a folder: flat or sharded.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::FolderError;
use crate::key::AccountKey;

/// How token files are arranged in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All in the folder itself.
    Flat,
    /// In sub-folders named after the last two characters of the key.
    Sharded,
}

/// The name of a sub-folder in which files may have their place: the last two characters of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderShard([u8; 2]);

impl FolderShard {
    /// The shard of a file with this name, without its ending.
    pub fn of(text: &str) -> Option<Self> {
        text.as_bytes().last_chunk().copied().map(Self)
    }

    /// The shard with this name, if it is the name of one.
    pub(super) fn named(name: &str) -> Option<Self> {
        name.as_bytes().try_into().ok().map(Self)
    }
}

impl Layout {
    /// The place of an account's file.
    pub fn place(self, root: &Path, key: &AccountKey) -> PathBuf {
        self.place_of(root, &key.text())
    }

    /// The place of a file with this name.
    pub(super) fn place_of(self, root: &Path, text: &str) -> PathBuf {
        let name = format!("{text}.jwt");
        match self {
            Self::Flat => root.join(name),
            Self::Sharded => root.join(&text[text.len() - 2..]).join(name),
        }
    }

    /// The other layout.
    pub const fn other(self) -> Self {
        match self {
            Self::Flat => Self::Sharded,
            Self::Sharded => Self::Flat,
        }
    }

    /// The layout of the tokens in a folder, by the first token that is found; `None`: the folder has no tokens.
    pub fn found(root: &Path) -> Result<Option<Self>, FolderError> {
        let mut shards = Vec::new();
        for entry in fs::read_dir(root).map_err(FolderError::io("read folder", root))? {
            let entry = entry.map_err(FolderError::io("read folder", root))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_token(name) {
                return Ok(Some(Self::Flat));
            }
            if name.len() == 2 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                shards.push(entry.path());
            }
        }
        let has_tokens = |shard: &PathBuf| {
            let ending = shard.file_name().map(|name| format!("{}.jwt", name.to_string_lossy()));
            fs::read_dir(shard).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    let name = entry.file_name();
                    name.to_str().is_some_and(|name| {
                        is_token(name) && ending.as_deref().is_some_and(|ending| name.ends_with(ending))
                    })
                })
            })
        };
        Ok(shards.iter().any(has_tokens).then_some(Self::Sharded))
    }
}

fn is_token(name: &str) -> bool {
    name.strip_suffix(".jwt").is_some_and(|stem| AccountKey::parse(stem).is_ok())
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flat => "flat",
            Self::Sharded => "sharded",
        })
    }
}
