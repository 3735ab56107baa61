//! Imports the pack of another account server, once at each start, as v1.0.3 did with its `primary`.
//!
//! This server serves whatever the result is: it listens already, and only newer JWTs replace the stored ones.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::{Settings, without_password};
use crate::gate::Via;
use crate::jwt::pack::Found;
use crate::node::{Node, WriteError};
use crate::upstream::{Access, pack_lines};

/// JWTs that are stored at the same time, with one sync of the journal for all.
const AT_ONCE: usize = 64;
/// Bytes of those, about: a line can have 1 MiB.
const BYTES: usize = 8 << 20;
/// Lines that wait.
const QUEUED: usize = 8;

/// Lines that change nothing after which an import ends: a server that never stops sending must not keep this one busy for
/// ever.
const IN_VAIN: u64 = 10_000_000;

/// Begins, in the background, if that is configured.
pub(super) fn begin(settings: &Settings, node: &Arc<Node>) {
    let Some(from) = settings.store.import_from.clone().filter(|_| node.is_writable()) else { return };
    let (access, node) = (Access::of(&settings.replica), node.clone());
    tokio::spawn(async move {
        let shown = without_password(&from);
        tracing::info!("importing the pack of {shown}");
        let mut tally = ImportTally::default();
        let ended = tokio::select! {
            ended = take_in(&from, access, &node, &mut tally) => ended,
            () = node.draining().cancelled() => return,
        };
        if let Some(first) = &tally.first_refused {
            tracing::warn!("{} lines of the pack of {shown} were rejected; the first: {first}", tally.refused);
        }
        let ImportTally { taken, same, older, .. } = tally;
        let told = format!(
            "{taken} of its JWTs were imported, {same} were stored already, {older} are older than the stored ones"
        );
        match ended {
            Ok(()) => tracing::info!("the pack of {shown} was read: {told}"),
            Err(why) => tracing::error!("unable to initialize from primary, {shown}: {why}; {told}"),
        }
    });
}

/// What became of the lines.
#[derive(Debug, Default)]
struct ImportTally {
    taken: u64,
    same: u64,
    older: u64,
    refused: u64,
    first_refused: Option<String>,
}

/// The error is why that was not all.
async fn take_in(from: &str, access: Access, node: &Arc<Node>, tally: &mut ImportTally) -> Result<(), String> {
    let url = pack_lines::url(from)?;
    let (sender, mut lines) = mpsc::channel(QUEUED);
    let reading = tokio::spawn(async move { pack_lines::fetch(url, &access, sender).await });
    let (mut under_way, mut bytes) = (JoinSet::new(), 0);
    while let Some(line) = lines.recv().await {
        match line {
            Ok(found) => {
                let node = node.clone();
                bytes += found.token.len();
                under_way.spawn(async move { submit(&node, &found).await });
            }
            // v0.8.4 has activations among its accounts.
            Err(number) => tally.refuse(format!("line {number} {}", pack_lines::NO_LINE)),
        }
        if tally.in_vain() > IN_VAIN {
            return Err(format!("{IN_VAIN} of its lines changed nothing here; importing it ends here"));
        }
        while under_way.len() >= AT_ONCE || bytes > BYTES {
            let Some(ended) = under_way.join_next().await else { break };
            bytes -= tally.add(ended)?;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        tally.add(ended)?;
    }
    reading.await.map_err(|error| error.to_string())?
}

/// What came of a line.
struct Dealt {
    number: u64,
    bytes: usize,
    /// Whether it is a change.
    changed: Result<bool, WriteError>,
}

async fn submit(node: &Node, found: &Found) -> Dealt {
    let submitted = node.submit(&found.token, Some(&found.key), Via::Import).await;
    Dealt { number: found.number, bytes: found.token.len(), changed: submitted.map(|submitted| submitted.changed) }
}

impl ImportTally {
    /// Counts a line, and returns its bytes. The error says why no further one is read.
    fn add(&mut self, ended: Result<Dealt, tokio::task::JoinError>) -> Result<usize, String> {
        let Dealt { number, bytes, changed } = ended.map_err(|error| error.to_string())?;
        match changed {
            Ok(true) => self.taken += 1,
            Ok(false) => self.same += 1,
            Err(WriteError::Refused(refusal)) if refusal.is_conflict() => self.older += 1,
            Err(WriteError::Refused(refusal)) => self.refuse(format!("line {number}: {refusal}")),
            Err(failed) => return Err(failed.to_string()),
        }
        Ok(bytes)
    }

    /// Lines that changed nothing.
    const fn in_vain(&self) -> u64 {
        self.same + self.older + self.refused
    }

    fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.first_refused.get_or_insert(why);
    }
}
