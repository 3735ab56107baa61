//! What the primary says of an activation, on the feed or in a comparison.

use std::time::Instant;

use super::Activations;
use crate::clock;
use crate::gate::{ActivationRefusal, Position, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::store::snapshot::{Proof, ProofKind, Seen};

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replica) enum Kept {
    /// It is kept, and was not before.
    Here,
    /// It is not kept.
    Not,
    /// It is not kept, because its account is not known here, or not yet.
    Orphan(HashId),
}

impl Activations {
    /// Takes in what the primary says of an activation. Whether it is vouched for is judged when it is asked for; but a mirror
    /// keeps it only if its account is known here, because anybody can make an account and sign any number of them.
    ///
    /// `jwt`: its text. A version that was replaced comes without it, and its successor follows.
    pub(in crate::replica) fn take(&self, id: &HashId, jwt: Option<&str>, at: Position) -> Kept {
        self.forget(id);
        let Some(jwt) = jwt.filter(|_| self.env.is_mirror()) else { return Kept::Not };
        let place = (ProofKind::Activation, *id.raw());
        let read = |body: &[u8]| self.env.gate.read_activation(body, SentFor::id(id), Via::Feed, clock::unix_seconds());
        let refused = |refusal: &Refusal| {
            self.env.metrics.refused(Via::Feed, refusal);
            if let Some(held_back) = self.env.refusals.turn(Instant::now()) {
                tracing::warn!("the primary's activation {id} is rejected: {refusal}{held_back}");
            }
        };
        match read(jwt.as_bytes()) {
            Ok(unproven) if !self.held.known.memory.peek(unproven.account(), Seen::is_known).unwrap_or(false) => {
                refused(&ActivationRefusal::UnknownAccount(*unproven.account()).into());
                Kept::Orphan(*id)
            }
            Ok(unproven) => {
                let version = unproven.version();
                let held = self.held.known.shelf.get(&place).and_then(|held| Some(read(&held.body).ok()?.version()));
                if held.as_ref().is_some_and(|held| held.iat > version.iat || held.identity == version.identity) {
                    return Kept::Not;
                }
                let body = jwt.as_bytes().to_vec().into();
                self.held.known.shelf.put(place, Proof { identity: version.identity, body, at: Some(at) });
                Kept::Here
            }
            Err(refusal) => {
                refused(&refusal);
                Kept::Not
            }
        }
    }

    /// The primary has forgotten an activation, because it had expired.
    pub(in crate::replica) fn drop_expired(&self, id: &HashId) {
        self.forget(id);
        self.held.known.shelf.remove((ProofKind::Activation, *id.raw()));
    }
}
