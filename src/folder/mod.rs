//! Folders of JWT files: as the Go servers and nats-server's full resolver keep them, and nsc's ([`nsc`]); how they are
//! watched ([`watch`]), and the lock that keeps a second process out.
//!
//! `<dir>/<account key>.jwt`, flat, or in sub-folders named after the last two characters of the key. A deleted
//! account's file is `<account key>.jwt.deleted`. Files of other names may be there, too. They are not ours: only the
//! state folder is.

mod error;
mod layout;
mod lock;
pub mod nsc;
mod place;
pub mod private;
mod private_key;
mod read;
mod walk;
pub mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

pub use error::FolderError;
pub use layout::{FolderShard, Layout};
pub use lock::FolderLock;
pub use place::{beside, move_aside, put_in_place, sync_folder};
pub use private_key::private_key;
pub use read::{Look, Stamp, Unread, changed, is_still, look, read};
pub use walk::{Closed, Listing, Others, TokenFile, is_misnamed, list};

use crate::jwt::HashId;
use crate::key::AccountKey;

/// The state folder inside a token folder. No reader of `*.jwt` files looks into it.
pub const STATE_FOLDER: &str = ".nats-account-server";

/// A folder that is read and written.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    layout: Layout,
    /// The folder in which files are made before they move to their place, on the same file system.
    making: PathBuf,
    /// The folder for rejected content, on the same file system, because not everything can be copied.
    refused: PathBuf,
    /// The mode of token files.
    mode: u32,
    number: AtomicU64,
}

impl Folder {
    /// Opens a folder. `wanted` is the layout for one that holds no tokens yet, `mode` that of the files that are written.
    pub fn open(root: &Path, wanted: Layout, mode: u32) -> Result<Self, FolderError> {
        let state = root.join(STATE_FOLDER);
        let making = state.join("making");
        private::folder(&state)?;
        private::folder(&making)?;
        write::clear(&making);
        let layout = match Layout::found(root)? {
            Some(found) if found != wanted => {
                tracing::warn!(
                    "the folder {} is {found}, but store.shard says {wanted}: it is used as it is; to change it, stop \
                     this server, move the files, and start again",
                    root.display()
                );
                found
            }
            found => found.unwrap_or(wanted),
        };
        let refused = state.join("refused");
        Ok(Self { root: root.to_owned(), layout, making, refused, mode, number: AtomicU64::new(0) })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How the files are arranged.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The file of an account: the present one, or the one that would be written.
    ///
    /// A file in the place of the other layout is used there, unless the right place has one as well.
    pub fn home(&self, key: &AccountKey) -> PathBuf {
        let preferred = self.layout.place(&self.root, key);
        if preferred.symlink_metadata().is_err() {
            let other = self.layout.other().place(&self.root, key);
            if other.symlink_metadata().is_ok() {
                return other;
            }
        }
        preferred
    }

    /// Whether an account's file may be at `path`. Anything else is a copy of someone else, and is never touched.
    pub fn is_home(&self, path: &Path, key: &AccountKey) -> bool {
        places(&self.root, key).iter().any(|place| place == path)
    }
}

/// The possible places of an account's file: flat, or in the sub-folder of its last two characters.
pub fn places(root: &Path, key: &AccountKey) -> [PathBuf; 2] {
    [Layout::Flat.place(root, key), Layout::Sharded.place(root, key)]
}

/// The possible places of an activation's file, likewise.
pub fn activation_places(root: &Path, id: &HashId) -> [PathBuf; 2] {
    [Layout::Flat, Layout::Sharded].map(|layout| layout.place_of(root, &id.text()))
}
