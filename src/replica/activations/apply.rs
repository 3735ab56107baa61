//! Activations that the primary sends, on the feed or in a comparison.

use std::time::Instant;

use super::Activations;
use crate::clock;
use crate::gate::{ActivationRefusal, Position, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::store::snapshot::{Proof, ProofKind, Seen};

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replica) enum ActivationOutcome {
    /// It is stored now, and was not before.
    Stored,
    /// Nothing changed.
    NotStored,
    /// It is not stored, because its account is not known here yet.
    Orphan(HashId),
}

impl Activations {
    /// Applies what the primary says of an activation. A replica judges whether the account vouches for it when a
    /// client asks. A mirror stores it only if its account is known here, because anyone can make an account and sign
    /// any number of activations.
    ///
    /// `jwt`: its text. A version that was replaced comes without it, and its successor follows.
    pub(in crate::replica) fn apply(&self, id: &HashId, jwt: Option<&str>, at: Position) -> ActivationOutcome {
        self.forget(id);
        let Some(jwt) = jwt.filter(|_| self.env.is_mirror()) else { return ActivationOutcome::NotStored };
        let place = (ProofKind::Activation, *id.raw());
        let read = |body: &[u8]| self.env.gate.read_activation(body, SentFor::id(id), Via::Feed, clock::unix_seconds());
        let refused = |refusal: &Refusal| {
            self.env.metrics.refused(Via::Feed, refusal);
            if let Some(held_back) = self.env.refusals.turn(Instant::now()) {
                tracing::warn!("the activation {id} of the primary is rejected: {refusal}{held_back}");
            }
        };
        match read(jwt.as_bytes()) {
            Ok(unproven) if !self.held.known.versions.peek(unproven.account(), Seen::is_known).unwrap_or(false) => {
                refused(&ActivationRefusal::UnknownAccount(*unproven.account()).into());
                ActivationOutcome::Orphan(*id)
            }
            Ok(unproven) => {
                let version = unproven.version();
                let held = self.held.known.proofs.get(&place).and_then(|held| Some(read(&held.body).ok()?.version()));
                if held.as_ref().is_some_and(|held| held.iat > version.iat || held.identity == version.identity) {
                    return ActivationOutcome::NotStored;
                }
                let body = jwt.as_bytes().to_vec().into();
                self.held.known.proofs.set(place, Some(Proof { identity: version.identity, body, at: Some(at) }));
                ActivationOutcome::Stored
            }
            Err(refusal) => {
                refused(&refusal);
                ActivationOutcome::NotStored
            }
        }
    }

    /// The primary has forgotten an activation, because it had expired.
    pub(in crate::replica) fn drop_expired(&self, id: &HashId) {
        self.forget(id);
        self.held.known.proofs.set((ProofKind::Activation, *id.raw()), None);
    }
}
