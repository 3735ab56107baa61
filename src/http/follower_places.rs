//! The places of followers of the change feed.
//!
//! A follower keeps its place for as long as it follows, so places can run out. Then a follower that proves where it is in
//! this history comes before a stranger, and after that the address that has fewest places. A stream that gives way ends at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::peer::Client;

/// A reader that has taken nothing for so long is slow. A stream has something for it every 2 seconds.
const SLOW: Duration = Duration::from_secs(6);

/// The bounds of places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Followers at the same time.
    pub(super) most: usize,
    /// Strangers among them.
    pub(super) strangers: usize,
    /// Strangers of one address.
    pub(super) strangers_each: usize,
}

/// All places.
#[derive(Debug, Clone)]
pub(super) struct FollowerPlaces(Arc<SharedPlaces>);

#[derive(Debug)]
struct SharedPlaces {
    bounds: Bounds,
    state: Mutex<PlacesState>,
}

#[derive(Debug, Default)]
struct PlacesState {
    held: HashMap<u64, HeldPlace>,
    last: u64,
}

#[derive(Debug)]
struct HeldPlace {
    client: Client,
    /// When it last took something; `None`: it waits for an answer, and there is none yet.
    moved: Option<Instant>,
    ended: CancellationToken,
}

/// There is no place for this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The follower that gave way, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveWay {
    /// Where it was.
    pub(super) address: IpAddr,
    /// Why it was chosen.
    pub(super) why: GaveWayReason,
}

/// Why a follower gave way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveWayReason {
    /// It is a stranger, and the one that came has proven where it is.
    Stranger,
    /// Its address has more places than that of the one that came.
    Share,
    /// It takes nothing.
    Slow,
}

impl GaveWayReason {
    /// The label in metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Share => "share",
            Self::Slow => "slow",
        }
    }

    /// For people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Stranger => "it named no position in this history",
            Self::Share => "its address had more places",
            Self::Slow => "it read nothing",
        }
    }
}

/// A place, until this is dropped or somebody else gets it.
#[derive(Debug)]
pub(super) struct FollowerPlace {
    places: FollowerPlaces,
    number: u64,
    ended: CancellationToken,
}

impl FollowerPlaces {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(SharedPlaces { bounds, state: Mutex::default() }))
    }

    /// A place for a client, and who gave way for it.
    pub(super) fn enter(&self, client: Client) -> Result<(FollowerPlace, Option<GaveWay>), Full> {
        let mut state = self.state();
        let gave_way = match state.room(client, &self.0.bounds) {
            Room::Free => None,
            Room::Of(number, why) => state.held.remove(&number).map(|held| {
                held.ended.cancel();
                GaveWay { address: held.client.address, why }
            }),
            Room::None => return Err(Full),
        };
        state.last += 1;
        let (number, ended) = (state.last, CancellationToken::new());
        state.held.insert(number, HeldPlace { client, moved: None, ended: ended.clone() });
        Ok((FollowerPlace { places: self.clone(), number, ended }, gave_way))
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        self.0.state.lock()
    }
}

/// Whether there is room for one more.
enum Room {
    Free,
    /// The place of this one.
    Of(u64, GaveWayReason),
    None,
}

impl PlacesState {
    fn room(&self, client: Client, bounds: &Bounds) -> Room {
        let strangers = self.held.values().filter(|held| !held.client.is_proven).count();
        if client.is_proven {
            if self.held.len() < bounds.most {
                return Room::Free;
            }
            if strangers > 0 {
                return self
                    .of_fullest(client, false)
                    .map_or(Room::None, |(number, _)| Room::Of(number, GaveWayReason::Stranger));
            }
        } else {
            if self.count(client) >= bounds.strangers_each {
                return self.slowest(client.is_proven, Some(client.address));
            }
            if strangers < bounds.strangers && self.held.len() < bounds.most {
                return Room::Free;
            }
        }
        match self.of_fullest(client, client.is_proven) {
            // With one more here and one less there, the other one still has as many.
            Some((number, count)) if count >= self.count(client) + 2 => Room::Of(number, GaveWayReason::Share),
            _ => self.slowest(client.is_proven, None),
        }
    }

    /// Places of the same kind that an address has.
    fn count(&self, client: Client) -> usize {
        self.held.values().filter(|held| held.client == client).count()
    }

    /// The follower that goes at the address that has most places of a kind, and how many it has. The client's own address is
    /// the last of those with as many.
    fn of_fullest(&self, client: Client, is_proven: bool) -> Option<(u64, usize)> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for held in self.held.values().filter(|held| held.client.is_proven == is_proven) {
            *counts.entry(held.client.address).or_default() += 1;
        }
        let (address, count) =
            counts.into_iter().max_by_key(|(address, count)| (*count, *address != client.address))?;
        let fullest = Client { address, is_proven };
        let now = Instant::now();
        let (number, _) = self
            .held
            .iter()
            .filter(|(_, held)| held.client == fullest)
            // A stream that takes nothing goes first, and then the one that came last.
            .max_by_key(|(number, held)| (held.slowness(now), **number))?;
        Some((*number, count))
    }

    /// The place of the client that has taken nothing for longest, if one is slow.
    fn slowest(&self, is_proven: bool, address: Option<IpAddr>) -> Room {
        let now = Instant::now();
        let of_kind = self.held.iter().filter(|(_, held)| held.client.is_proven == is_proven);
        let of_kind = of_kind.filter(|(_, held)| address.is_none_or(|address| held.client.address == address));
        let slow = of_kind.filter_map(|(number, held)| Some((held.slowness(now)?, *number))).max();
        slow.map_or(Room::None, |(_, number)| Room::Of(number, GaveWayReason::Slow))
    }
}

impl HeldPlace {
    /// For how long it has been slow; `None`: it is not.
    fn slowness(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.moved? + SLOW)
    }
}

impl FollowerPlace {
    /// The client has taken what it was given.
    pub(super) fn moved(&self) {
        if let Some(held) = self.places.state().held.get_mut(&self.number) {
            held.moved = Some(Instant::now());
        }
    }

    /// Cancelled when somebody else gets the place.
    pub(super) const fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

impl Drop for FollowerPlace {
    fn drop(&mut self) {
        self.places.state().held.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
