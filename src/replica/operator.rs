//! The operator's newest JWT on a replica: from its own file, from the primary's feed, or asked for.
//!
//! The primary is a mere carrier here, as everywhere: a JWT counts because the identity key that this replica knows
//! signed it, and only if it is newer than the one in force. So a lying primary can keep a withdrawal from us, but
//! neither list a key nor bring one back.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Replica;
use super::upstream::UpstreamError;
use crate::clock;
use crate::gate::{OperatorChange, OperatorRefusal, Refusal, Trust, Via};
use crate::key::{AccountKey, PublicKey};

/// How often a primary that has just begun to answer is asked for its operator again if that fails.
const TRIES: u32 = 5;

impl Replica {
    /// Brings another operator JWT into force, as a file has it. Says what it changes.
    pub fn configure_operator(self: &Arc<Self>, trust: Trust) -> Result<OperatorChange, Refusal> {
        self.adopt(trust, Via::EditedFile)
    }

    /// Takes in the operator's JWT as the primary shows it. One that is in force, or was, changes nothing.
    pub(super) fn take_operator(self: &Arc<Self>, jwt: &str, via: Via) -> Result<(), Refusal> {
        // Without an operator, the one to begin with is pinned: see `pin_operator`.
        if self.gate.trust().is_none() {
            return Ok(());
        }
        let trust = Trust::from_operator_jwt(jwt, clock::unix_seconds()).map_err(OperatorRefusal::Invalid)?;
        let change = self.adopt(trust, via)?;
        if change.changed {
            self.metrics.accepted(via);
            tracing::warn!("taken over from the primary {}: {change}", self.primary());
        }
        Ok(())
    }

    fn adopt(self: &Arc<Self>, trust: Trust, via: Via) -> Result<OperatorChange, Refusal> {
        let mut replaced = self.replaced_operators.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = self.gate.admit_operator(&trust, via)?;
        let before = Arc::clone(&self.gate.standing());
        let mut change = OperatorChange::of(&before, &trust);
        if !newer {
            return Ok(change);
        }
        if replaced.contains(trust.version()) {
            return Err(Refusal::Replaced);
        }
        if let Some(current) = before.trust() {
            if current.iat() != trust.iat() {
                replaced.clear();
            }
            replaced.push(*current.version());
        }
        self.gate.set_trust(trust);
        self.keeping.note_operator();
        change.withheld = self.enforce();
        self.fill_soon();
        Ok(change)
    }

    /// Takes out of the cache what may no longer be served, and says how much that was. The gate's trust has changed
    /// before; who is about to put something in meanwhile looks again afterwards.
    pub(super) fn enforce(&self) -> u64 {
        let mut withheld = 0;
        for (key, slot) in &self.cache {
            if !self.gate.vouches(slot.entry().issuer()) {
                if self.is_mirror() {
                    self.keeping.note_withheld(&key, slot);
                }
                self.cache.invalidate(&*key);
                withheld += 1;
            }
        }
        // What was unknown may have been withheld by the primary.
        self.epochs.bump_all();
        self.unknown.invalidate_all();
        self.epochs.bump_all();
        withheld
    }

    /// Asks the primary for its operator's JWT: a change of it may have been missed. Not waited for.
    pub(super) fn ask_operator(self: &Arc<Self>) {
        let replica = self.clone();
        self.runtime.spawn(async move {
            for _ in 0..TRIES {
                match replica.upstream.operator().await {
                    Ok(Some(jwt)) => {
                        if let Err(refusal) = replica.take_operator(&jwt, Via::Upstream) {
                            replica.operator_refused(&refusal);
                        }
                        return;
                    }
                    Ok(None) | Err(UpstreamError::Status(_)) => return,
                    Err(error) => tracing::debug!("the primary does not show its operator: {error}"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    pub(super) fn operator_refused(&self, refusal: &Refusal) {
        if refusal.is_conflict() {
            tracing::debug!("the operator JWT of the primary {} is not taken: {refusal}", self.primary());
        } else {
            self.metrics.refused(Via::Upstream, refusal);
            tracing::warn!("the operator JWT of the primary {} is refused: {refusal}", self.primary());
        }
    }

    /// The key that signed an account's JWT, if it is known here to be withheld.
    pub fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        let issuer =
            self.memory.peek(key, |seen| seen.newest().filter(|_| seen.is_live()).map(|newest| newest.issuer))??;
        (!self.gate.vouches(&issuer)).then_some(issuer)
    }
}
