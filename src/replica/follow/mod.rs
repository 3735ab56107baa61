//! Follows the change feed of the primary.
//!
//! An unbroken run of changes is a *stretch*, and keeps current what it confirms. A feed that continues where it stopped
//! continues its stretch. One that cannot (another session, another chain) begins a new one at upstream's present end, and
//! a comparison finds what else has changed.

mod apply;
mod error;
mod pack;
mod sse;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use reqwest::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::parts::Parts;
use super::relay::Relay;
use super::report::Reporting;
use super::resync::Resync;
use crate::backoff::drawn;
use crate::feed::Head;
use crate::upstream::UpstreamError;
use error::FeedError;

/// A feed that is silent for this long is given up. The primary's heartbeat comes every 2 seconds.
const SILENCE: Duration = Duration::from_secs(5);
/// The longest pause before a primary without a feed is asked for one again.
const NO_FEED: Duration = Duration::from_secs(10);

/// The shortest pause before a server that answers again is asked for its feed.
const NOT_SOONER: Duration = Duration::from_millis(100);

/// A feed that lived this long was healthy: a later failure counts as the first.
const STEADY: Duration = Duration::from_secs(10);

/// What following the feed takes. The state of the follower lives in its task.
#[derive(Debug)]
pub(super) struct Follow {
    parts: Parts,
    resync: Arc<Resync>,
    relay: Arc<Relay>,
    reporting: Arc<Reporting>,
}

/// The state of the follower.
#[derive(Debug, Default)]
struct FollowerState {
    position: Option<Head>,
    /// The position of the primary when it last sent one.
    target: u64,
    /// When the primary itself sent it, in milliseconds of [`crate::clock::uptime_millis`].
    heard: i64,
    failures: u32,
    /// How often the position was given up.
    restarts: u32,
    told: bool,
    /// Reads the pack of a primary without a feed. Its result: whether that reached the end.
    packing: Option<JoinHandle<bool>>,
    has_tried_pack: bool,
    /// Whether a pack was read.
    is_packed: bool,
    live_since: Option<Instant>,
    /// Whether the stream has sent its greeting.
    greeted: bool,
    /// When the followers of this replica were last woken for a heartbeat.
    woken: Option<Instant>,
    /// Where the feed stands while it has not come to the place of an answer, that place, and since when.
    awaited: Option<((u64, u64), Instant)>,
}

impl FollowerState {
    /// Whether a pack was not read to its end, and none is being read.
    fn needs_pack(&mut self) -> bool {
        match self.packing.take_if(|packing| packing.is_finished()) {
            // What it returned is there already.
            Some(ended) => {
                let is_whole = ended.now_or_never().is_some_and(|ended| ended.unwrap_or(false));
                self.is_packed |= is_whole;
                !self.is_packed
            }
            None => !self.is_packed && self.packing.is_none(),
        }
    }
}

impl Follow {
    pub(super) const fn new(parts: Parts, resync: Arc<Resync>, relay: Arc<Relay>, reporting: Arc<Reporting>) -> Self {
        Self { parts, resync, relay, reporting }
    }

    /// Follows the feed as long as the process lives, whatever happens to the primary.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let following = tokio::spawn(self.clone().follow_on()).await;
            // Only a panic ends it.
            self.parts.held.freshness.has_caught_up(false);
            if let Err(error) = following {
                tracing::error!("the follower of the primary failed, and starts again: {error}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn follow_on(self: Arc<Self>) {
        let stand = self.parts.held.store.stand();
        let mut follower = FollowerState { position: stand.position, ..FollowerState::default() };
        if let Some(position) = stand.position.filter(|_| !stand.is_level) {
            // An earlier process did not finish a comparison.
            self.resync.begin(position);
        }
        loop {
            let broken = match self.run(&mut follower).await {
                Ok(never) => match never {},
                Err(broken) => broken,
            };
            self.parts.held.freshness.has_caught_up(false);
            self.parts.env.metrics.replica.feed_connected.set(0);
            let pause = self.after(&mut follower, &broken);
            let sooner = self.reached_again(&broken);
            // Whichever comes first.
            let _ = timeout(pause, sooner).await;
        }
    }

    /// Ends when the server, which was unreachable, has answered a request.
    async fn reached_again(&self, broken: &FeedError) {
        match broken {
            FeedError::Upstream(UpstreamError::Connect(_) | UpstreamError::Transport(_))
            | FeedError::Silent
            | FeedError::Ended => {
                // The feed alone may be broken, so not every answer leads to a request for it.
                tokio::time::sleep(NOT_SOONER).await;
                self.parts.held.freshness.reached().await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Decides what follows a break: the pause, and whether the position is still valid.
    fn after(self: &Arc<Self>, follower: &mut FollowerState, broken: &FeedError) -> Duration {
        if follower.live_since.take().is_some_and(|since| since.elapsed() > STEADY) {
            (follower.failures, follower.restarts) = (0, 0);
        }
        self.reporting.feed_leads_on(!matches!(broken, FeedError::Loop(_)));
        match broken {
            FeedError::Moved => return Duration::ZERO,
            FeedError::Silent | FeedError::Loop(_) => self.parts.upstream.feed_failed(&broken.to_string()),
            // A single failure may depend on our position.
            FeedError::Format(_) | FeedError::Form(_) | FeedError::Chain(_) if follower.failures > 1 => {
                self.parts.upstream.feed_failed(&broken.to_string());
            }
            _ => {}
        }
        match broken {
            // The position is given up. The follower begins at the current one of the primary.
            FeedError::Upstream(UpstreamError::Status(StatusCode::GONE)) | FeedError::Chain(_) | FeedError::Form(_)
                if follower.position.take().is_some() =>
            {
                tracing::warn!(
                    "the primary {} has another history than the one followed ({broken}); this replica compares what it holds with it",
                    self.parts.upstream.shown()
                );
                // The server is up. The pause grows only if this happens repeatedly.
                let pause = Duration::from_millis(10 << (2 * follower.restarts));
                follower.restarts = (follower.restarts + 1).min(4);
                return drawn(pause, 0.5..=1.0);
            }
            FeedError::Upstream(UpstreamError::Status(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) => {
                if !std::mem::replace(&mut follower.told, true) {
                    tracing::info!(
                        "the primary {} has no change feed; this replica checks JWTs again after {:?}",
                        self.parts.upstream.shown(),
                        self.parts.env.setup.ttl
                    );
                }
                if self.relay.stop() {
                    self.parts.held.store.reader().end_feed();
                }
                // Without a feed this is the only way to learn of a change.
                self.parts.operators.ask();
                if (self.parts.env.is_mirror() || self.parts.env.is_warm()) && follower.needs_pack() {
                    let is_first = !std::mem::replace(&mut follower.has_tried_pack, true);
                    follower.packing = Some(self.begin_with_pack(is_first));
                }
                return drawn(NO_FEED, 0.5..=1.0);
            }
            FeedError::Loop(_) if !std::mem::replace(&mut follower.told, true) => {
                tracing::error!("cannot follow the change feed of {}: {broken}", self.parts.upstream.shown());
            }
            // The client has logged it.
            FeedError::Upstream(error) if error.is_told() => {}
            _ if follower.failures == 0 => {
                tracing::warn!(
                    "cannot read the change feed of {}: {broken}; serving from cache",
                    self.parts.upstream.shown()
                );
            }
            _ => {}
        }
        follower.failures = (follower.failures + 1).min(6);
        drawn(Duration::from_millis(50 << follower.failures), 0.5..=1.0)
    }
}
