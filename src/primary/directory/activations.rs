//! Activations as files: imported wherever they are, and written if `store.activation_files` is set, as the Go server did.
//!
//! By default they are not written, because a nats-server that opens the folder takes every `.jwt` file for an account's.

use std::path::Path;
use std::sync::Arc;

use super::Primary;
use super::place::STILL;
use super::reports::{self, Reports};
use crate::folder::{self, Folder, Unread};
use crate::gate::{SentFor, Via};
use crate::jwt::HashId;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::CommitError;

/// Imports one file. Its account must be stored before, because that vouches for it. Returns whether to read the file again
/// later. Blocks.
pub(super) fn import(
    primary: &Arc<Primary>,
    metrics: &Metrics,
    reports: &Reports,
    path: &Path,
    id: &HashId,
    via: Via,
) -> Result<bool, StoreError> {
    if via != Via::FirstScan && !folder::is_still(path, STILL) {
        return Ok(path.exists());
    }
    let bytes = match folder::read(path) {
        Ok((_, bytes)) => bytes,
        Err(Unread::Missing) => return Ok(false),
        Err(unread) => {
            reports.left(path, &unread.to_string());
            return Ok(false);
        }
    };
    match primary.submit_activation_blocking(&bytes, SentFor::id(id), via) {
        Ok(submitted) if submitted.changed => metrics.accepted(via),
        Ok(_) => {}
        Err(CommitError::Refused(refusal)) => {
            metrics.refused(via, &refusal);
            if refusal.is_conflict() {
                tracing::debug!("{} is not imported: {refusal}", path.display());
            } else {
                reports.left(path, &reports::refused(&refusal));
            }
        }
        Err(CommitError::Failed(error)) => return Err(StoreError::Shared(error)),
    }
    Ok(false)
}

/// Writes the file of an activation, unless it holds just that. Other content is imported first.
/// Returns whether it was written. Blocks.
pub(super) fn write(primary: &Arc<Primary>, folder: &Folder, id: &HashId) -> Result<bool, StoreError> {
    if let Ok((_, bytes)) = folder::read(&folder.activation(id)) {
        let held = primary.journal.activation(id)?;
        if held.is_some_and(|held| held.activation.token() == bytes.trim_ascii_end()) {
            return Ok(false);
        }
        // An older one, or a rejected one, is overwritten.
        if let Err(CommitError::Failed(error)) =
            primary.submit_activation_blocking(&bytes, SentFor::id(id), Via::EditedFile)
        {
            return Err(StoreError::Shared(error));
        }
    }
    let Some(stored) = primary.journal.activation(id)? else { return Ok(false) };
    folder.write_activation(id, stored.activation.token())?;
    Ok(true)
}

/// The activation in a file's name.
pub(super) fn named(path: &Path) -> Option<HashId> {
    HashId::parse(path.file_name()?.to_str()?.strip_suffix(".jwt")?)
}
