//! The replicas that this server knows, and up to where each is current.
//!
//! A replica becomes known with its first report, and counts until it says goodbye or was silent for
//! `nats.replica_forget`. While it counts, a change is complete only when it has that change; so what is remembered here outlives the
//! process ([`Replicas::take_unwritten`]), and never says more than was confirmed.
//!
//! The registry keeps no clock: times are milliseconds of [`clock::uptime_millis`].

mod caught_up;
mod row;
mod tiers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::feed::wire::{Below, MAX_NAMED, Named};
use crate::feed::{Head, Session};
use crate::store::{Follower, FollowerChange, FollowerId};
use caught_up::Ranges;
pub use caught_up::{CaughtUp, Ended};
pub(in crate::node) use row::ReplicaReport;
use row::{GRACE, Order, ReplicaRow};

/// Replicas that are known at the same time at most.
const MAX_REPLICAS: usize = 4096;
/// Milliseconds without a report after which a replica is silent. A report comes every 3 seconds.
const SILENT: i64 = 10_000;
/// Milliseconds of silence after which a replica without a lasting id is replaced by another one of its name and address.
const REPLACED: i64 = 15_000;
/// Milliseconds after a start of this server before it forgets a replica that was silent for too long.
const RETURN: i64 = 60_000;
/// Positions of this server that are remembered: more than one each quarter of a second for [`GRACE`].
const MAX_SAMPLES: usize = 64;

/// Why a report was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// Too many replicas are known.
    #[error("{MAX_REPLICAS} replicas are known already")]
    Full,
    /// Two processes report with one id.
    #[error("another replica reports with this id")]
    SameId,
}

/// A replica, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStand {
    /// What is known of it; `position` is that of it and those behind it, `heard` unix milliseconds.
    pub follower: Follower,
    /// Whether it is on the history of this server.
    pub is_on_history: bool,
    /// Up to where it and those behind it are current; 0 if it is on another history.
    pub serial: u64,
    /// Whether it has every change that is more than 2 seconds old.
    pub is_in_sync: bool,
    /// Whether it was not heard for 10 seconds.
    pub is_silent: bool,
    /// Some of those that are behind, of those behind it.
    pub behind: Vec<Named>,
    /// How many more of those there are.
    pub more: u64,
}

/// How many replicas count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They have every change that is more than 2 seconds old.
    pub in_sync: u64,
    /// They lack one.
    pub behind: u64,
    /// They were not heard for 10 seconds, whatever they have.
    pub silent: u64,
}

/// Replicas that report and have no room here. What they serve is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// Reports that were turned away since the start.
    pub reports: u64,
    /// When the latest came.
    pub at: i64,
}

/// All of them.
#[derive(Debug)]
pub struct Replicas {
    forget: i64,
    state: Mutex<RegistryState>,
    moved: watch::Sender<u64>,
    caught_up: Notify,
}

#[derive(Debug, Default)]
struct RegistryState {
    /// Where this server is in its history.
    here: Option<Head>,
    /// Where it was, and when.
    samples: VecDeque<(i64, u64)>,
    rows: HashMap<FollowerId, ReplicaRow>,
    /// How many of those that count are at each serial.
    serials: BTreeMap<u64, usize>,
    ranges: Ranges,
    /// Those to delete on disk.
    gone: Vec<FollowerId>,
    overflow: Option<Overflow>,
}

impl Replicas {
    /// None are known yet. One that is silent for `forget` counts no more.
    pub fn new(forget: Duration) -> Self {
        Self {
            forget: i64::try_from(forget.as_millis()).unwrap_or(i64::MAX),
            state: Mutex::default(),
            moved: watch::Sender::new(0),
            caught_up: Notify::new(),
        }
    }

    /// Takes over what an earlier process knew. A position counts as it was noted then, and no higher.
    pub fn recall(&self, followers: Vec<Follower>, here: Option<Head>, now: i64, unix_now: i64) {
        self.change(|state| {
            state.be_at(here, now);
            for follower in followers.into_iter().take(MAX_REPLICAS) {
                // While this server was down, it could hear no replica.
                let longest = self.forget - RETURN.min(self.forget);
                // If the clock was set back since, the time of the report is unknown.
                let age = clock::age_at(unix_now, follower.heard).unwrap_or(longest).min(longest);
                let heard = now - age;
                state.insert(ReplicaRow::recalled(follower, heard));
            }
        });
        self.tick(here, now);
    }

    /// Hears a report. `here`: where this server is. Returns the newest change that the replica itself confirmed with it;
    /// `None`: there is no news, or it is unknown what it had before.
    pub(in crate::node) fn confirmed(&self, heard: ReplicaReport, here: Head, now: i64) -> Result<Option<u64>, Turned> {
        self.change(|state| {
            state.be_at(Some(here), now);
            state.hear(heard, &here, now)
        })
    }

    /// Whether a position was reported last time as well, and found to be on the history of this server.
    pub(in crate::node) fn knows(&self, id: &FollowerId, position: &Head) -> bool {
        let is_it = |known: Option<Head>| known.as_ref() == Some(position);
        self.state.lock().rows.get(id).is_some_and(|row| is_it(row.own) || is_it(row.follower.position))
    }

    /// A number that moves whenever [`Replicas::behind`] may have become empty for some serial, or no longer be empty: when the lowest
    /// position moves, and when a replica comes or goes. Look at `behind` after subscribing, and again after each move.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Up to here all that count are current; `None`: none counts. Takes a moment, however many there are.
    pub fn lowest(&self) -> Option<u64> {
        self.state.lock().serials.first_key_value().map(|(serial, _)| *serial)
    }

    /// Those that count and do not confirm the change with this serial, in the order of their names.
    pub fn behind(&self, serial: u64) -> Vec<ReplicaStand> {
        if self.lowest().is_none_or(|lowest| lowest >= serial) {
            return Vec::new();
        }
        let mut all = self.all();
        all.retain(|stand| stand.counts() && stand.serial < serial);
        all
    }

    /// All that are known, those included that said goodbye, in the order of their names.
    pub fn all(&self) -> Vec<ReplicaStand> {
        let (now, unix_now) = (clock::uptime_millis(), clock::unix_millis());
        let mut all: Vec<_> = {
            let state = self.state.lock();
            state.rows.values().map(|row| state.shown(row, now, unix_now)).collect()
        };
        all.sort_by(|one, other| (&one.follower.name, one.follower.id).cmp(&(&other.follower.name, other.follower.id)));
        all
    }

    /// How many count.
    pub fn counts(&self, now: i64) -> Counts {
        let state = self.state.lock();
        let mut counts = Counts::default();
        for row in state.rows.values().filter(|row| row.counts()) {
            if now - row.heard >= SILENT {
                counts.silent += 1;
            } else if state.is_in_sync(row) {
                counts.in_sync += 1;
            } else {
                counts.behind += 1;
            }
        }
        counts
    }

    /// Replicas that have no room here, if there were any since the start. While there are, nothing can be said of all replicas.
    pub fn overflow(&self) -> Option<Overflow> {
        self.state.lock().overflow
    }

    /// The next range of changes that a replica may have lacked for longer than 2 seconds, or for an unknown time because it is new or
    /// comes back. nats-servers may have loaded earlier JWTs from it. Each range is given out once. May wait for ever.
    pub async fn next_caught_up(&self) -> CaughtUp {
        loop {
            let news = self.caught_up.notified();
            if let Some(range) = self.state.lock().ranges.pop() {
                return range;
            }
            news.await;
        }
    }

    /// Notes where this server is, and forgets those that were silent for too long. Call it every half second.
    pub fn tick(&self, here: Option<Head>, now: i64) {
        self.change(|state| {
            state.be_at(here, now);
            state.forget(self.forget, now);
        });
    }

    /// What to write to disk now: a new replica or a goodbye at once, a position after 5 seconds. It counts as written from now on.
    /// `is_last`: everything that is not written yet.
    pub fn take_unwritten(&self, now: i64, unix_now: i64, is_last: bool) -> Vec<FollowerChange> {
        let mut state = self.state.lock();
        let gone = std::mem::take(&mut state.gone);
        let written = state.rows.values_mut().filter_map(|row| row.take_unwritten(now, unix_now, is_last));
        let written: Vec<_> = written.map(|follower| (follower.id, Some(follower))).collect();
        gone.into_iter().map(|id| (id, None)).chain(written).collect()
    }

    /// Changes something, and tells those who wait if it concerns them.
    fn change<T>(&self, act: impl FnOnce(&mut RegistryState) -> T) -> T {
        let (result, has_moved, has_ranges) = {
            let mut state = self.state.lock();
            let before = state.extent();
            let ranges = state.ranges.count();
            let result = act(&mut state);
            (result, state.extent() != before, state.ranges.count() != ranges)
        };
        if has_ranges {
            self.caught_up.notify_one();
        }
        if has_moved || has_ranges {
            self.moved.send_modify(|number| *number += 1);
        }
        result
    }
}

impl Replicas {
    /// What a replica reports upstream of the replicas behind it. `own`: the position up to which it is current itself.
    /// `None`: there are none.
    pub fn below(&self, own: Option<&Head>) -> Option<Below> {
        self.state.lock().below(own)
    }

    /// What [`Replicas::below`] last gave out has been heard upstream.
    pub fn below_was_heard(&self) {
        self.state.lock().ranges.drop_shown();
    }
}

impl ReplicaStand {
    /// Whether it, or one behind it, may serve something now.
    pub const fn counts(&self) -> bool {
        !self.follower.is_leaving || self.follower.below > 0
    }

    /// Its id, 32 hexadecimal digits.
    pub fn id(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.follower.id)
    }
}

impl RegistryState {
    /// The history of this server, the lowest serial of those that count, and how many count.
    fn extent(&self) -> (Option<Session>, Option<u64>, usize) {
        let lowest = self.serials.first_key_value().map(|(serial, _)| *serial);
        (self.here.map(|here| here.session), lowest, self.serials.values().sum())
    }

    fn session(&self) -> Session {
        self.here.map_or(Session([0; 16]), |here| here.session)
    }

    /// Notes where this server is.
    fn be_at(&mut self, here: Option<Head>, now: i64) {
        let Some(here) = here else { return };
        if self.here.is_none_or(|before| before.session != here.session) {
            self.samples.clear();
            self.here = Some(here);
            self.serials.clear();
            let serials: Vec<_> =
                self.rows.values().filter(|row| row.counts()).map(|row| row.serial(here.session)).collect();
            serials.into_iter().for_each(|serial| self.count(serial, true));
        }
        // A report may have been looked up a moment ago.
        self.here = self.here.map(|before| if before.serial > here.serial { before } else { here });
        let newest = self.samples.back().map(|(at, _)| *at);
        if newest.is_none_or(|newest| now - newest >= GRACE / 8) {
            self.samples.push_back((now, here.serial));
        }
        // One of before the time of grace is needed.
        while self.samples.len() > MAX_SAMPLES || self.samples.get(1).is_some_and(|(at, _)| now - at >= GRACE) {
            self.samples.pop_front();
        }
    }

    /// Where this server was [`GRACE`] ago, or when this was first noted.
    fn settled(&self) -> u64 {
        self.samples.front().map_or(0, |(_, serial)| *serial)
    }

    fn is_in_sync(&self, row: &ReplicaRow) -> bool {
        let is_here = |position: Head| position.session == self.session();
        row.follower.position.is_some_and(is_here) && row.serial(self.session()) >= self.settled()
    }

    fn count(&mut self, serial: u64, counts: bool) {
        let count = self.serials.entry(serial).or_default();
        *count = if counts { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.serials.remove(&serial);
        }
    }

    fn insert(&mut self, row: ReplicaRow) {
        if row.counts() {
            self.count(row.serial(self.session()), true);
        }
        self.rows.insert(row.follower.id, row);
    }

    fn remove(&mut self, id: &FollowerId) -> Option<ReplicaRow> {
        let row = self.rows.remove(id)?;
        if row.counts() {
            self.count(row.serial(self.session()), false);
        }
        self.gone.push(*id);
        Some(row)
    }

    fn hear(&mut self, heard: ReplicaReport, here: &Head, now: i64) -> Result<Option<u64>, Turned> {
        let id = heard.said.id;
        if !self.rows.contains_key(&id) {
            if heard.said.is_leaving {
                // It was not counted.
                return Ok(None);
            }
            if !self.has_room() {
                let reports = self.overflow.map_or(1, |overflow| overflow.reports + 1);
                self.overflow = Some(Overflow { reports, at: now });
                return Err(Turned::Full);
            }
            self.gone.retain(|gone| *gone != id);
            self.insert(ReplicaRow::new(id, now));
        }
        let (session, settled) = (self.session(), self.settled());
        let Some(row) = self.rows.get_mut(&id) else { return Ok(None) };
        match row.order(&heard.said) {
            Order::Next => {}
            Order::Late => return Ok(None),
            Order::SameId => return Err(Turned::SameId),
        }
        let before = row.counts().then(|| row.serial(session));
        let own_before = row.own;
        let lacked = row.hear(heard, here, settled, now);
        let after = row.counts().then(|| row.serial(session));
        let in_session = |own: Option<Head>| own.filter(|own| own.session == session).map(|own| own.serial);
        let news = in_session(row.own).zip(in_session(own_before)).filter(|(now, before)| now > before);
        let ended = if row.counts() { Ended::InSync } else { Ended::Left };
        if let Some(range) = lacked {
            self.ranges.push(CaughtUp::of(&row.follower, range, ended));
        }
        before.into_iter().for_each(|serial| self.count(serial, false));
        after.into_iter().for_each(|serial| self.count(serial, true));
        Ok(news.map(|(now, _)| now))
    }

    /// Makes room if needed, by forgetting one that said goodbye. One that counts keeps its place: else a client could push it out by
    /// inventing ids.
    fn has_room(&mut self) -> bool {
        if self.rows.len() < MAX_REPLICAS {
            return true;
        }
        let left = self.rows.values().filter(|row| !row.counts()).min_by_key(|row| row.heard);
        match left.map(|row| row.follower.id) {
            Some(id) => self.remove(&id).is_some(),
            None => false,
        }
    }

    /// Forgets those that were silent for too long, and those whose place another process has taken.
    fn forget(&mut self, after: i64, now: i64) {
        let place = |row: &ReplicaRow| (row.follower.name.clone(), row.follower.address.clone());
        let is_fleeting = |row: &&ReplicaRow| !row.follower.is_lasting && row.follower.below == 0;
        let heard: Vec<_> =
            self.rows.values().filter(is_fleeting).filter(|row| now - row.heard < SILENT).map(place).collect();
        let is_replaced =
            |row: &ReplicaRow| is_fleeting(&row) && now - row.heard >= REPLACED && heard.contains(&place(row));
        let gone: Vec<_> = self
            .rows
            .values()
            .filter(|row| now - row.heard >= after || is_replaced(row))
            .map(|row| row.follower.id)
            .collect();
        for id in gone {
            let Some(mut row) = self.remove(&id) else { continue };
            if let Some(here) = self.here
                && row.counts()
                && let Some(range) = row.ends(&here)
            {
                self.ranges.push(CaughtUp::of(&row.follower, range, Ended::Forgotten));
            }
        }
    }

    fn shown(&self, row: &ReplicaRow, now: i64, unix_now: i64) -> ReplicaStand {
        let session = self.session();
        let is_here = |position: Head| position.session == session;
        ReplicaStand {
            follower: Follower { heard: unix_now - (now - row.heard), ..row.follower.clone() },
            is_on_history: row.follower.position.is_some_and(is_here),
            serial: row.serial(session),
            is_in_sync: self.is_in_sync(row),
            is_silent: now - row.heard >= SILENT,
            behind: row.behind.clone(),
            more: row.more,
        }
    }

    /// What those behind this server come to, for its own report.
    fn below(&mut self, own: Option<&Head>) -> Option<Below> {
        let lacked = self.ranges.show();
        let session = own.map_or(self.session(), |own| own.session);
        let mut below = Below { lacked, lowest: own.copied(), ..Below::default() };
        let mut is_none = lacked.is_none();
        for row in self.rows.values().filter(|row| row.counts()) {
            is_none = false;
            below.known += row.follower.below + u64::from(!row.follower.is_leaving);
            let Some(own) = own else { continue };
            let position = row.follower.position.filter(|position| position.session == session);
            let position = position.unwrap_or(Head::beginning(session));
            if below.lowest.is_none_or(|lowest| position.serial < lowest.serial) {
                below.lowest = Some(position);
            }
            if position.serial < own.serial {
                row.name_behind(own, &mut below);
            }
        }
        // The same ones each time, or they would be news each time.
        below.behind.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        let room = below.behind.len().min(MAX_NAMED);
        below.more += (below.behind.len() - room) as u64;
        below.behind.truncate(room);
        (!is_none).then_some(below)
    }
}

impl ReplicaRow {
    /// Names those that are behind a position: itself, or those behind it.
    fn name_behind(&self, own: &Head, below: &mut Below) {
        let serial = self.own.filter(|position| position.session == own.session).map_or(0, |position| position.serial);
        let is_behind = serial < own.serial || self.behind.is_empty();
        if is_behind && !self.follower.is_leaving {
            below.behind.push(Named {
                id: data_encoding::HEXLOWER.encode(&self.follower.id),
                name: self.follower.name.clone(),
            });
        }
        below.behind.extend_from_slice(&self.behind);
        below.more += self.more;
    }
}

#[cfg(test)]
mod tests;
