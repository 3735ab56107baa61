//! The change feed, as this server can offer it: a primary from its journal, a replica from what it received.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Node, Role};
use crate::feed::wire::{Item, Page};
use crate::feed::{Catchup, Chain, Change, Head, Ring};
use crate::primary::Primary;
use crate::replica::{Onward, Passed, Replica};
use crate::store::StoreError;

/// How long a follower that is ahead of this replica waits for it: it may have been with another one that is faster.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Milliseconds that make it worth to be told: in a circle of replicas it would be told for ever.
const NEWS: u64 = 500;

/// Whether there is a feed to be followed.
#[derive(Debug)]
pub enum Feed {
    /// This one.
    Open(Changes),
    /// This replica has not followed its primary yet.
    NotYet,
    /// This replica's primary has none.
    None,
}

/// One unbroken history, to be followed.
#[derive(Debug, Clone)]
pub struct Changes(Origin);

#[derive(Debug, Clone)]
enum Origin {
    Journal(Arc<Primary>),
    Relay(Arc<Replica>, Arc<Ring<Passed>>),
}

/// What is known of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The chain value there.
    At(Chain),
    /// It is not in this history, or too far back.
    Elsewhere,
    /// This server may get there.
    Ahead,
}

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Changes, at most.
    pub changes: usize,
    /// Bytes of token text, about: the change with which they are reached is the last one.
    pub bytes: usize,
}

/// What is in memory of the changes after a serial.
#[derive(Debug)]
pub enum Recent {
    /// These; none, if there are none yet.
    Changes(Vec<Item>),
    /// They have to be read from the journal.
    Behind,
    /// The first one alone is larger than the piece.
    Large,
    /// This server cannot go on from there.
    Gone,
}

impl Node {
    /// The order of changes that others can follow.
    pub fn feed(&self) -> Feed {
        match self.role() {
            Role::Primary(primary) => Feed::Open(Changes(Origin::Journal(primary.clone()))),
            Role::Replica(replica) => match replica.onward() {
                Onward::Ring(ring) => Feed::Open(Changes(Origin::Relay(replica.clone(), ring))),
                Onward::NotYet => Feed::NotYet,
                Onward::None => Feed::None,
            },
        }
    }
}

impl Changes {
    /// Where the history stands here.
    pub fn head(&self) -> Head {
        match &self.0 {
            Origin::Journal(primary) => primary.ring().head(),
            Origin::Relay(_, ring) => ring.head(),
        }
    }

    /// A handle that is told whenever there is something to say.
    pub fn watch(&self) -> watch::Receiver<Head> {
        match &self.0 {
            Origin::Journal(primary) => primary.ring().watch(),
            Origin::Relay(_, ring) => ring.watch(),
        }
    }

    /// Cancelled when nothing will follow, because another history took the place of this one.
    pub fn ended(&self) -> &CancellationToken {
        match &self.0 {
            Origin::Journal(primary) => primary.ring().ended(),
            Origin::Relay(_, ring) => ring.ended(),
        }
    }

    /// Whether the primary was heard since a follower was told of it.
    pub fn is_news(&self, told: Instant) -> bool {
        match &self.0 {
            Origin::Journal(_) => false,
            Origin::Relay(replica, _) => {
                told.elapsed() > Duration::from_millis(replica.primary_age().saturating_add(NEWS))
            }
        }
    }

    /// Looks for a position by its serial. May wait for about a second.
    pub async fn place(&self, serial: u64) -> Result<Place, StoreError> {
        let known = match &self.0 {
            Origin::Journal(primary) => {
                let primary = primary.clone();
                blocking(move || primary.journal().chain_at(serial)).await?
            }
            Origin::Relay(replica, ring) => {
                let mut watch = ring.watch();
                let reached = timeout(CATCH_UP, watch.wait_for(|head| head.serial >= serial));
                if reached.await.is_err() && !replica.is_following() {
                    return Ok(Place::Ahead);
                }
                ring.chain_at(serial)
            }
        };
        Ok(known.map_or(Place::Elsewhere, Place::At))
    }

    /// The changes after a serial that are in memory, in order, within the bounds of a piece.
    pub fn recent(&self, serial: u64, piece: Piece) -> Recent {
        let next = match &self.0 {
            Origin::Journal(primary) => primary.ring().weight_after(serial),
            Origin::Relay(_, ring) => ring.weight_after(serial),
        };
        if next.is_some_and(|bytes| bytes > piece.bytes) { Recent::Large } else { self.in_memory(serial, piece) }
    }

    fn in_memory(&self, serial: u64, piece: Piece) -> Recent {
        let Piece { changes, bytes } = piece;
        match &self.0 {
            Origin::Journal(primary) => match primary.ring().after(serial, changes, bytes) {
                Catchup::Changes(changes) => Recent::Changes(items(&changes)),
                Catchup::TooOld => Recent::Behind,
            },
            Origin::Relay(_, ring) => match ring.after(serial, changes, bytes) {
                Catchup::Changes(changes) => {
                    Recent::Changes(changes.iter().map(|passed| passed.item().clone()).collect())
                }
                Catchup::TooOld => Recent::Gone,
            },
        }
    }

    /// The same, read from the journal if they are not in memory any more. `None`: this server cannot go on from there.
    pub async fn read(&self, serial: u64, piece: Piece) -> Result<Option<Vec<Item>>, StoreError> {
        match (self.in_memory(serial, piece), &self.0) {
            (Recent::Changes(changes), _) => Ok(Some(changes)),
            (Recent::Behind, Origin::Journal(primary)) => {
                let primary = primary.clone();
                let read = move || {
                    let changes = primary.journal().some_after(serial, piece.changes, piece.bytes)?;
                    Ok(items(&changes))
                };
                blocking(read).await.map(Some)
            }
            (Recent::Behind | Recent::Large | Recent::Gone, _) => Ok(None),
        }
    }

    /// What is said to a follower that stands at `at` and gets these changes.
    pub fn page(&self, at: Head, changes: Vec<Item>) -> Page {
        let page = Page::new(at, self.head().serial, changes);
        match &self.0 {
            // The journal keeps every chain value, so a follower can go on from anywhere.
            Origin::Journal(_) => page,
            Origin::Relay(replica, ring) => {
                Page { floor: ring.floor(), age: replica.primary_age(), via: replica.path(), ..page }
            }
        }
    }
}

fn items(changes: &[Arc<Change>]) -> Vec<Item> {
    changes.iter().map(|change| Item::from(&**change)).collect()
}

async fn blocking<T: Send + 'static>(
    query: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(query).await.map_err(|_| StoreError::Closed)?
}
