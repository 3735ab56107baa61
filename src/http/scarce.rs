//! What clients share because there is little of it, and the bounds of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::follower_places::{self, FollowerPlace, FollowerPlaces, Full, GaveWay};
use super::pace::Pace;
use super::peer::Client;
use super::turns::{self, Turns};
use crate::metrics::Metrics;
use crate::throttle::Throttle;

/// Followers of the change feed at the same time.
const FOLLOWERS: usize = 2_000;

/// Bytes that were read for clients and that the connections have not taken yet. A client has to take 64 KiB of them in a
/// second, after 5 seconds, while others wait.
const SENDING: turns::Bounds = turns::Bounds {
    most: 16 << 20,
    spare: 8 << 20,
    each: 8 << 20,
    // Each has a place among the followers, or a connection.
    waiting_each: usize::MAX,
    waiting: usize::MAX,
    patience: Duration::from_secs(5),
    rate: 64 << 10,
};

/// Comparisons that are made at the same time. How long one takes is not the client's doing.
const COMPARISONS: turns::Bounds = turns::Bounds {
    most: 2,
    spare: 0,
    each: 2,
    waiting_each: 32,
    waiting: 128,
    patience: Duration::from_secs(3_600),
    rate: 1,
};

/// Lists of the API that are read at the same time: each reads for about 15 ms.
const LISTS: turns::Bounds = turns::Bounds { waiting_each: 64, waiting: 256, ..COMPARISONS };

/// Checks of the API that are made at the same time. Each reads for two seconds at most.
const CHECKS: turns::Bounds = turns::Bounds { most: 1, each: 1, ..LISTS };

/// Packs that are sent at the same time. A client has to take each piece, of about 1 MiB at most, in 5 seconds while others
/// wait.
const PACKS: turns::Bounds = turns::Bounds {
    most: 6,
    spare: 2,
    each: 2,
    waiting_each: 4,
    waiting: 32,
    patience: Duration::from_secs(5),
    rate: 1 << 10,
};

/// Pieces of the history that are read from the journal at the same time.
const REPLAYS: usize = 1;

/// What clients share.
#[derive(Debug)]
pub(super) struct Scarce {
    /// Places of followers.
    followers: FollowerPlaces,
    /// Memory for what is on its way, in bytes.
    pub(super) sending: Turns,
    /// Turns at reading old changes.
    pub(super) replays: Arc<Semaphore>,
    /// Turns at comparing.
    pub(super) comparisons: Turns,
    /// Turns at lists of the API.
    pub(super) lists: Turns,
    /// Turns at checks of the API.
    pub(super) checks: Turns,
    /// The pace of comparisons in the background.
    pub(super) pace: Pace,
    /// Turns at packs.
    pub(super) packs: Turns,
    metrics: Arc<Metrics>,
    gave_way: Throttle,
}

impl Scarce {
    /// `connections`: those that the server has at most. Half of them are for requests that end.
    pub(super) fn new(metrics: Arc<Metrics>, connections: usize) -> Self {
        let most = FOLLOWERS.min(connections / 2).max(1);
        let followers = follower_places::Bounds { most, strangers: most.div_ceil(2), strangers_each: most.div_ceil(4) };
        let cut_off = |what| metrics.http.readers_cut_off.of([what]);
        Self {
            followers: FollowerPlaces::new(followers),
            sending: Turns::new(SENDING, cut_off("answer")),
            replays: Arc::new(Semaphore::new(REPLAYS)),
            comparisons: Turns::new(COMPARISONS, cut_off("answer")),
            lists: Turns::new(LISTS, cut_off("answer")),
            checks: Turns::new(CHECKS, cut_off("answer")),
            pace: Pace::new(),
            packs: Turns::new(PACKS, cut_off("pack")),
            gave_way: Throttle::every(Duration::from_secs(10)),
            metrics,
        }
    }

    /// A place for a follower, if need be that of another one.
    pub(super) fn follow(&self, client: Client) -> Result<FollowerPlace, Full> {
        let (place, gave_way) = self.followers.enter(client)?;
        if let Some(GaveWay { address, why }) = gave_way {
            self.metrics.followers.displaced.inc([why.label()]);
            if let Some(held_back) = self.gave_way.turn(Instant::now()) {
                let (why, other) = (why.text(), client.address);
                tracing::warn!("a follower at {address} lost its place to one at {other}: {why}{held_back}");
            }
        }
        Ok(place)
    }
}
