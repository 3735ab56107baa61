//! Following the primary's change feed.
//!
//! An unbroken run of changes is a *stretch*. What was confirmed within the stretch that is live now is current. A feed
//! that comes back and goes on where it stopped continues its stretch; one that cannot (another session, another chain)
//! begins a new one, and what was cached before is asked about again when it is next wanted.

mod apply;
mod error;
mod pack;
mod sse;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

use super::parts::Parts;
use super::relay::Relay;
use super::report::Reporting;
use super::resync::Resync;
use crate::backoff::drawn;
use crate::feed::Head;
use crate::upstream::UpstreamError;
use error::FeedError;

/// A feed that says nothing for this long is given up. The primary's heartbeat comes every 2 seconds.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a primary without a feed is left alone before it is asked for one again.
const NO_FEED: Duration = Duration::from_secs(10);

/// A server that answers again is asked for its feed no sooner than this after the last time.
const NOT_SOONER: Duration = Duration::from_millis(100);

/// A feed that lived for this long was a good one: what comes after it is a new failure.
const STEADY: Duration = Duration::from_secs(10);

/// What following the feed takes. Where the follower stands is only in its task.
#[derive(Debug)]
pub(super) struct Follow {
    parts: Parts,
    resync: Arc<Resync>,
    relay: Arc<Relay>,
    reporting: Arc<Reporting>,
}

/// Where the follower stands.
#[derive(Debug, Default)]
struct FollowerState {
    position: Option<Head>,
    /// Where the primary stood when it last said so.
    target: u64,
    /// When the primary itself said so, in milliseconds of [`crate::clock::uptime_millis`].
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

impl Follow {
    pub(super) const fn new(parts: Parts, resync: Arc<Resync>, relay: Arc<Relay>, reporting: Arc<Reporting>) -> Self {
        Self { parts, resync, relay, reporting }
    }

    /// Follows the feed for as long as the process lives, whatever happens to the primary.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let following = tokio::spawn(self.clone().follow_on()).await;
            // It does not end by itself.
            self.parts.held.freshness.has_caught_up(0, true);
            if let Err(error) = following {
                tracing::error!("following the primary failed, and begins again: {error}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn follow_on(self: Arc<Self>) {
        let stand = self.parts.held.positions.stand();
        let mut follower =
            FollowerState { position: stand.position, stretch: stand.stretch, ..FollowerState::default() };
        if let Some(position) = stand.position.filter(|_| !self.parts.held.positions.has_joined()) {
            // An earlier process was comparing what it held, and did not come to the end.
            self.resync.begin(position, stand.stretch);
        }
        loop {
            let broken = match self.run(&mut follower).await {
                Ok(never) => match never {},
                Err(broken) => broken,
            };
            self.parts.held.freshness.has_caught_up(0, true);
            self.parts.env.metrics.replica_feed_connected.set(0);
            let pause = self.after(&mut follower, &broken);
            let sooner = self.reached_again(&broken);
            // Whichever comes first.
            let _ = timeout(pause, sooner).await;
        }
    }

    /// Ends when the server, which could not be reached, has answered somebody.
    async fn reached_again(&self, broken: &FeedError) {
        match broken {
            FeedError::Upstream(UpstreamError::Connect(_) | UpstreamError::Transport(_))
            | FeedError::Silent
            | FeedError::Ended => {
                // Its feed alone may be broken: that is not asked for at every request.
                tokio::time::sleep(NOT_SOONER).await;
                self.parts.held.freshness.reached().await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Decides how to go on after a break: how long to wait, and whether the position still stands.
    fn after(self: &Arc<Self>, follower: &mut FollowerState, broken: &FeedError) -> Duration {
        if follower.live_since.take().is_some_and(|since| since.elapsed() > STEADY) {
            (follower.failures, follower.restarts) = (0, 0);
        }
        self.reporting.feed_leads_on(!matches!(broken, FeedError::Loop(_)));
        match broken {
            FeedError::Moved => return Duration::ZERO,
            FeedError::Silent | FeedError::Loop(_) => self.parts.upstream.feed_failed(&broken.to_string()),
            // Once may be a matter of where we stood.
            FeedError::Format(_) | FeedError::Form(_) | FeedError::Chain(_) if follower.failures > 1 => {
                self.parts.upstream.feed_failed(&broken.to_string());
            }
            _ => {}
        }
        match broken {
            // The position is given up, whatever else: we begin again wherever the primary stands.
            FeedError::Upstream(UpstreamError::Status(StatusCode::GONE)) | FeedError::Chain(_) | FeedError::Form(_)
                if follower.position.take().is_some() =>
            {
                tracing::warn!(
                    "the primary {} has another history than the one followed ({broken}); what is held is compared with it",
                    self.parts.upstream.shown()
                );
                // It is there: only who is told so again and again waits longer.
                let pause = Duration::from_millis(10 << (2 * follower.restarts));
                follower.restarts = (follower.restarts + 1).min(4);
                return drawn(pause, 0.5..=1.0);
            }
            FeedError::Upstream(UpstreamError::Status(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) => {
                if !std::mem::replace(&mut follower.told, true) {
                    tracing::info!(
                        "the primary {} has no change feed; entries are checked again after {:?}",
                        self.parts.upstream.shown(),
                        self.parts.env.setup.ttl
                    );
                }
                self.relay.stop();
                // Without a feed this is the only way to learn of a change.
                self.parts.operators.ask();
                if self.parts.env.is_mirror() && !std::mem::replace(&mut follower.packed, true) {
                    self.begin_with_pack();
                }
                return drawn(NO_FEED, 0.5..=1.0);
            }
            FeedError::Loop(_) if !std::mem::replace(&mut follower.told, true) => {
                tracing::error!("the change feed of {} is not followed: {broken}", self.parts.upstream.shown());
            }
            // That is in the log already.
            FeedError::Upstream(error) if error.is_told() => {}
            _ if follower.failures == 0 => {
                tracing::warn!(
                    "the change feed of {} is not to be had: {broken}; what is cached is served meanwhile",
                    self.parts.upstream.shown()
                );
            }
            _ => {}
        }
        follower.failures = (follower.failures + 1).min(6);
        drawn(Duration::from_millis(50 << follower.failures), 0.5..=1.0)
    }
}
