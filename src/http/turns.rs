//! Turns at something scarce: the memory for what is on its way to clients, packs, comparisons.
//!
//! Those that wait are served in this order: clients that have proven that they follow this history, then the client that has
//! least, then the one that came first. While somebody waits, a client that takes too long loses its turn, the slowest
//! first. What a turn holds for its client goes with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use prometheus::IntCounter;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::peer::Client;

/// How often a client that waits looks for clients that are too slow.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes that are handed to a connection at a time.
const CHUNK: usize = 16 << 10;

/// The bounds of turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Units that are in use at the same time.
    pub(super) most: usize,
    /// Units beyond that for addresses that have none: they need not wait for those that have many.
    pub(super) spare: usize,
    /// Units that one address uses at the same time, if others want them as well or not.
    pub(super) each: usize,
    /// Clients of one address that wait.
    pub(super) waiting_each: usize,
    /// Clients that wait.
    pub(super) waiting: usize,
    /// How long a turn lasts at least.
    pub(super) patience: Duration,
    /// How many units more a turn may have for each second that it lasts longer.
    pub(super) rate: usize,
}

/// Turns at one thing.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<SharedTurns>);

#[derive(Debug)]
struct SharedTurns {
    bounds: Bounds,
    cut_off: IntCounter,
    state: Mutex<TurnsState>,
}

#[derive(Debug, Default)]
struct TurnsState {
    /// Units in use, without the spare ones, and those.
    used: [usize; 2],
    held: HashMap<u64, HeldTurn>,
    by_address: HashMap<IpAddr, usize>,
    waiting: Vec<WaitingClient>,
    last: u64,
}

#[derive(Debug)]
struct HeldTurn {
    address: IpAddr,
    units: usize,
    pool: Pool,
    since: Instant,
    rest: Bytes,
    cut: CancellationToken,
}

/// Where units come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    Common = 0,
    Spare = 1,
}

#[derive(Debug)]
struct WaitingClient {
    number: u64,
    client: Client,
    units: usize,
    tell: oneshot::Sender<Turn>,
}

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded;

/// A turn, until this is dropped or the turn is lost.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    number: u64,
    cut: CancellationToken,
}

/// What comes next of what a turn holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// These bytes.
    Next(Bytes),
    /// Nothing more.
    End,
    /// The turn was lost, and the rest with it.
    Lost,
}

impl Turns {
    /// `cut_off` counts the turns that were lost.
    pub(super) fn new(bounds: Bounds, cut_off: IntCounter) -> Self {
        Self(Arc::new(SharedTurns { bounds, cut_off, state: Mutex::default() }))
    }

    /// Waits for a turn with a number of units.
    pub(super) async fn take(&self, client: Client, units: usize) -> Result<Turn, Crowded> {
        let (tell, mut told) = oneshot::channel();
        let granted = {
            let mut state = self.state();
            let bounds = &self.0.bounds;
            // A client that gave up waiting takes no room.
            state.waiting.retain(|waiting| !waiting.tell.is_closed());
            let of_address = state.waiting.iter().filter(|waiting| waiting.client.address == client.address).count();
            if of_address >= bounds.waiting_each || state.waiting.len() >= bounds.waiting {
                return Err(Crowded);
            }
            state.last += 1;
            let number = state.last;
            state.waiting.push(WaitingClient { number, client, units, tell });
            self.grant(&mut state)
        };
        hand_over(granted);
        loop {
            tokio::select! {
                biased;
                turn = &mut told => return turn.map_err(|_| Crowded),
                () = sleep(LOOK) => self.cut_off_slow(),
            }
        }
    }

    /// Units in use.
    pub(super) fn used(&self) -> usize {
        self.state().used.iter().sum()
    }

    /// Takes turns from clients that are too slow, the slowest first, until no client waits.
    fn cut_off_slow(&self) {
        let now = Instant::now();
        loop {
            let granted = {
                let mut state = self.state();
                state.waiting.retain(|waiting| !waiting.tell.is_closed());
                if state.waiting.is_empty() {
                    return;
                }
                let overdue = |held: &HeldTurn| now.checked_duration_since(held.since + self.allowed(held.units));
                let slowest = state.held.iter().filter_map(|(number, held)| Some((overdue(held)?, *number))).max();
                let Some((_, number)) = slowest else { return };
                self.0.cut_off.inc();
                if let Some(held) = state.give_back(number) {
                    held.cut.cancel();
                }
                self.grant(&mut state)
            };
            hand_over(granted);
        }
    }

    /// How long a turn may last while others wait.
    fn allowed(&self, units: usize) -> Duration {
        let bounds = &self.0.bounds;
        bounds.patience + Duration::from_secs((units / bounds.rate.max(1)) as u64)
    }

    /// Gives turns to the next clients while there is room.
    fn grant(&self, state: &mut TurnsState) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut granted = Vec::new();
        while let Some((place, pool)) = state.next(&self.0.bounds) {
            let WaitingClient { number, client, units, tell } = state.waiting.swap_remove(place);
            let cut = CancellationToken::new();
            let held = HeldTurn {
                address: client.address,
                units,
                pool,
                since: Instant::now(),
                rest: Bytes::new(),
                cut: cut.clone(),
            };
            *state.by_address.entry(client.address).or_default() += units;
            state.used[pool as usize] += units;
            state.held.insert(number, held);
            granted.push((tell, Turn { turns: self.clone(), number, cut }));
        }
        granted
    }

    fn state(&self) -> MutexGuard<'_, TurnsState> {
        self.0.state.lock()
    }
}

/// A turn of a client that has gone comes back when it is dropped, which takes the lock again.
fn hand_over(granted: Vec<(oneshot::Sender<Turn>, Turn)>) {
    for (tell, turn) in granted {
        // Dropped if its client does not wait any more.
        let _ = tell.send(turn);
    }
}

impl TurnsState {
    fn of(&self, address: &IpAddr) -> usize {
        self.by_address.get(address).copied().unwrap_or(0)
    }

    /// The index of the next client, and where its units come from; `None`: no client waits, or there is no room.
    fn next(&self, bounds: &Bounds) -> Option<(usize, Pool)> {
        // Something larger than a bound has its turn alone.
        let fits = |used: usize, units: usize, most: usize| most > 0 && (used == 0 || used + units <= most);
        let of = |one: &WaitingClient| self.of(&one.client.address);
        let order = |one: &WaitingClient| (!one.client.is_proven, of(one), one.number);
        let in_line = || self.waiting.iter().enumerate();
        let (place, first) =
            in_line().filter(|(_, one)| fits(of(one), one.units, bounds.each)).min_by_key(|(_, one)| order(one))?;
        let [used, spare] = self.used;
        // Nobody overtakes who waits for much.
        if fits(used, first.units, bounds.most) {
            return Some((place, Pool::Common));
        }
        let without = in_line().filter(|(_, one)| of(one) == 0 && fits(spare, one.units, bounds.spare));
        without.min_by_key(|(_, one)| order(one)).map(|(place, _)| (place, Pool::Spare))
    }

    fn give_back(&mut self, number: u64) -> Option<HeldTurn> {
        let held = self.held.remove(&number)?;
        self.resize(held.pool, &held.address, held.units, 0);
        Some(held)
    }

    fn resize(&mut self, pool: Pool, address: &IpAddr, before: usize, after: usize) {
        let used = &mut self.used[pool as usize];
        *used = *used + after - before;
        if let Some(units) = self.by_address.get_mut(address) {
            *units = *units + after - before;
            if *units == 0 {
                self.by_address.remove(address);
            }
        }
    }
}

impl Turn {
    /// Holds bytes for the client. The turn has as many units from now on, be it more than it began with.
    pub(super) fn hold(&self, bytes: Bytes) {
        let granted = {
            let mut state = self.turns.state();
            let Some(held) = state.held.get_mut(&self.number) else { return };
            let (pool, address, before, after) = (held.pool, held.address, held.units, bytes.len().max(1));
            (held.units, held.rest, held.since) = (after, bytes, Instant::now());
            state.resize(pool, &address, before, after);
            self.turns.grant(&mut state)
        };
        hand_over(granted);
    }

    /// The next bytes that it holds. Asked for when the connection has taken the ones before.
    pub(super) fn chunk(&self) -> Chunk {
        let mut state = self.turns.state();
        let Some(held) = state.held.get_mut(&self.number) else { return Chunk::Lost };
        if held.rest.is_empty() {
            return Chunk::End;
        }
        let length = held.rest.len().min(CHUNK);
        Chunk::Next(held.rest.split_to(length))
    }

    /// The client has taken what it was given: its time begins again.
    pub(super) fn renew(&self) {
        if let Some(held) = self.turns.state().held.get_mut(&self.number) {
            held.since = Instant::now();
        }
    }

    /// Cancelled when the turn is lost because the client is too slow.
    pub(super) const fn lost(&self) -> &CancellationToken {
        &self.cut
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.turns.state();
            if state.give_back(self.number).is_none() {
                return;
            }
            self.turns.grant(&mut state)
        };
        hand_over(granted);
    }
}

#[cfg(test)]
mod tests;
