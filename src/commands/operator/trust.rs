//! `operator trust FILE`: the anchor of the operator's chain, set by hand.

use std::path::Path;
use std::sync::Arc;

use super::super::{Exit, runtime, say};
use super::set;
use crate::config::Settings;
use crate::folder::FolderLock;
use crate::gate::{OperatorChain, OperatorChange, Trust};
use crate::primary;
use crate::server;
use crate::store::{StoreError, journal};

pub(super) fn run(settings: &Settings, file: &Path) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::from(format!("cannot trust {}: {error}", file.display()));
    let trust = server::trust::read_operator(file).map_err(|error| failed(&error))?;
    let setup = primary::Setup::of(settings);
    let journal = setup.journal().ok_or_else(|| failed(&"give the folder of the server, as in -dir FOLDER"))?;
    let folder = journal.parent().unwrap_or(&journal);
    if !journal.exists() {
        return Err(failed(&format!("there is no state of a server in {}", folder.display())));
    }
    let locks = if settings.is_replica() {
        FolderLock::acquire(folder).map(|lock| vec![lock]).map_err(StoreError::from)
    } else {
        setup.lock()
    };
    let _locks = locks.map_err(|error| failed(&error))?;
    let change = runtime()?.block_on(in_journal(&journal, &trust));
    let change = change.map_err(|error| failed(&error))?;
    say(&format!("trusted {} in {}", file.display(), folder.display()));
    say(&change.to_string());
    say("Next: start the server, and look at /readyz?verbose. A replica that cannot link this JWT to its own says so.");
    Ok(())
}

/// The chain that begins with the JWT, if there is one of the same operator.
fn chain(kept: Option<&Arc<OperatorChain>>, trust: &Arc<Trust>, path: &Path) -> Result<Arc<OperatorChain>, StoreError> {
    let unusable = |reason| Err(StoreError::unusable(path, reason));
    match kept {
        None => unusable("no operator is known there: configure the JWT, and start the server".into()),
        Some(kept) if kept.anchor().identity() != trust.identity() => unusable(format!(
            "it belongs to the operator {}, and this is a JWT of {}; to change the operator, start the server with \
             --change-operator",
            kept.anchor().identity(),
            trust.identity()
        )),
        Some(kept) => Ok(Arc::new(kept.trusting(trust.clone()))),
    }
}

async fn in_journal(path: &Path, trust: &Arc<Trust>) -> Result<OperatorChange, StoreError> {
    let kept = journal::operator_in(path)?.map(Arc::new);
    let chain = chain(kept.as_ref(), trust, path)?;
    set(path, kept, chain).await
}
