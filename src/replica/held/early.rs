//! Applies JWTs that upstream did not give.

use std::sync::Arc;

use super::Held;
use crate::gate::{Entry, Refusal, Tombstone};
use crate::store::journal::upstream::{Early, EarlyWay, Still, UpstreamWrite};
use crate::store::journal::{CommitError, Outcome};

/// What a JWT leads to that upstream did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replica) enum Heard {
    /// It is served.
    Applied,
    /// Only upstream can tell.
    Ask,
    /// It is served already, or nobody wants it.
    Nothing,
}

impl Held {
    /// Judges a hint that passed the gate, and applies it if the rule says so.
    pub(in crate::replica) async fn hear(&self, entry: &Arc<Entry>) -> Result<Heard, Refusal> {
        // If no client wants the account, the first GET for it asks upstream anyway.
        if self.is_wanted(entry.key()) { self.judge(entry, EarlyWay::Hint).await } else { Ok(Heard::Nothing) }
    }

    /// Applies a JWT that upstream did not give.
    pub(in crate::replica) async fn judge(&self, entry: &Arc<Entry>, way: EarlyWay) -> Result<Heard, Refusal> {
        let outcome = self.store.write(UpstreamWrite::Early(self.early(entry, way))).await;
        heard(outcome)
    }

    /// Serves a JWT that an earlier kind of server left on disk, until upstream says otherwise. Blocks.
    pub(in crate::replica) fn find(&self, entry: &Arc<Entry>) -> Result<Heard, Refusal> {
        heard(self.store.write_blocking(UpstreamWrite::Early(self.early(entry, EarlyWay::Found))))
    }

    /// Applies a delete request that upstream accepted from a client of this replica.
    pub(in crate::replica) async fn delete_early(&self, tombstone: Tombstone) {
        // If it cannot be written, the feed brings it.
        let _ = self.store.write(UpstreamWrite::DeletedEarly(Arc::new(tombstone))).await;
    }

    fn early(&self, entry: &Arc<Entry>, way: EarlyWay) -> Early {
        let (flights, key) = (self.flights.clone(), *entry.key());
        Early { entry: entry.clone(), way, is_asked: Still::new(move || flights.contains(&key)) }
    }
}

fn heard(outcome: Result<Outcome, CommitError>) -> Result<Heard, Refusal> {
    match outcome {
        Ok(Outcome::Early) => Ok(Heard::Applied),
        Ok(Outcome::Refetch) => Ok(Heard::Ask),
        Ok(_) => Ok(Heard::Nothing),
        Err(CommitError::Refused(refusal)) => Err(refusal),
        // It was logged. Upstream has it.
        Err(CommitError::Failed(_)) => Ok(Heard::Ask),
    }
}
