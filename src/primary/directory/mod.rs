//! The directory of JWT files: it follows the journal, and what others do to its files is imported.
//!
//! | files | do |
//! |---|---|
//! | [`watcher`], [`intake`] | notice what happens to the directory, and ask its intake to import it |
//! | [`read_write`], [`read_only`] | the two intakes: of a directory of ours, and of one that somebody else maintains |
//! | [`removals`] | decide which accounts left a directory that is only read |
//! | [`compare`], [`place`] | bring the file of one account and the journal into agreement |
//! | [`writer`] | write the files of accounts that changed in the journal |
//! | [`scan`], [`judge`], [`activations`] | import all files at the first start, one file, and the file of an activation |
//! | [`closed`], [`ignored`], [`operator_files`], [`reports`] | sub-directories and files that stay as they are, and the log lines about them |
//!
//! All of them may block, on threads of their own.

mod activations;
mod closed;
mod compare;
mod ignored;
mod intake;
mod judge;
mod operator_files;
mod place;
mod read_only;
mod read_write;
mod removals;
mod reports;
mod scan;
mod watcher;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Primary;
use super::progress::{self, ScanStage};
use super::source::{self, Tokens};
use crate::metrics::Metrics;
use crate::store::StoreError;
use compare::Comparer;
use read_only::ReadOnly;
use read_write::ReadWrite;
use watcher::Watcher;
use writer::Writer;
pub(super) use writer::WriterProgress;

/// The work on a folder, under way.
#[derive(Debug)]
pub struct Directory {
    primary: Arc<Primary>,
    stop: CancellationToken,
    watcher: Option<JoinHandle<()>>,
}

impl Primary {
    /// Starts the work on the token folder, if there is one. `look_every`: how often it is looked through.
    pub fn start_directory(
        self: &Arc<Self>,
        metrics: &Arc<Metrics>,
        look_every: Duration,
    ) -> Result<Directory, StoreError> {
        let stop = CancellationToken::new();
        let mut directory = Directory { primary: self.clone(), stop: stop.clone(), watcher: None };
        let watcher = Watcher::new(self.clone(), look_every, stop);
        match &self.tokens {
            Tokens::None => self.progress.reach(ScanStage::Complete),
            Tokens::Own(_) => {
                let writer_progress = WriterProgress::new(writer::begin(self)?);
                let comparer = Arc::new(Comparer::new(self.clone(), metrics.clone()));
                let (ask, asked) = tokio::sync::mpsc::channel(1024);
                tokio::spawn(Writer::new(comparer.clone(), writer_progress.clone()).run(asked));
                // It is started once.
                let _ = self.writer_progress.set(writer_progress.clone());
                let read_write = ReadWrite::new(comparer, ask);
                directory.watcher = Some(tokio::spawn(watcher.after(writer_progress).run(read_write)));
            }
            Tokens::Foreign(_) | Tokens::Nsc(_) => {
                let read_only = ReadOnly::new(self.clone(), metrics.clone());
                directory.watcher = Some(tokio::spawn(watcher.run(read_only)));
            }
        }
        Ok(directory)
    }
}

impl Directory {
    /// Stops looking, and waits, no longer than `longest`, until all files are on disk.
    pub async fn finish(&mut self, longest: Duration) {
        self.stop.cancel();
        if let Some(watcher) = self.watcher.take() {
            // It ends at once, or in the middle of a look, which is not waited for.
            let _ = tokio::time::timeout(Duration::from_secs(1), watcher).await;
        }
        let Some(writer_progress) = self.primary.writer_progress.get() else { return };
        let head = self.primary.journal().head().serial;
        if !writer_progress.wait(head, longest).await {
            tracing::warn!(
                "{} changes are not in the token folder yet; the journal has them, and the next start goes on",
                head.saturating_sub(writer_progress.synced())
            );
        }
    }
}
