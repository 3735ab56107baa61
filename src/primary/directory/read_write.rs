//! The intake of a folder of ours: what others write there is imported, and what they remove is restored.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::activations;
use super::closed::{ClosedFolders, shards};
use super::compare::{Cause, Comparer, Settled};
use super::ignored::Ignored;
use super::intake::{Intake, Looked, Scanned, named};
use super::scan::{self, Scan};
use super::source::Tokens;
use crate::folder::{self, Folder, FolderShard, Layout, Listing};
use crate::gate::Via;
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::StoreError;

/// Live accounts that are compared with the folder in one piece.
const PIECE: usize = 10_000;
/// Failures in one scan after which the rest waits for the next.
const MANY: usize = 100;

/// The intake of a folder of ours.
pub(super) struct ReadWrite {
    comparer: Arc<Comparer>,
    /// To the writer: accounts whose file could not be settled now.
    ask: mpsc::Sender<AccountKey>,
    closed: ClosedFolders,
    ignored: Ignored,
}

/// What a closed sub-folder means, for people.
const THEN: &str =
    "give this server's user the right to read it, or move it away; everything else in the folder counts";

impl ReadWrite {
    pub(super) fn new(comparer: Arc<Comparer>, ask: mpsc::Sender<AccountKey>) -> Self {
        Self { comparer, ask, closed: ClosedFolders::default(), ignored: Ignored::default() }
    }

    fn folder(&self) -> Result<&Folder, StoreError> {
        match &self.comparer.primary().tokens {
            Tokens::Own(folder) => Ok(folder),
            _ => Err(StoreError::Closed),
        }
    }

    /// Settles one file. Returns whether to settle it again later.
    fn file(&self, folder: &Folder, path: &Path, key: &AccountKey) -> Result<bool, StoreError> {
        // If both layouts have a file, one of them is ours, and the other one is somebody's copy.
        let is_ours = folder.home(key) == path || path.symlink_metadata().is_err();
        let settled = if folder.is_home(path, key) && is_ours {
            self.comparer.settle(folder, key, Cause::File(Via::EditedFile))?
        } else {
            self.comparer.import_copy(path, key, Via::EditedFile)?
        };
        Ok(settled == Settled::NotStill)
    }

    fn activation(&self, path: &Path, id: &HashId, via: Via) -> Result<bool, StoreError> {
        let comparer = &self.comparer;
        activations::import(comparer.primary(), comparer.metrics(), comparer.reports(), path, id, via)
    }

    /// Restores the files of accounts that have none.
    fn restore(&self, folder: &Folder, listing: &Listing, failures: &mut usize) -> Result<(), StoreError> {
        // 16 bytes of a key tell accounts apart, and a million of them take 16 MB.
        let start = |key: &AccountKey| key.raw().first_chunk::<16>().copied().unwrap_or_default();
        let elsewhere = listing.extras.iter().filter(|extra| folder.is_home(&extra.path, &extra.key));
        let mut there: Vec<[u8; 16]> =
            listing.homes.iter().chain(elsewhere.map(|extra| &extra.key)).map(start).collect();
        there.sort_unstable();
        let closed = shards(&listing.closed);
        let is_closed = |key: &AccountKey| {
            !closed.is_empty()
                && folder.layout() == Layout::Sharded
                && FolderShard::of(&key.text()).is_some_and(|shard| closed.contains(&shard))
        };
        let mut after = None;
        loop {
            let keys = self.comparer.primary().journal().live_keys(after.as_ref(), PIECE)?;
            let Some(last) = keys.last() else { return Ok(()) };
            after = Some(*last);
            for key in keys.iter().filter(|key| there.binary_search(&start(key)).is_err() && !is_closed(key)) {
                if *failures < MANY
                    && let Err(error) = self.comparer.settle(folder, key, Cause::File(Via::EditedFile))
                {
                    *failures += 1;
                    self.later(key, &error);
                }
            }
        }
    }

    fn later(&self, key: &AccountKey, error: &StoreError) {
        tracing::debug!("the file of {key} is tried again: {error}");
        // Full: the next look finds it.
        let _ = self.ask.try_send(*key);
    }
}

impl Intake for ReadWrite {
    fn scan(&mut self, stop: &CancellationToken) -> Result<Scanned, StoreError> {
        let folder = self.folder()?;
        let mut listing = folder::list(folder.root(), folder.layout())?;
        scan::arrange(&mut listing);
        self.closed.are(&listing.closed, THEN);
        self.ignored.are(&listing.others);
        let folder = self.folder()?;
        // Before the scan says of any account that it is imported.
        self.comparer.primary().progress.set_closed(self.closed.shards(), true);
        let scan = Scan {
            primary: self.comparer.primary(),
            metrics: self.comparer.metrics(),
            reports: self.comparer.reports(),
            root: folder.root(),
            layout: folder.layout(),
            is_resumed: self.comparer.primary().journal().count() > 0,
            stop,
        };
        if !scan.run(&listing)? {
            return Ok(Scanned::Stopped);
        }
        // A copy elsewhere may have been newer than the file.
        for extra in &listing.extras {
            if let Err(error) = self.comparer.settle(folder, &extra.key, Cause::File(Via::FirstScan)) {
                self.later(&extra.key, &error);
            }
        }
        for (path, id) in &listing.activations {
            self.activation(path, id, Via::FirstScan)?;
        }
        Ok(Scanned::Done { folders: listing.folders, closed: self.closed.shards().to_vec() })
    }

    fn look(&mut self, since: SystemTime) -> Result<Looked, StoreError> {
        let folder = self.folder()?;
        if since == SystemTime::UNIX_EPOCH {
            self.comparer.reports().forget_all();
        }
        let listing = folder::list(folder.root(), folder.layout())?;
        self.closed.are(&listing.closed, THEN);
        self.ignored.are(&listing.others);
        let folder = self.folder()?;
        let (mut again, mut failures) = (Vec::new(), 0);
        let homes = listing.homes.iter().map(|key| (*key, folder.layout().place(folder.root(), key)));
        let extras = listing.extras.iter().map(|extra| (extra.key, extra.path.clone()));
        for (key, path) in homes.chain(extras) {
            if failures < MANY && folder::changed(&path).is_none_or(|at| at >= since) {
                match self.file(folder, &path, &key) {
                    Ok(true) => again.push(path),
                    Ok(false) => {}
                    Err(error) => {
                        failures += 1;
                        self.later(&key, &error);
                    }
                }
            }
        }
        for (path, id) in &listing.activations {
            if folder::changed(path).is_none_or(|at| at >= since) && self.activation(path, id, Via::EditedFile)? {
                again.push(path.clone());
            }
        }
        self.restore(folder, &listing, &mut failures)?;
        let closed = self.closed.shards().to_vec();
        Ok(Looked { folders: listing.folders, again, closed, is_whole: failures == 0 })
    }

    fn touched(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let files = self.ignored.sort_out(files);
        let Ok(folder) = self.folder() else { return Vec::new() };
        let mut again = Vec::new();
        for path in files {
            let Some(key) = named(&path) else {
                match activations::named(&path).map(|id| self.activation(&path, &id, Via::EditedFile)) {
                    Some(Ok(true)) => again.push(path),
                    Some(Err(error)) => tracing::error!("{} is not imported: {error}", path.display()),
                    Some(Ok(false)) | None => {}
                }
                continue;
            };
            match self.file(folder, &path, &key) {
                Ok(true) => again.push(path),
                Ok(false) => {}
                Err(error) => self.later(&key, &error),
            }
        }
        again
    }
}
