//! One stream of the feed, from its greeting to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::FeedError;
use super::sse::{SseEvent, SseReader};
use super::{Follow, FollowerState, SILENCE};
use crate::clock;
use crate::feed::wire::{Item, Page, UpstreamChange};
use crate::feed::{Chain, Head, SubjectKind};
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;
use crate::store::journal::upstream::{Fed, UpstreamWrite};
use crate::store::journal::{CommitError, Committing, Outcome};
use crate::upstream::UpstreamError;

/// The shortest pause between two wake-ups of the followers of this replica for heartbeats.
const WAKE: Duration = Duration::from_millis(200);

/// So long after an answer, its place has come with the feed, unless it is lost. A chain of replicas takes a fraction of it.
const AWAITED: Duration = Duration::from_secs(5);

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
            let mut batch = Batch::default();
            let mut result = Ok(());
            for event in events {
                match self.handle(follower, &mut batch, &event).await {
                    Ok(LifeSign::Life) => heard = Instant::now(),
                    Ok(LifeSign::Nothing) => {}
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            // What was handed to the store is waited for, whatever came after it.
            self.settle(follower, &mut batch).await?;
            result?;
            // While something arrives all the time, the time limit above never expires.
            if heard.elapsed() > SILENCE + reader.grace() {
                return Err(FeedError::Silent);
            }
        }
    }

    async fn handle(
        self: &Arc<Self>,
        follower: &mut FollowerState,
        batch: &mut Batch,
        event: &SseEvent,
    ) -> Result<LifeSign, FeedError> {
        let json = |error: serde_json::Error| FeedError::Format(format!("cannot read an event of the feed: {error}"));
        match event.kind.as_str() {
            "hello" | "heartbeat" => {
                let page: Page = serde_json::from_str(&event.data).map_err(json)?;
                self.settle(follower, batch).await?;
                self.stand(follower, &page).await?;
                // Once for each stream, even if the greeting is repeated.
                let is_opened = !std::mem::replace(&mut follower.greeted, true);
                if is_opened {
                    self.reporting.feed_opened();
                    self.compare_again(follower);
                }
            }
            "change" => {
                let item: Item = serde_json::from_str(&event.data).map_err(json)?;
                self.advance(follower, batch, item).await?;
            }
            // A later format may have more events.
            _ => return Ok(LifeSign::Nothing),
        }
        Ok(LifeSign::Life)
    }

    /// A server that had no digests may have them by now.
    fn compare_again(self: &Arc<Self>, follower: &FollowerState) {
        if let Some(position) = follower.position
            && !self.parts.held.store.stand().is_level
            && !self.resync.is_under_way()
        {
            self.resync.begin(position);
        }
    }

    /// Handles the position of the primary, from the greeting and each heartbeat.
    async fn stand(self: &Arc<Self>, follower: &mut FollowerState, page: &Page) -> Result<(), FeedError> {
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
                // The feed does not say whether the operator JWT changed before this.
                self.parts.held.positions.doubt_operator(confirmed.unwrap_or(Head::beginning(said.session)));
                self.parts.held.store.write(UpstreamWrite::Begin(said)).await?;
                follower.position = Some(said);
                self.parts.held.copies.forget_unknown();
                self.resync.begin(said);
                // The feed does not say what changed before this.
                self.parts.operators.ask();
                said
            }
        };
        self.relay.open();
        follower.target = page.head;
        let heard = clock::uptime_millis() - i64::try_from(page.age.min(LONGEST)).unwrap_or(0);
        // 0 means never.
        follower.heard = if heard == 0 { -1 } else { heard };
        if position.serial >= page.head {
            self.go_live(follower, position.serial);
            self.look_beyond(follower, position.serial).await?;
            // A wake-up reaches all followers of this replica.
            if follower.woken.is_none_or(|woken| woken.elapsed() > WAKE) {
                follower.woken = Some(Instant::now());
                self.parts.held.store.reader().ring().wake();
            }
        }
        Ok(())
    }

    /// An answer may be later than the feed, for a moment. If it stays later while upstream stands still, upstream was set back
    /// after it, and this replica followed from a position that both histories have.
    async fn look_beyond(&self, follower: &mut FollowerState, serial: u64) -> Result<(), FeedError> {
        let held = &self.parts.held;
        let awaited = held.store.reader().awaited().map(|reach| (serial, reach));
        match (awaited, follower.awaited) {
            (Some((_, reach)), Some((before, since))) if awaited == Some(before) => {
                if since.elapsed() > AWAITED {
                    held.store.write(UpstreamWrite::StoodStill(reach)).await?;
                    held.positions.look_again();
                }
            }
            _ => follower.awaited = awaited.map(|places| (places, Instant::now())),
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
        if self.parts.held.freshness.has_caught_up(true) {
            self.parts.env.metrics.replica.feed_connected.set(i64::from(self.parts.held.freshness.is_following()));
            tracing::info!("following the change feed of {} from serial {serial}", self.parts.upstream.shown());
        }
        if !was_live {
            // A server that is further behind may have answered that it does not know an account.
            self.parts.held.copies.unknown.forget_all();
            self.parts.held.positions.look_again();
        }
    }

    /// Hands a change to the store. The outcome comes with the batch.
    async fn advance(
        self: &Arc<Self>,
        follower: &mut FollowerState,
        batch: &mut Batch,
        item: Item,
    ) -> Result<(), FeedError> {
        let format = |what: &str| FeedError::Format(format!("change {}: {what}", item.serial));
        let mut position = follower.position.ok_or_else(|| format("it comes before the greeting"))?;
        let (operation, digest) = item.link().ok_or(FeedError::Form(item.serial))?;
        let chain = position.chain.next(item.serial, operation, &digest);
        if Some(item.serial) != position.serial.checked_add(1) || Chain::parse(&item.chain) != Some(chain) {
            return Err(FeedError::Chain(item.serial));
        }
        if item.kind == SubjectKind::Activation.name() {
            // Whether its account is known depends on what came before.
            self.settle(follower, batch).await?;
        }
        let content = self.read(&item);
        let item = Arc::new(item);
        let accounts = UpstreamChange::from(&*item).accounts;
        let fed = Fed { item: item.clone(), chain, digest, content };
        let committing = self.parts.held.store.enqueue(UpstreamWrite::Fed(Box::new(fed))).await?;
        (position.serial, position.chain) = (item.serial, chain);
        follower.position = Some(position);
        batch.0.push(Handed { committing, serial: item.serial, at: item.at, accounts });
        Ok(())
    }

    /// Waits until what was handed to the store is written. If that fails, the follower goes on from where the store is.
    async fn settle(self: &Arc<Self>, follower: &mut FollowerState, batch: &mut Batch) -> Result<(), FeedError> {
        let mut result = Ok(());
        for handed in batch.0.drain(..) {
            let outcome = self.parts.held.store.noted(handed.committing.outcome().await);
            match outcome {
                Ok(Outcome::Refetch) => handed.accounts.iter().for_each(|key| self.parts.pull.refetch(*key)),
                Ok(_) => {}
                Err(CommitError::Refused(refusal)) => self.refused(handed.serial, &refusal),
                Err(error) => {
                    result = Err(error.into());
                    continue;
                }
            }
            // After one that failed, none is written.
            if result.is_ok() && handed.serial >= follower.target {
                self.go_live(follower, handed.serial);
            }
            self.parts.env.metrics.replica.feed_lag.observe(seconds_since(handed.at));
        }
        self.parts.held.positions.look_again();
        if result.is_err() {
            follower.position = self.parts.held.store.position();
        }
        result
    }

    /// A change that the gate or the order did not accept. It is in the log nevertheless.
    pub(super) fn refused(&self, serial: u64, refusal: &Refusal) {
        let primary = self.parts.upstream.shown();
        self.parts.env.refused(Via::Feed, refusal, format_args!("change {serial} of the primary {primary}"));
    }
}

/// Changes that were handed to the store.
#[derive(Debug, Default)]
struct Batch(Vec<Handed>);

#[derive(Debug)]
struct Handed {
    committing: Committing,
    serial: u64,
    /// When the primary committed it, unix milliseconds.
    at: i64,
    accounts: Vec<AccountKey>,
}

#[allow(clippy::cast_precision_loss)]
fn seconds_since(at: i64) -> f64 {
    clock::unix_millis().saturating_sub(at).max(0) as f64 / 1000.0
}
