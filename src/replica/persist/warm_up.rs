//! Restores what an earlier process or an earlier kind of server stored, in the background.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Persist;
use crate::clock;
use crate::folder::{self, Layout};
use crate::gate::Via;
use crate::key::AccountKey;
use crate::replica::position::PositionLimit;

/// The pause between two checks whether a damaged snapshot is mended.
const MENDING: Duration = Duration::from_millis(20);

impl Persist {
    /// Restores all that an earlier process stored.
    pub(super) fn warm_up(&self) {
        let (start, disk) = (Instant::now(), &self.parts.held.disk);
        let snapshot = disk.snapshot();
        let mut count = loop {
            let mended = snapshot.mended();
            let count = self.parts.held.restore_copies();
            // A mended snapshot may have more readable rows.
            while snapshot.is_damaged() && !disk.is_failing() {
                std::thread::sleep(MENDING);
            }
            if snapshot.mended() == mended {
                break count;
            }
        };
        if let Some(tokens) = disk.tokens() {
            count += self.import_tokens(tokens);
        }
        disk.set_warm();
        self.parts.held.positions.lift(PositionLimit::WarmUp);
        self.parts.held.positions.has_work();
        self.parts.pull.fill_soon();
        if count > 0 || disk.was_found() {
            tracing::info!("restored {count} JWTs from disk in {:.1} s", start.elapsed().as_secs_f64());
        }
    }

    /// Imports the folder of an earlier kind of server. The folder is only read.
    fn import_tokens(&self, root: &Path) -> u64 {
        let listing = match folder::list(root, Layout::Flat) {
            Ok(listing) => listing,
            Err(error) => {
                tracing::warn!("cannot import the JWTs of an earlier server: {error}");
                return 0;
            }
        };
        let homes = listing.homes.iter().map(|key| (Layout::Flat.place(root, key), *key));
        let extras = listing.extras.iter().map(|file| (file.path.clone(), file.key));
        let mut count = 0;
        for (path, key) in homes.chain(extras) {
            match self.import_token(&path, &key) {
                Ok(()) => count += 1,
                Err(reason) => tracing::warn!("{} is not taken in: {reason}", path.display()),
            }
        }
        count
    }

    fn import_token(&self, path: &Path, key: &AccountKey) -> Result<(), String> {
        let (_, bytes) = folder::read(path).map_err(|unread| unread.to_string())?;
        let admitted = self.parts.env.gate.admit(&bytes, Some(key), Via::FirstScan, clock::unix_seconds());
        let entry = Arc::new(admitted.map_err(|refusal| refusal.to_string())?);
        self.parts.held.find(&entry).map_err(|refusal| refusal.to_string())
    }
}
