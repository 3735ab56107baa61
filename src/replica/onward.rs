//! The feed of a replica, for the replicas that follow it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::relay::{Relay, RelayedChange};
use crate::feed::wire::{Item, Page};
use crate::feed::{Catchup, Head, Ring};
use crate::node::{FeedPiece, FeedPlace, FeedSource, Located, RecentChanges};
use crate::store::StoreError;

/// How long the feed waits for a position that a follower has from a faster server.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The shortest age gain that is worth a heartbeat, in milliseconds. Without it, a circle of replicas would send
/// heartbeats for ever.
const NEWS: u64 = 500;

/// The changes of one ring of a replica.
#[derive(Debug)]
pub(super) struct RelayFeed {
    pub(super) held: Arc<Held>,
    pub(super) relay: Arc<Relay>,
    /// The name of this process on the wire.
    pub(super) name: Arc<str>,
    pub(super) ring: Arc<Ring<RelayedChange>>,
}

impl FeedSource for RelayFeed {
    fn head(&self) -> Head {
        self.ring.head()
    }

    fn watch(&self) -> watch::Receiver<Head> {
        self.ring.watch()
    }

    fn ended(&self) -> &CancellationToken {
        self.ring.ended()
    }

    fn is_news(&self, told: Instant) -> bool {
        told.elapsed() > Duration::from_millis(self.held.freshness.primary_age().saturating_add(NEWS))
    }

    fn place(&self, serial: u64) -> BoxFuture<'_, Result<FeedPlace, StoreError>> {
        async move {
            let mut watch = self.ring.watch();
            let reached = timeout(CATCH_UP, watch.wait_for(|head| head.serial >= serial));
            if reached.await.is_err() && !self.held.freshness.is_following() {
                return Ok(FeedPlace::Ahead);
            }
            Ok(self.ring.chain_at(serial).map_or(FeedPlace::Elsewhere, FeedPlace::At))
        }
        .boxed()
    }

    fn locate<'a>(&'a self, position: &'a Head) -> BoxFuture<'a, Result<Located, StoreError>> {
        let head = self.ring.head();
        ready(Ok(if head.session != position.session {
            Located::Elsewhere
        } else if position.serial > head.serial {
            Located::Ahead
        } else if position.serial < self.ring.floor() || self.ring.chain_at(position.serial) == Some(position.chain) {
            // A position below the floor is not known here. The primary checks the chain value of the lowest position.
            Located::Here
        } else {
            Located::Elsewhere
        }))
        .boxed()
    }

    fn weight_after(&self, serial: u64) -> Option<usize> {
        self.ring.weight_after(serial)
    }

    fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        match self.ring.after(serial, piece.changes, piece.bytes) {
            Catchup::Changes(changes) => {
                RecentChanges::Changes(changes.iter().map(|passed| passed.item().clone()).collect())
            }
            Catchup::TooOld => RecentChanges::Gone,
        }
    }

    fn on_disk(&self, _serial: u64, _piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    fn complete(&self, page: Page) -> Page {
        // The replicas between the primary and the followers; this one is the last.
        let mut via = self.relay.via();
        via.push(self.name.to_string());
        Page { floor: self.ring.floor(), age: self.held.freshness.primary_age(), via, ..page }
    }
}
