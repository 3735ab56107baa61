//! Following the primary's change feed.
//!
//! An unbroken run of changes is a *stretch*. What was confirmed within the stretch that is live now is current. A feed
//! that comes back and goes on where it stopped continues its stretch; one that cannot (another session, another chain)
//! begins a new one, and what was cached before is asked about again when it is next wanted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::{Instant, timeout, timeout_at};

use super::position::Limit;
use super::relay::Loop;
use super::sse::{Event, Reader};
use super::upstream::UpstreamError;
use super::{Offer, Replica};
use crate::backoff::drawn;
use crate::clock;
use crate::feed::wire::{Item, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR, Page};
use crate::feed::{Chain, Head};
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;

/// A feed that says nothing for this long is given up. The primary's heartbeat comes every 2 seconds.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a primary without a feed is left alone before it is asked for one again.
const NO_FEED: Duration = Duration::from_secs(10);

/// A server that answers again is asked for its feed no sooner than this after the last time.
const NOT_SOONER: Duration = Duration::from_millis(100);

/// A feed that lived for this long was a good one: what comes after it is a new failure.
const STEADY: Duration = Duration::from_secs(10);

/// How often those that follow this replica are told that its primary was heard.
const WAKE: Duration = Duration::from_millis(200);

/// The longest time, in milliseconds, since a primary was heard that is believed: it is as good as never.
const LONGEST: u64 = 1 << 40;

/// Where the follower stands.
#[derive(Debug, Default)]
struct Follower {
    position: Option<Head>,
    /// Where the primary stood when it last said so.
    target: u64,
    /// When the primary itself said so, in milliseconds of [`clock::uptime_millis`].
    heard: i64,
    stretch: u64,
    failures: u32,
    /// How often the position was given up.
    restarts: u32,
    told: bool,
    /// Whether the pack of a primary without a feed was asked for.
    packed: bool,
    live_since: Option<Instant>,
    /// Whether the stream has said hello.
    greeted: bool,
    /// When those that follow this replica were last told that the primary was heard.
    woken: Option<Instant>,
}

/// Why a stretch of feed ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    #[error("nothing was heard for {} seconds", SILENCE.as_secs())]
    Silent,
    #[error("the primary ended it")]
    Ended,
    #[error("{0}")]
    Format(String),
    #[error("change {0} is of a form that this version does not know")]
    Form(u64),
    #[error("{0}")]
    Loop(#[from] Loop),
    #[error("{}", UpstreamError::Moved)]
    Moved,
    #[error("change {0} does not continue the chain: the primary's history is another one")]
    Chain(u64),
    #[error("its session changed within a stream")]
    Session,
}

/// What an event of a stream is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// The primary lives.
    Life,
    /// Nothing. A server can send comments and events of other kinds without a primary behind it.
    Nothing,
}

impl Replica {
    /// Follows the feed for as long as the process lives, whatever happens to the primary.
    pub async fn follow(self: Arc<Self>) {
        loop {
            let following = tokio::spawn(self.clone().follow_on()).await;
            // It does not end by itself.
            self.held.freshness().has_caught_up(0, true);
            if let Err(error) = following {
                tracing::error!("following the primary failed, and begins again: {error}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn follow_on(self: Arc<Self>) {
        let stand = self.held.positions().stand();
        let mut follower = Follower { position: stand.position, stretch: stand.stretch, ..Follower::default() };
        if let Some(position) = stand.position.filter(|_| !self.held.positions().has_joined()) {
            // An earlier process was comparing what it held, and did not come to the end.
            self.begin_resync(position, stand.stretch);
        }
        loop {
            let broken = match self.run(&mut follower).await {
                Ok(never) => match never {},
                Err(broken) => broken,
            };
            self.held.freshness().has_caught_up(0, true);
            self.env.metrics.replica_feed_connected.set(0);
            let pause = self.after(&mut follower, &broken);
            let sooner = self.reached_again(&broken);
            // Whichever comes first.
            let _ = timeout(pause, sooner).await;
        }
    }

    /// Ends when the server, which could not be reached, has answered somebody.
    async fn reached_again(&self, broken: &Broken) {
        match broken {
            Broken::Upstream(UpstreamError::Connect(_) | UpstreamError::Transport(_))
            | Broken::Silent
            | Broken::Ended => {
                // Its feed alone may be broken: that is not asked for at every request.
                tokio::time::sleep(NOT_SOONER).await;
                self.held.freshness().reached().await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Decides how to go on after a break: how long to wait, and whether the position still stands.
    fn after(self: &Arc<Self>, follower: &mut Follower, broken: &Broken) -> Duration {
        if follower.live_since.take().is_some_and(|since| since.elapsed() > STEADY) {
            (follower.failures, follower.restarts) = (0, 0);
        }
        self.feed_leads_on(!matches!(broken, Broken::Loop(_)));
        match broken {
            Broken::Moved => return Duration::ZERO,
            Broken::Silent | Broken::Loop(_) => self.upstream.feed_failed(&broken.to_string()),
            // Once may be a matter of where we stood.
            Broken::Format(_) | Broken::Form(_) | Broken::Chain(_) if follower.failures > 1 => {
                self.upstream.feed_failed(&broken.to_string());
            }
            _ => {}
        }
        match broken {
            // The position is given up, whatever else: we begin again wherever the primary stands.
            Broken::Upstream(UpstreamError::Status(StatusCode::GONE)) | Broken::Chain(_) | Broken::Form(_)
                if follower.position.take().is_some() =>
            {
                tracing::warn!(
                    "the primary {} has another history than the one followed ({broken}); what is held is compared with it",
                    self.primary()
                );
                // It is there: only who is told so again and again waits longer.
                let pause = Duration::from_millis(10 << (2 * follower.restarts));
                follower.restarts = (follower.restarts + 1).min(4);
                return drawn(pause, 0.5..=1.0);
            }
            Broken::Upstream(UpstreamError::Status(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) => {
                if !std::mem::replace(&mut follower.told, true) {
                    tracing::info!(
                        "the primary {} has no change feed; entries are checked again after {:?}",
                        self.primary(),
                        self.env.setup.ttl
                    );
                }
                self.relay.stop();
                // Without a feed this is the only way to learn of a change.
                self.ask_operator();
                if self.is_mirror() && !std::mem::replace(&mut follower.packed, true) {
                    self.begin_with_pack();
                }
                return drawn(NO_FEED, 0.5..=1.0);
            }
            Broken::Loop(_) if !std::mem::replace(&mut follower.told, true) => {
                tracing::error!("the change feed of {} is not followed: {broken}", self.primary());
            }
            // That is in the log already.
            Broken::Upstream(error) if error.is_told() => {}
            _ if follower.failures == 0 => {
                tracing::warn!(
                    "the change feed of {} is not to be had: {broken}; what is cached is served meanwhile",
                    self.primary()
                );
            }
            _ => {}
        }
        follower.failures = (follower.failures + 1).min(6);
        drawn(Duration::from_millis(50 << follower.failures), 0.5..=1.0)
    }

    async fn run(self: &Arc<Self>, follower: &mut Follower) -> Result<std::convert::Infallible, Broken> {
        let mut response = self.upstream.changes(follower.position.as_ref()).await?;
        let mut reader = Reader::default();
        (follower.greeted, follower.woken) = (false, None);
        let mut heard = Instant::now();
        loop {
            let silent = heard + SILENCE + reader.grace();
            let piece = timeout_at(silent, response.chunk())
                .await
                .map_err(|_| Broken::Silent)?
                .map_err(|error| if matches!(error, UpstreamError::Moved) { Broken::Moved } else { Broken::Ended })?
                .ok_or(Broken::Ended)?;
            let events = reader.feed(&piece).map_err(|error| Broken::Format(error.to_string()))?;
            for event in events {
                if self.handle(follower, &event)? == Sign::Life {
                    heard = Instant::now();
                }
            }
            // Where something comes all the time, the wait for it does not end by itself.
            if heard.elapsed() > SILENCE + reader.grace() {
                return Err(Broken::Silent);
            }
        }
    }

    fn handle(self: &Arc<Self>, follower: &mut Follower, event: &Event) -> Result<Sign, Broken> {
        let json = |error: serde_json::Error| Broken::Format(format!("event of the feed: {error}"));
        match event.kind.as_str() {
            "hello" | "heartbeat" => {
                let page: Page = serde_json::from_str(&event.data).map_err(json)?;
                self.stand(follower, &page)?;
                // Once for each stream, however often it says hello.
                let is_opened = !std::mem::replace(&mut follower.greeted, true);
                if is_opened {
                    self.feed_opened();
                    self.compare_again(follower);
                }
                if let Some(position) = follower.position {
                    self.list_keys(position, is_opened);
                }
            }
            "change" => {
                let item: Item = serde_json::from_str(&event.data).map_err(json)?;
                self.advance(follower, &item)?;
            }
            // A later format may say more; what this one needs is above.
            _ => return Ok(Sign::Nothing),
        }
        Ok(Sign::Life)
    }

    /// A server that had no digests may have them by now.
    fn compare_again(self: &Arc<Self>, follower: &Follower) {
        if let Some(position) = follower.position
            && self.held.positions().get(Limit::Comparison).is_some()
            && !self.comparisons.is_under_way()
        {
            self.begin_resync(position, follower.stretch);
        }
    }

    /// The primary says where it stands: at the beginning, and with every heartbeat.
    fn stand(self: &Arc<Self>, follower: &mut Follower, page: &Page) -> Result<(), Broken> {
        let said = page.position().ok_or_else(|| Broken::Format("its position cannot be read".into()))?;
        self.relay.comes_by(&page.via, &self.env.name)?;
        let position = match follower.position {
            Some(position) if position.session == said.session => position,
            // A server that turns to another history ends its streams. What follows costs too much for every event.
            _ if follower.greeted => return Err(Broken::Session),
            _ => {
                let confirmed = self.position().filter(|confirmed| confirmed.session == said.session);
                let confirmed = confirmed.unwrap_or(Head::beginning(said.session));
                self.held.positions().set(Limit::Comparison, confirmed);
                // The feed does not say whether it has changed before this.
                self.held.positions().set(Limit::Operator, confirmed);
                // A mirror is compared as a whole, and then goes on as before; a cache piece by piece.
                if !self.is_mirror() || follower.stretch == 0 {
                    follower.stretch += 1;
                }
                follower.position = Some(said);
                self.held.freshness().is_unsynced();
                if !self.is_mirror() {
                    self.held.freshness().begin_stretch(follower.stretch);
                }
                self.held.forget_unknown();
                self.keys.begin();
                self.relay.begin(said);
                self.begin_resync(said, follower.stretch);
                // The feed does not say what was changed before this.
                self.ask_operator();
                said
            }
        };
        self.applied(position, follower.stretch);
        self.relay.open(position);
        follower.target = page.head;
        let heard = clock::uptime_millis() - i64::try_from(page.age.min(LONGEST)).unwrap_or(0);
        // 0 is never.
        follower.heard = if heard == 0 { -1 } else { heard };
        if position.serial >= page.head {
            self.go_live(follower, position.serial);
            // It wakes all that follow this replica.
            if follower.woken.is_none_or(|woken| woken.elapsed() > WAKE) {
                follower.woken = Some(Instant::now());
                self.relay.wake();
            }
        }
        Ok(())
    }

    fn go_live(&self, follower: &mut Follower, serial: u64) {
        self.held.freshness().hear(serial, follower.heard);
        let was_live = follower.live_since.is_some();
        if !was_live {
            follower.live_since = Some(Instant::now());
            follower.told = false;
        }
        if self.held.freshness().has_caught_up(follower.stretch, self.is_mirror()) {
            self.env.metrics.replica_feed_connected.set(1);
            tracing::info!("following the change feed of {} from serial {serial}", self.primary());
        }
        if !was_live {
            // A server that is further behind may have said of an account that it does not know it.
            self.held.all_may_be_known();
            self.held.positions().look_again();
            self.held.positions().has_work();
        }
    }

    /// Everything up to a position is taken in. A mirror that is being compared may lack something from before.
    fn applied(&self, position: Head, stretch: u64) {
        if !self.is_mirror() || self.held.freshness().was_synced(stretch) {
            self.held.positions().applied(position, stretch);
        }
    }

    fn advance(self: &Arc<Self>, follower: &mut Follower, item: &Item) -> Result<(), Broken> {
        let format = |what: &str| Broken::Format(format!("change {}: {what}", item.serial));
        let position = follower.position.as_mut().ok_or_else(|| format("comes before the greeting"))?;
        let (operation, body) = item.link().ok_or(Broken::Form(item.serial))?;
        let chain = position.chain.next(item.serial, operation, &body);
        if Some(item.serial) != position.serial.checked_add(1) || Chain::parse(&item.chain) != Some(chain) {
            return Err(Broken::Chain(item.serial));
        }
        (position.serial, position.chain) = (item.serial, chain);
        let reached = *position;
        let at = reached.position(item.serial);
        let stretch = Some(follower.stretch);
        self.note_key(item);
        match self.take(item, at, stretch) {
            Ok(()) => {}
            Err(refusal) if refusal.is_conflict() => {
                self.env.metrics.refused(Via::Feed, &refusal);
                tracing::debug!("change {} of the primary {} is not taken: {refusal}", item.serial, self.primary());
                // Unless a later change brings what is here, the primary went back and was then written to.
                named(item).for_each(|key| self.held.is_ahead(&key));
            }
            Err(refusal) => {
                self.env.metrics.refused(Via::Feed, &refusal);
                if let Some(held_back) = self.refusals.turn(std::time::Instant::now()) {
                    let (serial, primary) = (item.serial, self.primary());
                    tracing::warn!("change {serial} of the primary {primary} is rejected: {refusal}{held_back}");
                }
                // It may be that we are the one who is behind, with an old operator JWT: what is held is not current.
                self.held.doubt(named(item));
            }
        }
        self.comparisons.touch(named(item));
        self.applied(reached, follower.stretch);
        self.relay.pass(item, reached);
        if item.serial >= follower.target {
            self.go_live(follower, item.serial);
        }
        self.env.metrics.replica_feed_lag.observe(seconds_since(item.at));
        Ok(())
    }

    fn take(self: &Arc<Self>, item: &Item, at: crate::gate::Position, stretch: Option<u64>) -> Result<(), Refusal> {
        match (item.kind.as_str(), &item.jwt) {
            (KIND_ACCOUNT, _) => {}
            (KIND_ACTIVATION, _) => {
                self.take_activation(item, at);
                return Ok(());
            }
            (KIND_OPERATOR, Some(_)) => {
                self.take_operator_item(item, Via::Feed);
                return Ok(());
            }
            _ => return Ok(()),
        }
        let now = clock::unix_seconds();
        if let Some(jwt) = &item.jwt {
            let expected = item.key.as_deref().and_then(|key| AccountKey::parse(key).ok());
            let entry = Arc::new(self.env.gate.admit(jwt.as_bytes(), expected.as_ref(), Via::Feed, now)?);
            let key = *entry.key();
            match self.held.offer(entry, Via::Feed, Some(at), stretch, None)? {
                Offer::Taken(_) => self.env.metrics.accepted(Via::Feed),
                Offer::Kept => {}
                Offer::Refetch => {
                    self.held.doubt([key]);
                    self.refetch(key);
                }
            }
        } else if let Some(request) = &item.request {
            let tombstone = self.env.gate.admit_delete(request.as_bytes(), Via::Feed, now)?;
            self.held.bury(&tombstone, Some(at));
            self.held.is_ahead_of(&tombstone, tombstone.keys());
            self.env.metrics.accepted(Via::Feed);
        } else if item.op == "remove" {
            self.held.forget(named(item));
        } else {
            // A version that is no longer kept. The one that replaced it follows; until then, ours is not current.
            self.held.doubt(named(item));
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds_since(at: i64) -> f64 {
    clock::unix_millis().saturating_sub(at).max(0) as f64 / 1000.0
}

/// The accounts that a change names.
fn named(item: &Item) -> impl Iterator<Item = AccountKey> {
    item.key.iter().chain(&item.keys).filter_map(|key| AccountKey::parse(key).ok())
}
