//! The feed of a primary: that of its journal.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feed::Head;
use crate::feed::wire::{Item, Page};
use crate::node::{FeedPiece, FeedPlace, FeedSource, JournalFeed, Located, RecentChanges};
use crate::store::StoreError;

/// The changes of a primary's journal.
#[derive(Debug)]
pub(super) struct PrimaryFeed(pub(super) JournalFeed);

impl FeedSource for PrimaryFeed {
    fn head(&self) -> Head {
        self.0.head()
    }

    fn watch(&self) -> watch::Receiver<Head> {
        self.0.watch()
    }

    fn ended(&self) -> &CancellationToken {
        self.0.ended()
    }

    fn is_news(&self, _told: Instant) -> bool {
        false
    }

    fn place(&self, serial: u64) -> BoxFuture<'_, Result<FeedPlace, StoreError>> {
        async move { Ok(self.0.chain_at(serial).await?.map_or(FeedPlace::Elsewhere, FeedPlace::At)) }.boxed()
    }

    fn locate<'a>(&'a self, position: &'a Head) -> BoxFuture<'a, Result<Located, StoreError>> {
        async move {
            Ok(match self.0.locate(position).await? {
                // Nobody is ahead of a primary in its own history.
                Located::Ahead => Located::Elsewhere,
                found => found,
            })
        }
        .boxed()
    }

    fn weight_after(&self, serial: u64) -> Option<usize> {
        self.0.weight_after(serial)
    }

    fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        self.0.in_memory(serial, piece)
    }

    fn on_disk(&self, serial: u64, piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>> {
        self.0.on_disk(serial, piece).boxed()
    }

    fn complete(&self, page: Page) -> Page {
        self.0.complete(page)
    }
}
