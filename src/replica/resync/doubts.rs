//! Asks upstream about what holds the position of this replica back: accounts whose change was rejected here, and the
//! operator JWT, if the feed could not continue.

use std::collections::HashSet;
use std::sync::Arc;

use super::applying::Applying;
use super::{LONGEST_PAUSE, PIECE, Resync, ResyncError, Run};
use crate::backoff::Backoff;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState, Short};
use crate::feed::wire::{DigestAsk, UpstreamChange, UpstreamContent};
use crate::gate::Via;
use crate::generation::Generation;
use crate::store::blocking;
use crate::store::journal::upstream::{Compared, ComparedContent};

/// The pause between two questions.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

impl Resync {
    /// Asks about what is in doubt, as long as the process lives.
    pub(in crate::replica) async fn settle_doubts(self: Arc<Self>) {
        let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
        loop {
            if self.must_compare() {
                if let Err(error) = self.compare_again().await {
                    tracing::debug!("cannot compare again, and will retry: {error}");
                }
                backoff.wait().await;
                continue;
            }
            if !self.has_doubts() {
                self.parts.held.positions.work().await;
                continue;
            }
            match self.settle_some().await {
                Ok(true) => backoff.reset(),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!("cannot ask about what is in doubt, and will retry: {error}");
                }
            }
            backoff.wait().await;
        }
    }

    fn has_doubts(&self) -> bool {
        let held = &self.parts.held;
        held.freshness.is_following()
            && (held.positions.doubts_operator().is_some() || (held.store.stand().doubted > 0 && !self.is_under_way()))
    }

    /// Asks about some. Returns whether that changed anything.
    async fn settle_some(self: &Arc<Self>) -> Result<bool, ResyncError> {
        let held = &self.parts.held;
        let Some(from) = held.store.position() else { return Ok(false) };
        let number = self.begun.load(std::sync::atomic::Ordering::Acquire);
        let run = Run { resync: self.clone(), from, era: held.store.reader().era(), number };
        let mut has_changed = false;
        if let Some(asked) = held.positions.doubts_operator()
            && run.operator().await?
        {
            has_changed = held.positions.trust_operator(asked);
        }
        let before = held.store.stand().doubted;
        if before > 0 && !self.is_under_way() {
            run.accounts().await?;
            held.positions.look_again();
        }
        Ok(has_changed || held.store.stand().doubted < before)
    }
}

impl Run {
    async fn accounts(&self) -> Result<(), ResyncError> {
        let held = &self.resync.parts.held;
        let reader = held.store.reader().clone();
        let after = *self.resync.asked_up_to.lock();
        let found = blocking(move || {
            let mut keys = reader.doubted(after.as_ref(), PIECE)?;
            if keys.is_empty() && after.is_some() {
                keys = reader.doubted(None, PIECE)?;
            }
            keys.into_iter().map(|key| Ok((key, reader.leaf_to_ask_by(&key)?))).collect::<Result<Vec<_>, _>>()
        });
        let doubted: Vec<(Subject, Option<Leaf>)> = found.await?;
        // Those that no answer settles leave the others their turn.
        *self.resync.asked_up_to.lock() = doubted.last().map(|(subject, _)| *subject);
        if doubted.is_empty() {
            return Ok(());
        }
        let generation = |subject: &Subject| match subject {
            Subject::Account(key) => Some(held.generation(key)),
            _ => None,
        };
        let begun: Vec<Option<Generation>> = doubted.iter().map(|(subject, _)| generation(subject)).collect();
        let have = |(key, leaf): &(Subject, Option<Leaf>)| {
            (key.text(), leaf.map_or_else(Short::default, |leaf| leaf.short()).to_string())
        };
        let ask = DigestAsk { have: doubted.iter().map(have).collect(), ..DigestAsk::default() };
        let mut differing = HashSet::new();
        let mut applying = Applying::by(self.resync.clone());
        let as_of = self
            .ask_and_see(ask, &mut applying, |answer| {
                for item in &answer.items {
                    differing.extend(UpstreamChange::from(item).accounts.into_iter().map(Subject::Account));
                    differing.extend(item.key.as_ref().and_then(|key| Subject::parse(key)));
                }
            })
            .await?;
        applying.end().await?;
        let same = doubted
            .iter()
            .zip(&begun)
            .filter(|((subject, _), begun)| !differing.contains(subject) && generation(subject) == **begun);
        let content = |(subject, leaf): &(Subject, Option<Leaf>)| match leaf {
            Some(_) => ComparedContent::Same(*subject),
            None => ComparedContent::Nothing(*subject),
        };
        let found = same.map(|(asked, _)| Compared { as_of, serial: 0, content: content(asked) });
        self.resync.write(found.collect()).await
    }

    /// Applies the primary's operator JWT if it is another one. Returns whether the one in force is at least as new as
    /// the primary's.
    async fn operator(&self) -> Result<bool, ResyncError> {
        let parts = &self.resync.parts;
        // Without an operator, the first one is pinned.
        let Some(trust) = parts.env.gate.trust() else { return Ok(true) };
        let key = Subject::Operator(*trust.identity());
        let leaf = Leaf::of(&key, &LeafState::Held(*trust.version()));
        let have = vec![(key.text(), leaf.short().to_string())];
        let answer = parts.upstream.followed().compare(&DigestAsk { have, ..DigestAsk::default() }).await?;
        self.stands(&answer.position().ok_or(ResyncError::Format("the position"))?)?;
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
