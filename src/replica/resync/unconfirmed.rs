//! Compares with the primary what the feed does not confirm. Until then it limits the position that this replica
//! confirms:
//!
//! * copies from other servers
//! * copies whose successor was rejected
//! * the operator JWT, if the feed could not continue

use std::sync::Arc;

use super::cache::{PAUSE, PIECE};
use super::{LONGEST_PAUSE, Resync, ResyncError, Run, have};
use crate::backoff::Backoff;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState};
use crate::feed::wire::{DigestAsk, UpstreamChange, UpstreamContent};
use crate::gate::Via;
use crate::replica::position::PositionLimit;

impl Resync {
    /// Compares what the feed does not confirm, as long as the process lives.
    pub(in crate::replica) async fn compare_unconfirmed(self: Arc<Self>) {
        let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
        loop {
            if !self.has_unconfirmed() {
                self.parts.held.positions.work().await;
                continue;
            }
            match self.compare_some().await {
                Ok(true) => backoff.reset(),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(
                        "cannot compare the copies that the feed does not confirm, and will retry: {error}"
                    );
                }
            }
            backoff.wait().await;
        }
    }

    fn has_unconfirmed(&self) -> bool {
        self.parts.held.freshness.is_following()
            && (self.parts.held.positions.get(PositionLimit::Operator).is_some() || self.has_unconfirmed_copies())
    }

    /// Whether there are unconfirmed copies, and no comparison of all copies is under way.
    fn has_unconfirmed_copies(&self) -> bool {
        self.parts.held.positions.get(PositionLimit::Copies).is_some()
            && self.parts.held.positions.get(PositionLimit::Comparison).is_none()
    }

    /// Compares a piece. Returns whether that changed anything.
    async fn compare_some(self: &Arc<Self>) -> Result<bool, ResyncError> {
        let stand = self.parts.held.positions.stand();
        let Some(from) = stand.position else { return Ok(false) };
        let number = self.turns.latest();
        let run = Run::new(self.clone(), from, stand.stretch, number);
        let mut has_changed = false;
        if self.parts.held.positions.get(PositionLimit::Operator).is_some() && run.operator().await? {
            self.parts.held.positions.lift(PositionLimit::Operator);
            has_changed = true;
        }
        let keys =
            if self.has_unconfirmed_copies() { self.parts.held.positions.unconfirmed(PIECE) } else { Vec::new() };
        let (held, gone): (Vec<_>, Vec<_>) = keys.iter().copied().partition(|key| self.parts.held.is_comparable(key));
        gone.iter().for_each(|key| self.parts.held.confirm_if_gone(key));
        if !held.is_empty() {
            run.compare(&held).await?;
        }
        Ok(has_changed || keys.iter().any(|key| !self.parts.held.positions.is_listed(key)))
    }
}

impl Run {
    /// Applies the primary's operator JWT if it is another one. Returns whether the one in force is at least as new as
    /// the primary's.
    async fn operator(&self) -> Result<bool, ResyncError> {
        let parts = &self.resync.parts;
        // Without an operator, the first one is pinned.
        let Some(trust) = parts.env.gate.trust() else { return Ok(true) };
        let key = Subject::Operator(*trust.identity());
        let leaf = Leaf::of(&key, &LeafState::Held(*trust.version()));
        let answer = self.ask(&DigestAsk { have: have(&[(key, leaf)]), ..DigestAsk::default() }).await?;
        let mut is_in_sync = true;
        for item in &answer.items {
            is_in_sync &= match UpstreamChange::from(item).content {
                UpstreamContent::Operator { jwts, is_linked } => {
                    parts.operators.apply_linked(&jwts, is_linked, Via::Upstream)
                }
                _ => false,
            };
        }
        Ok(is_in_sync)
    }
}
