//! The feed of a replica, for the replicas that follow it: the log of its store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::relay::Relay;
use crate::feed::Head;
use crate::feed::wire::{Item, Page};
use crate::node::{FeedPiece, FeedPlace, FeedSource, JournalFeed, Located, RecentChanges};
use crate::store::StoreError;

/// How long the feed waits for a position that a follower has from a faster server.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The shortest age gain that is worth a heartbeat, in milliseconds. Without it, a circle of replicas would send
/// heartbeats for ever.
const NEWS: u64 = 500;

/// The changes that a replica passes on.
#[derive(Debug)]
pub(super) struct RelayFeed {
    pub(super) held: Arc<Held>,
    pub(super) relay: Arc<Relay>,
    /// The name of this process on the wire.
    pub(super) name: Arc<str>,
    pub(super) feed: JournalFeed,
}

impl FeedSource for RelayFeed {
    fn head(&self) -> Head {
        self.feed.head()
    }

    fn watch(&self) -> watch::Receiver<Head> {
        self.feed.watch()
    }

    fn ended(&self) -> &CancellationToken {
        self.feed.ended()
    }

    fn is_news(&self, told: Instant) -> bool {
        told.elapsed() > Duration::from_millis(self.held.freshness.primary_age().saturating_add(NEWS))
    }

    fn place(&self, serial: u64) -> BoxFuture<'_, Result<FeedPlace, StoreError>> {
        async move {
            let mut watch = self.feed.watch();
            let reached = timeout(CATCH_UP, watch.wait_for(|head| head.serial >= serial));
            if reached.await.is_err() && !self.held.freshness.is_following() {
                return Ok(FeedPlace::Ahead);
            }
            Ok(self.feed.chain_at(serial).await?.map_or(FeedPlace::Elsewhere, FeedPlace::At))
        }
        .boxed()
    }

    fn locate<'a>(&'a self, position: &'a Head) -> BoxFuture<'a, Result<Located, StoreError>> {
        async move {
            let is_ours = self.feed.head().session == position.session;
            if is_ours && position.serial < self.feed.floor() {
                // What is below the floor is not known here. The primary checks the chain value of the lowest position.
                return Ok(Located::Here);
            }
            self.feed.locate(position).await
        }
        .boxed()
    }

    fn weight_after(&self, serial: u64) -> Option<usize> {
        self.feed.weight_after(serial)
    }

    fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        self.feed.in_memory(serial, piece)
    }

    fn on_disk(&self, serial: u64, piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>> {
        self.feed.on_disk(serial, piece).boxed()
    }

    fn complete(&self, page: Page) -> Page {
        // The replicas between the primary and the followers; this one is the last.
        let mut via = self.relay.via();
        via.push(self.name.to_string());
        Page { age: self.held.freshness.primary_age(), via, ..self.feed.complete(page) }
    }
}
