//! The feed of a primary: the journal's recent changes from memory, older ones from disk.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Primary;
use crate::feed::wire::{Item, Page};
use crate::feed::{Catchup, Change, Head};
use crate::node::{FeedPiece, FeedPlace, FeedSource, Located, RecentChanges};
use crate::store::{StoreError, blocking};

/// The changes of a primary's journal.
#[derive(Debug)]
pub(super) struct JournalFeed(pub(super) Arc<Primary>);

impl FeedSource for JournalFeed {
    fn head(&self) -> Head {
        self.0.ring().head()
    }

    fn watch(&self) -> watch::Receiver<Head> {
        self.0.ring().watch()
    }

    fn ended(&self) -> &CancellationToken {
        self.0.ring().ended()
    }

    fn is_news(&self, _told: Instant) -> bool {
        false
    }

    fn place(&self, serial: u64) -> BoxFuture<'_, Result<FeedPlace, StoreError>> {
        let primary = self.0.clone();
        blocking(move || Ok(primary.journal().chain_at(serial)?.map_or(FeedPlace::Elsewhere, FeedPlace::At))).boxed()
    }

    fn locate<'a>(&'a self, position: &'a Head) -> BoxFuture<'a, Result<Located, StoreError>> {
        async move {
            let (ring, serial) = (self.0.ring(), position.serial);
            if ring.head().session != position.session {
                return Ok(Located::Elsewhere);
            }
            let chain = match ring.chain_at(serial) {
                Some(chain) => Some(chain),
                None => {
                    let primary = self.0.clone();
                    blocking(move || primary.journal().chain_at(serial)).await?
                }
            };
            Ok(if chain == Some(position.chain) { Located::Here } else { Located::Elsewhere })
        }
        .boxed()
    }

    fn weight_after(&self, serial: u64) -> Option<usize> {
        self.0.ring().weight_after(serial)
    }

    fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        match self.0.ring().after(serial, piece.changes, piece.bytes) {
            Catchup::Changes(changes) => RecentChanges::Changes(items(&changes)),
            Catchup::TooOld => RecentChanges::Behind,
        }
    }

    fn on_disk(&self, serial: u64, piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>> {
        let primary = self.0.clone();
        let read = move || Ok(Some(items(&primary.journal().some_after(serial, piece.changes, piece.bytes)?)));
        blocking(read).boxed()
    }

    fn complete(&self, page: Page) -> Page {
        // The journal keeps every chain value, so a follower can go on from anywhere.
        page
    }
}

fn items(changes: &[Arc<Change>]) -> Vec<Item> {
    changes.iter().map(|change| Item::from(&**change)).collect()
}
