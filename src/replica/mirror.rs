//! A replica that keeps everything, as far as there is room.
//!
//! It is a cache in which every account is wanted, and that knows the sums of what it has seen. What does not fit is let
//! go of as in any cache, which is said, and fetched when it is asked for.

use std::sync::Arc;

use super::Replica;
use crate::clock;
use crate::feed::wire::Item;
use crate::gate::{ActivationRefusal, Position, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::snapshot::{Proof, ProofKind, Seen};

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is kept, and was not before.
    Here,
    /// It is not kept.
    Not,
    /// It is not kept, because its account is not known here, or not yet.
    Orphan(HashId),
}

/// Accounts that are fetched at the same time because their JWT is missing.
const FILLING: usize = 16;

impl Replica {
    /// Whether everything is to be kept.
    pub fn is_mirror(&self) -> bool {
        self.env.is_mirror()
    }

    /// Whether something had to be let go of for want of room.
    pub fn is_full(&self) -> bool {
        self.held.disk().is_full()
    }

    /// Accounts that are newer here than at the primary.
    pub fn ahead(&self) -> i64 {
        self.held.known().memory().ahead()
    }

    /// Something of what was seen is lost.
    pub(super) fn lost_something(self: &Arc<Self>) {
        if self.is_mirror() {
            self.held.known().break_off();
            let stand = self.held.positions().stand();
            if let Some(position) = stand.position {
                self.begin_resync(position, stand.stretch);
            }
        }
    }

    /// Takes in what the primary says of an activation. Whether it is vouched for is judged when it is asked for; but a mirror
    /// keeps it only if its account is known here, because anybody can make an account and sign any number of them.
    pub(super) fn take_activation(&self, item: &Item, at: Position) -> Kept {
        let Some(id) = item.key.as_deref().and_then(HashId::parse) else { return Kept::Not };
        self.activations.forget(&id);
        if !self.is_mirror() {
            return Kept::Not;
        }
        let place = (ProofKind::Activation, *id.raw());
        let Some(jwt) = &item.jwt else {
            // Replaced ones are told without their text; their successor follows.
            if item.op == "remove" {
                self.held.known().shelf().remove(place);
            }
            return Kept::Not;
        };
        let read =
            |body: &[u8]| self.env.gate.read_activation(body, SentFor::id(&id), Via::Feed, clock::unix_seconds());
        let refused = |refusal: &Refusal| {
            self.env.metrics.refused(Via::Feed, refusal);
            if let Some(held_back) = self.refusals.turn(std::time::Instant::now()) {
                tracing::warn!("the primary's activation {id} is rejected: {refusal}{held_back}");
            }
        };
        match read(jwt.as_bytes()) {
            Ok(unproven) if !self.held.known().memory().peek(unproven.account(), Seen::is_known).unwrap_or(false) => {
                refused(&ActivationRefusal::UnknownAccount(*unproven.account()).into());
                Kept::Orphan(id)
            }
            Ok(unproven) => {
                let version = unproven.version();
                let held =
                    self.held.known().shelf().get(&place).and_then(|held| Some(read(&held.body).ok()?.version()));
                if held.as_ref().is_some_and(|held| held.iat > version.iat || held.identity == version.identity) {
                    return Kept::Not;
                }
                let body = jwt.clone().into_bytes().into();
                self.held.known().shelf().put(place, Proof { identity: version.identity, body, at: Some(at) });
                Kept::Here
            }
            Err(refusal) => {
                refused(&refusal);
                Kept::Not
            }
        }
    }

    /// Fetches what a mirror should hold and does not, in the background.
    pub(super) fn fill_soon(self: &Arc<Self>) {
        if self.is_mirror() {
            let replica = self.clone();
            self.env.runtime.spawn(async move { replica.fill().await });
        }
    }

    /// Fetches what a mirror should hold and does not: what was damaged on disk, or was withheld.
    pub(super) async fn fill(self: &Arc<Self>) {
        let replica = self.clone();
        let missing = tokio::task::spawn_blocking(move || replica.missing()).await.unwrap_or_default();
        for keys in missing.chunks(FILLING) {
            if self.is_full() {
                return;
            }
            let flights: Vec<_> = keys.iter().map(|key| self.flight(*key)).collect();
            // What it brings is taken in by itself.
            let _ = futures_util::future::join_all(flights).await;
        }
    }

    fn missing(&self) -> Vec<AccountKey> {
        let mut missing = Vec::new();
        if self.is_full() || !self.held.disk().is_warm() {
            return missing;
        }
        let standing = self.env.gate.standing();
        let Some(walk) = self.held.disk().snapshot().walk() else { return missing };
        let walked = walk.seen(|key, seen| {
            let is_served = seen.is_served() && !seen.ahead;
            // Where what was heard is withheld, what upstream gave may be served.
            let is_vouched =
                seen.heard.iter().chain(seen.held.version()).any(|version| standing.vouches(&version.issuer));
            if is_served && is_vouched && !self.held.has_copy(&key) {
                missing.push(key);
            }
        });
        if let Err(error) = walked {
            tracing::warn!("cannot look for what is missing: {error}");
        }
        missing
    }
}
