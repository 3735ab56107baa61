//! Where a primary's tokens come from, and whose they are.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::Store;
use crate::folder::{self, Folder, Layout, STATE_FOLDER, nsc};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::StoreError;

/// Where tokens are stored next to the journal.
#[derive(Debug, Clone)]
pub enum Source {
    /// Nowhere.
    Memory,
    /// In a folder of ours: what is pushed is written there, and what others write there is imported.
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The layout for new files in an empty folder.
        layout: Layout,
        /// The mode of the files that are written.
        mode: u32,
    },
    /// In a folder that somebody else maintains: it is only read, and an account whose file leaves it is removed.
    ReadOnly(PathBuf),
    /// In an operator's folder of nsc, likewise only read.
    Nsc(PathBuf),
}

impl Source {
    /// Where the settings say that tokens are.
    pub(super) fn of(store: &Store) -> Self {
        match (&store.nsc, &store.dir) {
            (Some(dir), _) => Self::Nsc(dir.clone()),
            (None, Some(dir)) if store.readonly => Self::ReadOnly(dir.clone()),
            (None, Some(dir)) => {
                let layout = if store.shard { Layout::Sharded } else { Layout::Flat };
                Self::Folder { dir: dir.clone(), layout, mode: store.file_mode.bits() }
            }
            (None, None) => Self::Memory,
        }
    }

    /// The state folder, unless one is set: only a folder of ours has room for it.
    pub(super) fn state_dir(&self) -> Option<PathBuf> {
        match self {
            Self::Folder { dir, .. } => Some(dir.join(STATE_FOLDER)),
            Self::Memory | Self::ReadOnly(_) | Self::Nsc(_) => None,
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Tokens, StoreError> {
        match self {
            Self::Memory => Ok(Tokens::None),
            Self::Folder { dir, layout, mode } => Ok(Tokens::Own(Folder::open(dir, *layout, *mode)?)),
            Self::ReadOnly(dir) => {
                std::fs::read_dir(dir).map_err(StoreError::io("read folder", dir))?;
                Ok(Tokens::Foreign(dir.clone()))
            }
            Self::Nsc(dir) => {
                nsc::check(dir)?;
                Ok(Tokens::Nsc(dir.clone()))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("an in-memory store"),
            Self::Folder { dir, .. } => write!(f, "a store at {}", dir.display()),
            Self::ReadOnly(dir) => write!(f, "a read-only store at {}", dir.display()),
            Self::Nsc(dir) => write!(f, "a read-only store for the NSC folder at {}", dir.display()),
        }
    }
}

/// The tokens next to the journal, opened.
#[derive(Debug)]
pub(super) enum Tokens {
    None,
    Own(Folder),
    Foreign(PathBuf),
    Nsc(PathBuf),
}

impl Tokens {
    /// Whether everything else is to be kept from changing what the folder's owner decides.
    pub(super) const fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign(_) | Self::Nsc(_))
    }

    /// The folder, if there is one.
    pub(super) fn root(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Own(folder) => Some(folder.root()),
            Self::Foreign(root) | Self::Nsc(root) => Some(root),
        }
    }

    /// Where the file of an account may be.
    pub(super) fn places(&self, key: &AccountKey) -> Vec<PathBuf> {
        self.named_root().map(|root| folder::places(root, key).to_vec()).unwrap_or_default()
    }

    /// Where the file of an activation may be.
    pub(super) fn activation_places(&self, id: &HashId) -> Vec<PathBuf> {
        self.named_root().map(|root| folder::activation_places(root, id).to_vec()).unwrap_or_default()
    }

    /// The folder, if its files are named after what is in them. Those of an nsc folder are not.
    fn named_root(&self) -> Option<&Path> {
        self.root().filter(|_| !matches!(self, Self::Nsc(_)))
    }
}
