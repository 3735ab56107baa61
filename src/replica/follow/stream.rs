//! One stream of the feed, from its greeting to its end.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::time::{Instant, timeout_at};

use super::error::FeedError;
use super::sse::{SseEvent, SseReader};
use super::{Follow, FollowerState, SILENCE};
use crate::clock;
use crate::feed::wire::{Item, Page, UpstreamChange};
use crate::feed::{Chain, Head};
use crate::gate::Via;
use crate::replica::position::PositionLimit;
use crate::upstream::UpstreamError;

/// The shortest pause between two wake-ups of the followers of this replica for heartbeats.
const WAKE: Duration = Duration::from_millis(200);

/// A longer time since the primary was heard, in milliseconds, counts as this.
const LONGEST: u64 = 1 << 40;

/// What an event of a stream proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeSign {
    /// The primary is up.
    Life,
    /// Nothing. A server can send comments and events of other kinds without a primary.
    Nothing,
}

impl Follow {
    pub(super) async fn run(
        self: &Arc<Self>,
        follower: &mut FollowerState,
    ) -> Result<std::convert::Infallible, FeedError> {
        let mut response = self.parts.upstream.changes(follower.position.as_ref()).await?;
        let mut reader = SseReader::default();
        (follower.greeted, follower.woken) = (false, None);
        let mut heard = Instant::now();
        loop {
            let silent = heard + SILENCE + reader.grace();
            let piece = timeout_at(silent, response.chunk())
                .await
                .map_err(|_| FeedError::Silent)?
                .map_err(
                    |error| if matches!(error, UpstreamError::Moved) { FeedError::Moved } else { FeedError::Ended },
                )?
                .ok_or(FeedError::Ended)?;
            let events = reader.feed(&piece).map_err(|error| FeedError::Format(error.to_string()))?;
            for event in events {
                if self.handle(follower, &event)? == LifeSign::Life {
                    heard = Instant::now();
                }
            }
            // While something arrives all the time, the time limit above never expires.
            if heard.elapsed() > SILENCE + reader.grace() {
                return Err(FeedError::Silent);
            }
        }
    }

    fn handle(self: &Arc<Self>, follower: &mut FollowerState, event: &SseEvent) -> Result<LifeSign, FeedError> {
        let json = |error: serde_json::Error| FeedError::Format(format!("cannot read an event of the feed: {error}"));
        match event.kind.as_str() {
            "hello" | "heartbeat" => {
                let page: Page = serde_json::from_str(&event.data).map_err(json)?;
                self.stand(follower, &page)?;
                // Once for each stream, even if the greeting is repeated.
                let is_opened = !std::mem::replace(&mut follower.greeted, true);
                if is_opened {
                    self.reporting.feed_opened();
                    self.compare_again(follower);
                }
                if let Some(position) = follower.position {
                    self.parts.pull.list_keys(position, is_opened);
                }
            }
            "change" => {
                let item: Item = serde_json::from_str(&event.data).map_err(json)?;
                self.advance(follower, &item)?;
            }
            // A later format may have more events.
            _ => return Ok(LifeSign::Nothing),
        }
        Ok(LifeSign::Life)
    }

    /// A server that had no digests may have them by now.
    fn compare_again(self: &Arc<Self>, follower: &FollowerState) {
        if let Some(position) = follower.position
            && self.parts.held.positions.get(PositionLimit::Comparison).is_some()
            && !self.resync.turns().is_under_way()
        {
            self.resync.begin(position, follower.stretch);
        }
    }

    /// Handles the position of the primary, from the greeting and each heartbeat.
    fn stand(self: &Arc<Self>, follower: &mut FollowerState, page: &Page) -> Result<(), FeedError> {
        let said =
            page.position().ok_or_else(|| FeedError::Format("cannot read the position of the primary".into()))?;
        self.relay.comes_by(&page.via, &self.parts.env.name)?;
        let position = match follower.position {
            Some(position) if position.session == said.session => position,
            // A server with a new history ends its streams. The work below is too much for every event.
            _ if follower.greeted => return Err(FeedError::Session),
            _ => {
                let confirmed =
                    self.parts.held.positions.confirmed().filter(|confirmed| confirmed.session == said.session);
                let confirmed = confirmed.unwrap_or(Head::beginning(said.session));
                self.parts.held.positions.set(PositionLimit::Comparison, confirmed);
                // The feed does not say whether the operator JWT changed before this.
                self.parts.held.positions.set(PositionLimit::Operator, confirmed);
                // A mirror is compared as a whole, and its stretch continues. A cache is compared piece by piece.
                if !self.parts.env.is_mirror() || follower.stretch == 0 {
                    follower.stretch += 1;
                }
                follower.position = Some(said);
                self.parts.held.freshness.is_unsynced();
                if !self.parts.env.is_mirror() {
                    self.parts.held.freshness.begin_stretch(follower.stretch);
                }
                self.parts.held.forget_unknown();
                self.parts.pull.begin_history();
                self.relay.begin(said);
                self.resync.begin(said, follower.stretch);
                // The feed does not say what changed before this.
                self.parts.operators.ask();
                said
            }
        };
        self.applied(position, follower.stretch);
        self.relay.open(position);
        follower.target = page.head;
        let heard = clock::uptime_millis() - i64::try_from(page.age.min(LONGEST)).unwrap_or(0);
        // 0 means never.
        follower.heard = if heard == 0 { -1 } else { heard };
        if position.serial >= page.head {
            self.go_live(follower, position.serial);
            // A wake-up reaches all followers of this replica.
            if follower.woken.is_none_or(|woken| woken.elapsed() > WAKE) {
                follower.woken = Some(Instant::now());
                self.relay.wake();
            }
        }
        Ok(())
    }

    fn go_live(&self, follower: &mut FollowerState, serial: u64) {
        self.parts.held.freshness.hear(serial, follower.heard);
        let was_live = follower.live_since.is_some();
        if !was_live {
            follower.live_since = Some(Instant::now());
            follower.told = false;
        }
        if self.parts.held.freshness.has_caught_up(follower.stretch, self.parts.env.is_mirror()) {
            self.parts.env.metrics.replica_feed_connected.set(1);
            tracing::info!("following the change feed of {} from serial {serial}", self.parts.upstream.shown());
        }
        if !was_live {
            // A server that is further behind may have answered that it does not know an account.
            self.parts.held.all_may_be_known();
            self.parts.held.positions.look_again();
            self.parts.held.positions.has_work();
        }
    }

    /// Notes that all changes up to a position are applied. A mirror that is being compared may lack earlier ones.
    fn applied(&self, position: Head, stretch: u64) {
        if !self.parts.env.is_mirror() || self.parts.held.freshness.was_synced(stretch) {
            self.parts.held.positions.applied(position, stretch);
        }
    }

    fn advance(self: &Arc<Self>, follower: &mut FollowerState, item: &Item) -> Result<(), FeedError> {
        let format = |what: &str| FeedError::Format(format!("change {}: {what}", item.serial));
        let position = follower.position.as_mut().ok_or_else(|| format("it comes before the greeting"))?;
        let (operation, body) = item.link().ok_or(FeedError::Form(item.serial))?;
        let chain = position.chain.next(item.serial, operation, &body);
        if Some(item.serial) != position.serial.checked_add(1) || Chain::parse(&item.chain) != Some(chain) {
            return Err(FeedError::Chain(item.serial));
        }
        (position.serial, position.chain) = (item.serial, chain);
        let reached = *position;
        let at = reached.position(item.serial);
        let stretch = Some(follower.stretch);
        let change = UpstreamChange::from(item);
        self.parts.pull.note_key(&change);
        match self.apply(&change, at, stretch) {
            Ok(()) => {}
            Err(refusal) if refusal.is_conflict() => {
                self.parts.env.metrics.refused(Via::Feed, &refusal);
                tracing::debug!(
                    "change {} of the primary {} changes nothing: {refusal}",
                    item.serial,
                    self.parts.upstream.shown()
                );
                // Either a later change brings this version, or the primary was set back and then written to.
                change.accounts.iter().for_each(|key| self.parts.held.is_ahead(key));
            }
            Err(refusal) => {
                self.parts.env.metrics.refused(Via::Feed, &refusal);
                if let Some(held_back) = self.parts.env.refusals.turn(StdInstant::now()) {
                    let (serial, primary) = (item.serial, self.parts.upstream.shown());
                    tracing::warn!("change {serial} of the primary {primary} is rejected: {refusal}{held_back}");
                }
                // Our operator JWT may be the old one, so our copy may be outdated.
                self.parts.held.mark_stale(change.accounts.iter().copied());
            }
        }
        self.resync.turns().touch(change.accounts.iter().copied());
        self.applied(reached, follower.stretch);
        self.relay.pass(item, reached);
        if item.serial >= follower.target {
            self.go_live(follower, item.serial);
        }
        self.parts.env.metrics.replica_feed_lag.observe(seconds_since(item.at));
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds_since(at: i64) -> f64 {
    clock::unix_millis().saturating_sub(at).max(0) as f64 / 1000.0
}
