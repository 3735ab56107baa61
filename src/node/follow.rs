//! What followers ask for: the change feed, the digest tree, and which servers are on the way upstream.
//!
//! A primary offers the feed from its journal, a replica from what it received.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Node, Role};
use crate::feed::digest::{Ask, Comparison, LeafPage, Prefix, View};
use crate::feed::wire::{Item, MAX_HOPS, Page};
use crate::feed::{Chain, Head, Subject};
use crate::store::StoreError;

/// Whether there is a feed to be followed.
#[derive(Debug)]
pub enum Feed {
    /// This one.
    Open(Arc<dyn FeedSource>),
    /// This replica has not followed its primary yet.
    NotYet,
    /// This replica's primary has none.
    None,
}

/// One unbroken history, to be followed.
pub trait FeedSource: std::fmt::Debug + Send + Sync {
    /// The newest position of the history here.
    fn head(&self) -> Head;

    /// A handle that is notified of each change.
    fn watch(&self) -> watch::Receiver<Head>;

    /// Cancelled when nothing will follow, because another history took the place of this one.
    fn ended(&self) -> &CancellationToken;

    /// Whether the primary was heard since `told`, when a follower was last told of it.
    fn is_news(&self, told: Instant) -> bool;

    /// Looks for a position by its serial. May wait for about a second.
    fn place(&self, serial: u64) -> BoxFuture<'_, Result<FeedPlace, StoreError>>;

    /// Looks for a position by its serial and chain value, and does not wait for it.
    fn locate<'a>(&'a self, position: &'a Head) -> BoxFuture<'a, Result<Located, StoreError>>;

    /// Bytes that the first change after a serial takes, if it is in memory.
    fn weight_after(&self, serial: u64) -> Option<usize>;

    /// The changes after a serial that are in memory, at least one if there are any.
    fn in_memory(&self, serial: u64, piece: FeedPiece) -> RecentChanges;

    /// The changes after a serial that are not in memory any more. `None`: this server cannot go on from there.
    fn on_disk(&self, serial: u64, piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>>;

    /// Adds to a page what followers of this server need to know besides its changes.
    fn complete(&self, page: Page) -> Page;

    /// The changes after a serial that are in memory, in order, within the bounds of a piece.
    fn recent(&self, serial: u64, piece: FeedPiece) -> RecentChanges {
        if self.weight_after(serial).is_some_and(|bytes| bytes > piece.bytes) {
            RecentChanges::Large
        } else {
            self.in_memory(serial, piece)
        }
    }

    /// The same, read from the journal if they are not in memory any more. `None`: this server cannot go on from there.
    fn read(&self, serial: u64, piece: FeedPiece) -> BoxFuture<'_, Result<Option<Vec<Item>>, StoreError>> {
        match self.in_memory(serial, piece) {
            RecentChanges::Changes(changes) => ready(Ok(Some(changes))).boxed(),
            RecentChanges::Behind => self.on_disk(serial, piece),
            RecentChanges::Large | RecentChanges::Gone => ready(Ok(None)).boxed(),
        }
    }

    /// The lowest serial from which a follower can continue.
    fn floor(&self) -> u64 {
        self.page(self.head(), Vec::new()).floor
    }

    /// The page for a follower at position `at` that gets these changes.
    fn page(&self, at: Head, changes: Vec<Item>) -> Page {
        self.complete(Page::new(at, self.head().serial, changes))
    }
}

/// What is known of a position that a follower names by its serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedPlace {
    /// The chain value there.
    At(Chain),
    /// It is not in this history, or too far back.
    Elsewhere,
    /// This server may get there.
    Ahead,
}

/// Where a whole position is, seen from this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// On its history.
    Here,
    /// On another history.
    Elsewhere,
    /// On its history, or beyond where it is.
    Ahead,
}

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub struct FeedPiece {
    /// Changes, at most.
    pub changes: usize,
    /// Bytes of token text, about: the change with which they are reached is the last one.
    pub bytes: usize,
}

/// What is in memory of the changes after a serial.
#[derive(Debug)]
pub enum RecentChanges {
    /// These; none, if there are none yet.
    Changes(Vec<Item>),
    /// They have to be read from the journal.
    Behind,
    /// The first one alone is larger than the piece.
    Large,
    /// This server cannot go on from there.
    Gone,
}

/// What a server can say of its digests.
#[derive(Debug, Clone)]
pub enum Digested<T> {
    /// This.
    Known(T),
    /// Nothing yet: it still imports its folder.
    Incomplete,
    /// Nothing: it does not store all accounts.
    Unknown,
}

impl<T> Digested<Option<T>> {
    /// Nothing, if what is known is not enough for an answer.
    pub fn flatten(self) -> Digested<T> {
        match self {
            Self::Known(Some(known)) => Digested::Known(known),
            Self::Known(None) | Self::Unknown => Digested::Unknown,
            Self::Incomplete => Digested::Incomplete,
        }
    }
}

impl Node {
    /// The order of changes that others can follow.
    pub fn feed(&self) -> Feed {
        self.backend.feed()
    }

    /// The lowest serial from which a follower can continue that was told of a serial.
    pub fn floor_up_to(&self, serial: u64) -> u64 {
        match self.feed() {
            // Another order may have begun since.
            Feed::Open(feed) => feed.floor().min(serial),
            Feed::NotYet | Feed::None => serial,
        }
    }

    /// A place of the digest tree, its root without a prefix.
    pub async fn digests(&self, prefix: Option<Prefix>) -> Result<Digested<View>, StoreError> {
        self.backend.digests(prefix).await
    }

    /// A page of the leaves under a prefix, or of all, that come after a key.
    pub async fn leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
    ) -> Result<Digested<LeafPage>, StoreError> {
        self.backend.leaves(prefix, after).await
    }

    /// A piece of what is stored here and differs from what the asker holds.
    pub async fn compare(&self, ask: Ask) -> Result<Digested<Comparison>, StoreError> {
        self.backend.compare(ask).await
    }

    /// The name of this process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The servers on the way upstream, the nearest first, as far as they say so. `None`: this is a primary.
    pub fn route(&self) -> Option<Vec<String>> {
        match &self.role {
            Role::Primary(_) => None,
            Role::Replica(replica) => {
                let mut route = replica.route();
                route.truncate(MAX_HOPS);
                Some(route)
            }
        }
    }

    /// Whether a server that asks this one would be asked itself if this one asked upstream.
    pub fn leads_back_to(&self, asker: &str) -> bool {
        self.route().is_some_and(|route| asker == self.name || route.iter().any(|name| name == asker))
    }

    /// Seconds since the primary was last heard; `None`: never, or this is the primary.
    pub fn primary_age(&self) -> Option<u64> {
        self.upstream()?.primary_age()
    }
}
