//! Judging what a file holds.
//!
//! Every file passes the gate. What it makes of the content is told apart by what is to be done with the file.

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
    /// It is held now, and that is a change.
    Taken(Arc<Entry>),
    /// Exactly this version is held.
    Same,
    /// It is sound, but what is held stays.
    Conflict(Refusal),
    /// It is not to be served by anybody.
    Refused(Refusal),
}

impl Primary {
    /// Takes in the content of a file, if the gate lets it. `key`: the account in the file's name. Blocks.
    pub(super) fn judge(
        &self,
        bytes: &[u8],
        key: Option<&AccountKey>,
        via: Via,
        metrics: &Metrics,
    ) -> Result<FileVerdict, StoreError> {
        match self.submit_blocking(bytes, key, via) {
            Ok(submitted) if submitted.changed => {
                metrics.accepted(via);
                Ok(FileVerdict::Taken(submitted.entry))
            }
            Ok(_) => Ok(FileVerdict::Same),
            Err(CommitError::Refused(refusal)) => {
                metrics.refused(via, &refusal);
                Ok(if refusal.is_conflict() { FileVerdict::Conflict(refusal) } else { FileVerdict::Refused(refusal) })
            }
            Err(CommitError::Failed(error)) => {
                metrics.commit_failures.inc();
                Err(StoreError::Shared(error))
            }
        }
    }

    /// Says so if a token that is kept for old times' sake would be refused today.
    pub(super) fn remark(&self, path: &Path, entry: &Entry) {
        let now = clock::unix_seconds();
        if entry.is_expired(now) {
            tracing::warn!("{} has expired; it is kept and served", path.display());
        } else if self.gate.is_ahead(entry.iat(), now) {
            tracing::warn!("{} is dated in the future; it is kept and served", path.display());
        }
    }
}
