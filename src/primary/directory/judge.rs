//! Judging what a file holds: every file passes the gate, and its verdict decides what happens to the file.

use std::path::Path;
use std::sync::Arc;

use super::Primary;
use crate::clock;
use crate::gate::{Entry, Refusal, Via};
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::CommitError;

/// What became of a file's content.
#[derive(Debug)]
pub(super) enum FileVerdict {
    /// It is stored now, and was not before.
    Taken(Arc<Entry>),
    /// Exactly this version is stored.
    Same,
    /// It is valid, but the stored version stays.
    Conflict(Refusal),
    /// It is not valid.
    Refused(Refusal),
}

impl Primary {
    /// Imports the content of a file, if the gate accepts it, and logs what changed. `key`: the account in the file's name. Blocks.
    pub(super) fn judge(
        &self,
        path: &Path,
        bytes: &[u8],
        key: Option<&AccountKey>,
        via: Via,
        metrics: &Metrics,
    ) -> Result<FileVerdict, StoreError> {
        match self.submit_blocking(bytes, key, via) {
            Ok(submitted) if submitted.changed => {
                metrics.accepted(via);
                let entry = submitted.entry;
                tracing::info!(account = %entry.key(), via = via.label(), "updated JWT for account - {} from {}", entry.called(), path.display());
                if via == Via::FirstScan {
                    self.remark(path, &entry);
                }
                Ok(FileVerdict::Taken(entry))
            }
            Ok(_) => Ok(FileVerdict::Same),
            Err(CommitError::Refused(refusal)) => {
                metrics.refused(via, &refusal);
                Ok(if refusal.is_conflict() { FileVerdict::Conflict(refusal) } else { FileVerdict::Refused(refusal) })
            }
            Err(CommitError::Failed(error)) => {
                metrics.writes.commit_failures.inc();
                Err(StoreError::Shared(error))
            }
        }
    }

    /// Warns of a token that a scan accepts and a push would not.
    pub(super) fn remark(&self, path: &Path, entry: &Entry) {
        let now = clock::unix_seconds();
        if entry.is_expired(now) {
            tracing::warn!("{} has expired; it is kept and served", path.display());
        } else if self.gate.is_ahead(entry.iat(), now) {
            tracing::warn!("{} is dated in the future; it is kept and served", path.display());
        }
    }
}
