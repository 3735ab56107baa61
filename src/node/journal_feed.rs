//! The feed of a journal: its recent changes from memory, older ones from disk. Both roles offer it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::follow::{FeedPiece, Located, RecentChanges};
use crate::feed::wire::{Item, Page};
use crate::feed::{Catchup, Chain, Change, Head, Ring};
use crate::store::{JournalReader, StoreError, blocking};

/// The log of one order of changes.
#[derive(Debug)]
pub struct JournalFeed {
    journal: Arc<JournalReader>,
    ring: Arc<Ring>,
}

impl JournalFeed {
    /// The log of a journal as it is now. It ends when another order begins.
    pub fn new(journal: Arc<JournalReader>) -> Self {
        let ring = journal.ring();
        Self { journal, ring }
    }

    /// The newest position.
    pub fn head(&self) -> Head {
        self.ring.head()
    }

    /// A handle that is notified of each change.
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.ring.watch()
    }

    /// Cancelled when another order has begun.
    pub fn ended(&self) -> &CancellationToken {
        self.ring.ended()
    }

    /// The lowest serial from which a follower can continue.
    pub fn floor(&self) -> u64 {
        self.journal.floor()
    }

    /// The chain value after a change. `None`: the log does not have it.
    pub async fn chain_at(&self, serial: u64) -> Result<Option<Chain>, StoreError> {
        if let Some(chain) = self.ring.chain_at(serial) {
            return Ok(Some(chain));
        }
        if self.ended().is_cancelled() {
            return Ok(None);
        }
        let journal = self.journal.clone();
        blocking(move || journal.chain_at(serial)).await
    }

    /// Looks for a position, and does not wait for it.
    pub async fn locate(&self, position: &Head) -> Result<Located, StoreError> {
        let head = self.head();
        if head.session != position.session {
            return Ok(Located::Elsewhere);
        }
        if position.serial > head.serial {
            return Ok(Located::Ahead);
        }
        let chain = self.chain_at(position.serial).await?;
        Ok(if chain == Some(position.chain) { Located::Here } else { Located::Elsewhere })
    }

    /// Bytes that the first change after a serial takes, if it is in memory.
    pub fn weight_after(&self, serial: u64) -> Option<usize> {
        self.ring.weight_after(serial)
    }

    /// The changes after a serial that are in memory.
    pub fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        match self.ring.after(serial, piece.changes, piece.bytes) {
            Catchup::Changes(changes) => RecentChanges::Changes(items(&changes)),
            Catchup::TooOld => RecentChanges::Behind,
        }
    }

    /// The changes after a serial that are not in memory any more. `None`: they are below the floor.
    pub async fn on_disk(&self, serial: u64, piece: FeedPiece) -> Result<Option<Vec<Item>>, StoreError> {
        if serial < self.floor() || self.ended().is_cancelled() {
            return Ok(None);
        }
        let (journal, session) = (self.journal.clone(), self.head().session);
        blocking(move || {
            let found = journal.some_after(serial, piece.changes, piece.bytes)?;
            Ok((journal.head().session == session).then(|| items(&found)))
        })
        .await
    }

    /// Adds the floor to a page.
    pub fn complete(&self, page: Page) -> Page {
        Page { floor: self.floor(), ..page }
    }
}

fn items(changes: &[Arc<Change>]) -> Vec<Item> {
    changes.iter().map(|change| Item::from(&**change)).collect()
}
