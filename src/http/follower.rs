//! A client that follows the change feed by event stream.
//!
//! A follower that keeps up gets each change from memory. One that is behind waits for a turn: a piece of the history is read
//! when there is room for it, and the next one when the connection has taken it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::follower_places::FollowerPlace;
use super::outgoing::SMALL;
use super::peer::Client;
use super::scarce::Scarce;
use super::turns::{Chunk, Turn, Turns};
use crate::feed::wire::Item;
use crate::feed::{Chain, Head};
use crate::node::{FeedPiece, FeedSource, Node, RecentChanges, StoreError};

/// A stream says at least this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// What is given out at once of what is in memory. As events it is a little larger.
const RECENT: FeedPiece = FeedPiece { changes: 64, bytes: SMALL / 2 };
/// What is read at once of what is not, or of one change that is larger.
const REPLAYED: FeedPiece = FeedPiece { changes: 500, bytes: 64 << 10 };

/// What a turn brings; `None`: this server cannot go on from there.
type PieceTurn = Option<(Turn, Result<Option<Vec<Item>>, StoreError>)>;

/// The follower.
pub(super) struct FeedFollower {
    node: Arc<Node>,
    feed: Arc<dyn FeedSource>,
    watch: watch::Receiver<Head>,
    at: Head,
    /// When it last got the primary's position; `None`: it was not greeted yet.
    told: Option<Instant>,
    client: Client,
    place: FollowerPlace,
    sending: Turns,
    replays: Arc<Semaphore>,
    /// The wait for a piece, which goes on between heartbeats.
    waiting: Option<LocalBoxFuture<'static, PieceTurn>>,
    /// The piece that is being sent.
    turn: Option<Turn>,
}

impl FeedFollower {
    pub(super) fn new(
        node: Arc<Node>,
        feed: Arc<dyn FeedSource>,
        at: Head,
        client: Client,
        place: FollowerPlace,
        scarce: &Scarce,
    ) -> Self {
        node.metrics().followers.connected.inc();
        let watch = feed.watch();
        let (sending, replays) = (scarce.sending.clone(), scarce.replays.clone());
        Self { node, feed, watch, at, told: None, client, place, sending, replays, waiting: None, turn: None }
    }

    /// The next bytes of the stream. Asked for when the connection has taken the ones before.
    pub(super) async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        self.place.moved();
        let Some(told) = self.told else { return Some((Ok(self.tell("hello")), self)) };
        let (draining, ended, displaced) =
            (self.node.draining().clone(), self.feed.ended().clone(), self.place.ended().clone());
        loop {
            if draining.is_cancelled() || ended.is_cancelled() || displaced.is_cancelled() {
                return None;
            }
            if let Some(turn) = &self.turn {
                match turn.chunk() {
                    Chunk::Next(bytes) => return Some((Ok(bytes), self)),
                    Chunk::End => self.turn = None,
                    Chunk::Lost => return None,
                }
            }
            self.watch.borrow_and_update();
            // Also between changes, however many there are: by this it is known how old all is.
            if told.elapsed() >= HEARTBEAT || self.feed.is_news(told) {
                return Some((Ok(self.tell("heartbeat")), self));
            }
            let found = match self.feed.recent(self.at.serial, RECENT) {
                RecentChanges::Gone => return None,
                RecentChanges::Changes(changes) if changes.is_empty() => {
                    tokio::select! {
                        moved = timeout_at(told + HEARTBEAT, self.watch.changed()) => match moved {
                            Ok(Ok(())) | Err(_) => {}
                            Ok(Err(_)) => return None,
                        },
                        () = ended.cancelled() => return None,
                        () = draining.cancelled() => return None,
                        () = displaced.cancelled() => return None,
                    }
                    continue;
                }
                RecentChanges::Changes(changes) => return Some((Ok(self.events(&changes)), self)),
                RecentChanges::Behind | RecentChanges::Large => {
                    let waiting = self.waiting.take().unwrap_or_else(|| self.piece());
                    let waiting = self.waiting.insert(waiting);
                    tokio::select! {
                        biased;
                        found = waiting => found,
                        () = tokio::time::sleep_until(told + HEARTBEAT) => continue,
                        () = ended.cancelled() => return None,
                        () = draining.cancelled() => return None,
                        () = displaced.cancelled() => return None,
                    }
                }
            };
            self.waiting = None;
            match found? {
                (turn, Ok(Some(changes))) => {
                    turn.hold(self.events(&changes));
                    self.turn = Some(turn);
                }
                (_, Ok(None)) => return None,
                (_, Err(error)) => {
                    tracing::error!("a follower is cut off: {error}");
                    return Some((Err(io::Error::other(error)), self));
                }
            }
        }
    }

    /// Waits for a turn, and reads what comes next.
    fn piece(&self) -> LocalBoxFuture<'static, PieceTurn> {
        let (sending, replays, client) = (self.sending.clone(), self.replays.clone(), self.client);
        let (feed, serial) = (self.feed.clone(), self.at.serial);
        async move {
            let turn = sending.take(client, REPLAYED.bytes).await.ok()?;
            let _alone = replays.acquire().await.ok()?;
            let read = feed.read(serial, REPLAYED).await;
            Some((turn, read))
        }
        .boxed_local()
    }

    /// The positions of the follower and of the primary.
    fn tell(&mut self, kind: &str) -> Bytes {
        self.told = Some(Instant::now());
        event(kind, None, &self.feed.page(self.at, Vec::new()))
    }

    fn events(&mut self, changes: &[Item]) -> Bytes {
        let mut text = Vec::new();
        for change in changes {
            text.extend_from_slice(&event("change", Some(change.serial), change));
        }
        if let Some((serial, chain)) = changes.last().and_then(|last| Some((last.serial, Chain::parse(&last.chain)?))) {
            (self.at.serial, self.at.chain) = (serial, chain);
        }
        text.into()
    }
}

impl Drop for FeedFollower {
    fn drop(&mut self) {
        self.node.metrics().followers.connected.dec();
    }
}

fn event(kind: &str, id: Option<u64>, data: &impl serde::Serialize) -> Bytes {
    // Plain structs of strings and numbers always have a JSON form.
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {kind}\n{id}data: {data}\n\n"))
}
