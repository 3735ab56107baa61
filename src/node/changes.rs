//! The change feed, as this server can offer it: a primary from its journal, a replica from what it received.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Node, Role};
use crate::feed::wire::{Item, Page};
use crate::feed::{Catchup, Chain, Head, Ring};
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
#[derive(Debug)]
pub struct Changes(Origin);

#[derive(Debug)]
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

    /// The changes after a serial, in order, at most `limit` of them and about 1 MiB of token text. `None`: this server
    /// cannot go on from there any more.
    pub async fn after(&self, serial: u64, limit: usize) -> Result<Option<Vec<Item>>, StoreError> {
        let changes = match &self.0 {
            Origin::Journal(primary) => match primary.ring().after(serial, limit) {
                // Who keeps up is served from memory, without a detour over another thread.
                Catchup::Changes(changes) => changes,
                Catchup::TooOld => {
                    let primary = primary.clone();
                    blocking(move || primary.journal().changes_after(serial, limit)).await?
                }
            },
            Origin::Relay(_, ring) => {
                return Ok(match ring.after(serial, limit) {
                    Catchup::Changes(changes) => Some(changes.iter().map(|passed| passed.item().clone()).collect()),
                    Catchup::TooOld => None,
                });
            }
        };
        Ok(Some(changes.iter().map(|change| Item::from(&**change)).collect()))
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

async fn blocking<T: Send + 'static>(
    query: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(query).await.map_err(|_| StoreError::Closed)?
}
