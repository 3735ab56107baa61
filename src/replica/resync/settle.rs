//! Comparing with the primary what the feed does not confirm: copies from other servers, copies whose successor was refused, and
//! the operator's JWT where the feed did not go on. Until then they keep down the position that this replica confirms.

use std::sync::Arc;

use super::cache::{PAUSE, PIECE};
use super::{Failed, LONGEST_PAUSE, Resync, Run, have};
use crate::backoff::Backoff;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState};
use crate::feed::wire::{DigestAsk, UpstreamChange, UpstreamContent};
use crate::gate::Via;
use crate::replica::position::Limit;

impl Resync {
    /// Settles what the feed does not confirm, for as long as the process lives.
    pub(in crate::replica) async fn settle(self: Arc<Self>) {
        let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
        loop {
            if !self.has_to_settle() {
                self.parts.held.positions.work().await;
                continue;
            }
            match self.settle_some().await {
                Ok(true) => backoff.reset(),
                Ok(false) => {}
                Err(error) => tracing::debug!("what the feed does not confirm is compared again later: {error}"),
            }
            backoff.wait().await;
        }
    }

    fn has_to_settle(&self) -> bool {
        self.parts.held.freshness.is_following()
            && (self.parts.held.positions.get(Limit::Operator).is_some() || self.has_copies_to_settle())
    }

    /// Whether there are unconfirmed copies, and not all are being compared anyway.
    fn has_copies_to_settle(&self) -> bool {
        self.parts.held.positions.get(Limit::Copies).is_some()
            && self.parts.held.positions.get(Limit::Comparison).is_none()
    }

    /// Settles a piece. Returns whether that changed anything.
    async fn settle_some(self: &Arc<Self>) -> Result<bool, Failed> {
        let stand = self.parts.held.positions.stand();
        let Some(from) = stand.position else { return Ok(false) };
        let number = self.turns.latest();
        let run = Run::new(self.clone(), from, stand.stretch, number);
        let mut has_settled = false;
        if self.parts.held.positions.get(Limit::Operator).is_some() && run.operator().await? {
            self.parts.held.positions.lift(Limit::Operator);
            has_settled = true;
        }
        let keys = if self.has_copies_to_settle() { self.parts.held.positions.unconfirmed(PIECE) } else { Vec::new() };
        let (held, gone): (Vec<_>, Vec<_>) = keys.iter().copied().partition(|key| self.parts.held.is_comparable(key));
        gone.iter().for_each(|key| self.parts.held.confirm_if_gone(key));
        if !held.is_empty() {
            run.compare(&held).await?;
        }
        Ok(has_settled || keys.iter().any(|key| !self.parts.held.positions.is_listed(key)))
    }
}

impl Run {
    /// Adopts the primary's operator JWT if it is another one. Returns whether the one in force is at least as new as the
    /// primary's now.
    async fn operator(&self) -> Result<bool, Failed> {
        let parts = &self.resync.parts;
        // Without an operator, the one to begin with is pinned.
        let Some(trust) = parts.env.gate.trust() else { return Ok(true) };
        let key = Subject::Operator(*trust.identity());
        let leaf = Leaf::of(&key, &LeafState::Held(*trust.version()));
        let answer = self.ask(&DigestAsk { have: have(&[(key, leaf)]), ..DigestAsk::default() }).await?;
        let mut is_in_sync = true;
        for item in &answer.items {
            is_in_sync &= match UpstreamChange::from(item).content {
                UpstreamContent::Operator { jwts, is_linked } => {
                    parts.operators.take_linked(&jwts, is_linked, Via::Upstream)
                }
                _ => false,
            };
        }
        Ok(is_in_sync)
    }
}
