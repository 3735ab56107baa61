//! Taking in the pack of another account server, once at each start, as v1.0.3 did with its `primary`.
//!
//! Whatever comes of it, this server serves: it listens already, and what it holds yields only to what is newer.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::packs;
use crate::config::{Settings, without_password};
use crate::gate::Via;
use crate::jwt::pack::Found;
use crate::node::{Node, WriteError};
use crate::replica::Access;
use crate::store::journal::CommitError;

/// JWTs that are dealt with at the same time: one sync of the journal is for all of them.
const AT_ONCE: usize = 64;

/// Begins, in the background, if that is configured.
pub(super) fn begin(settings: &Settings, node: &Arc<Node>) {
    let Some(from) = settings.store.import_from.clone().filter(|_| node.is_writable()) else { return };
    let (access, node) = (Access::of(&settings.replica), node.clone());
    tokio::spawn(async move {
        let shown = without_password(&from);
        tracing::info!("the pack of {shown} is taken in");
        let mut tally = Tally::default();
        let ended = tokio::select! {
            ended = take_in(&from, access, &node, &mut tally) => ended,
            () = node.draining().cancelled() => return,
        };
        if let Some(first) = &tally.first_refused {
            tracing::warn!("{} lines of the pack of {shown} are refused; the first: {first}", tally.refused);
        }
        let Tally { taken, same, older, .. } = tally;
        let told = format!("{taken} of its JWTs were taken in, {same} were held, {older} are older than what is held");
        match ended {
            Ok(()) => tracing::info!("the pack of {shown} was read: {told}"),
            Err(why) => tracing::error!("unable to initialize from primary, {shown}: {why}; {told}"),
        }
    });
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Tally {
    taken: u64,
    same: u64,
    older: u64,
    refused: u64,
    first_refused: Option<String>,
}

/// The error is why that was not all.
async fn take_in(from: &str, access: Access, node: &Arc<Node>, tally: &mut Tally) -> Result<(), String> {
    let url = packs::url(from)?;
    let (sender, mut lines) = mpsc::channel(AT_ONCE);
    let reading = tokio::spawn(async move { packs::fetch(url, &access, sender).await });
    let mut under_way = JoinSet::new();
    while let Some(line) = lines.recv().await {
        match line {
            Ok(found) => {
                let node = node.clone();
                under_way.spawn(async move { submit(&node, &found).await });
            }
            // v0.8.4 has activations among its accounts.
            Err(number) => tally.refuse(format!("line {number} {}", packs::NO_LINE)),
        }
        while under_way.len() >= AT_ONCE {
            tally.add(under_way.join_next().await)?;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        tally.add(Some(ended))?;
    }
    reading.await.map_err(|error| error.to_string())?
}

/// Returns the line's number with what came of it: whether that is a change.
async fn submit(node: &Node, found: &Found) -> (u64, Result<bool, WriteError>) {
    let submitted = node.submit(&found.token, Some(&found.key), Via::Import).await;
    (found.number, submitted.map(|submitted| submitted.changed))
}

type Ended = Result<(u64, Result<bool, WriteError>), tokio::task::JoinError>;

impl Tally {
    /// Counts a line. The error is why no further one would be taken in.
    fn add(&mut self, ended: Option<Ended>) -> Result<(), String> {
        let Some(ended) = ended else { return Ok(()) };
        let (number, result) = ended.map_err(|error| error.to_string())?;
        match result {
            Ok(true) => self.taken += 1,
            Ok(false) => self.same += 1,
            Err(WriteError::Commit(CommitError::Refused(refusal))) if refusal.is_conflict() => self.older += 1,
            Err(WriteError::Commit(CommitError::Refused(refusal))) => self.refuse(format!("line {number}: {refusal}")),
            Err(failed) => return Err(failed.to_string()),
        }
        Ok(())
    }

    fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.first_refused.get_or_insert(why);
    }
}
