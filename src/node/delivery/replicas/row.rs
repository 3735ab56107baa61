//! What is known of one replica.

use std::collections::VecDeque;

use crate::feed::wire::{Confirmation, Named};
use crate::feed::{Head, Session};
use crate::store::{Follower, FollowerId};

/// Milliseconds for which a replica may lack a change and still be in sync: a change takes time to arrive.
pub(super) const GRACE: i64 = 2_000;
/// Processes of one replica that are remembered, to notice two that share an id.
const PAST_RUNS: usize = 8;
/// Milliseconds between two writes of a position that moves on.
const WRITTEN_EVERY: i64 = 5_000;
/// Milliseconds between two writes where only the time of the last report has changed.
const HEARD_EVERY: i64 = 60_000;

/// A report whose positions were looked up in the history of this server.
#[derive(Debug, Clone)]
pub(in crate::node) struct ReplicaReport {
    /// What was reported.
    pub(in crate::node) said: Confirmation,
    /// The IP address that it came from.
    pub(in crate::node) address: String,
    /// Its own position, if that is on the history of this server.
    pub(in crate::node) own: Option<Head>,
    /// The lowest position of it and those behind it, if that is on the history of this server.
    pub(in crate::node) lowest: Option<Head>,
}

/// A replica that lacks something.
#[derive(Debug, Clone, Copy)]
struct Lacking {
    /// Since when, in milliseconds of [`clock::uptime_millis`](crate::clock::uptime_millis), at the latest.
    since: i64,
    /// The lowest position that it had since.
    lowest: u64,
}

#[derive(Debug)]
pub(super) struct ReplicaRow {
    pub(super) follower: Follower,
    /// Its own position.
    pub(super) own: Option<Head>,
    pub(super) behind: Vec<Named>,
    pub(super) more: u64,
    /// Milliseconds of [`clock::uptime_millis`](crate::clock::uptime_millis).
    pub(super) heard: i64,
    run: Option<[u8; 8]>,
    seq: u64,
    past_runs: VecDeque<[u8; 8]>,
    lacking: Option<Lacking>,
    is_new: bool,
    written: Option<(Option<Head>, i64)>,
}

/// Whether a report counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Next,
    /// A later one was here first.
    Late,
    /// Another process has the same id.
    SameId,
}

impl ReplicaRow {
    /// One that was not heard before.
    pub(super) fn new(id: FollowerId, now: i64) -> Self {
        let follower = Follower {
            id,
            name: String::new(),
            mode: String::new(),
            version: String::new(),
            address: String::new(),
            is_lasting: false,
            position: None,
            below: 0,
            is_leaving: false,
            heard: 0,
        };
        // What it served before is not known.
        let lacking = Some(Lacking { since: now - GRACE, lowest: 0 });
        Self { lacking, is_new: true, ..Self::recalled(follower, now) }
    }

    /// One that an earlier process of this server knew. `heard`: when it was last heard.
    pub(super) fn recalled(follower: Follower, heard: i64) -> Self {
        Self {
            own: follower.position,
            written: Some((follower.position, heard)),
            follower,
            behind: Vec::new(),
            more: 0,
            heard,
            run: None,
            seq: 0,
            past_runs: VecDeque::new(),
            lacking: None,
            is_new: false,
        }
    }

    /// Whether it, or anything behind it, may serve something now.
    pub(super) const fn counts(&self) -> bool {
        !self.follower.is_leaving || self.follower.below > 0
    }

    /// Up to where it and those behind it are current in a session.
    pub(super) fn serial(&self, session: Session) -> u64 {
        self.follower.position.filter(|position| position.session == session).map_or(0, |position| position.serial)
    }

    /// Whether to accept a report.
    pub(super) fn order(&self, said: &Confirmation) -> Order {
        match self.run {
            Some(run) if run == said.run => {
                if said.seq > self.seq {
                    Order::Next
                } else {
                    Order::Late
                }
            }
            _ if self.past_runs.contains(&said.run) => Order::SameId,
            _ => Order::Next,
        }
    }

    /// Hears a report. `settled`: where this server was [`GRACE`] ago. Returns the changes that it may have lacked until now: after the
    /// first serial, up to the second.
    pub(super) fn hear(&mut self, heard: ReplicaReport, here: &Head, settled: u64, now: i64) -> Option<(u64, u64)> {
        let before = self.serial(here.session);
        let ReplicaReport { said, address, own, lowest } = heard;
        if self.run != Some(said.run) {
            self.past_runs.extend(self.run.replace(said.run));
            if self.past_runs.len() > PAST_RUNS {
                self.past_runs.pop_front();
            }
        }
        (self.seq, self.heard, self.own) = (said.seq, now, own);
        let comes_back = self.follower.is_leaving && !said.is_leaving;
        let below = said.below.unwrap_or_default();
        let is_urgent = self.is_new || said.is_leaving != self.follower.is_leaving;
        self.follower = Follower {
            id: said.id,
            name: said.name,
            mode: said.mode,
            version: said.version,
            address,
            is_lasting: said.is_lasting,
            position: lowest,
            below: below.known,
            is_leaving: said.is_leaving,
            heard: 0,
        };
        (self.behind, self.more, self.is_new) = (below.behind, below.more, false);
        if is_urgent {
            self.written = None;
        }
        let after = self.serial(here.session);
        if comes_back || before < settled {
            self.lacks(now - GRACE, before);
        }
        if let Some(lacked) = below.lacked.filter(|_| lowest.is_some()) {
            self.lacks(now - GRACE, lacked);
        }
        if after < before {
            self.lacks(now, after);
        }
        if self.follower.is_leaving && self.follower.below == 0 {
            return self.ends(here);
        }
        if after < settled {
            self.lacks(now - GRACE, after);
            return None;
        }
        let lacking = self.lacking.take()?;
        (now - lacking.since >= GRACE && after > lacking.lowest).then_some((lacking.lowest, after))
    }

    /// It counts no more. Returns the changes that it lacked in the end.
    pub(super) fn ends(&mut self, here: &Head) -> Option<(u64, u64)> {
        let serial = self.serial(here.session);
        let lowest = self.lacking.take().map_or(serial, |lacking| lacking.lowest.min(serial));
        (lowest < here.serial).then_some((lowest, here.serial))
    }

    fn lacks(&mut self, since: i64, serial: u64) {
        let lacking = self.lacking.get_or_insert(Lacking { since, lowest: serial });
        lacking.lowest = lacking.lowest.min(serial);
    }

    /// What to write to disk now, if anything. It counts as written from now on.
    pub(super) fn take_unwritten(&mut self, now: i64, unix_now: i64, is_last: bool) -> Option<Follower> {
        let is_due = self.written.is_none_or(|(position, at)| {
            let pause = if position == self.follower.position { HEARD_EVERY } else { WRITTEN_EVERY };
            let is_news = position != self.follower.position || self.heard > at;
            is_news && (is_last || now - at >= pause)
        });
        if !is_due {
            return None;
        }
        self.written = Some((self.follower.position, now));
        Some(Follower { heard: unix_now - (now - self.heard), ..self.follower.clone() })
    }
}
