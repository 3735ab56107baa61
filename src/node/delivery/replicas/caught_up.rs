//! Changes that a replica may have lacked for a while, so that nats-servers may have loaded what was before them.

use std::collections::VecDeque;

use crate::store::Follower;

/// Ranges that wait to be looked at. With more, the latest ones become one.
const MOST: usize = 256;

/// How it ended that a replica lacked changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has them now.
    InSync,
    /// It said goodbye without them.
    Left,
    /// It was silent for so long that it counts no more.
    Forgotten,
}

/// Changes that a replica, or one behind it, may have lacked for longer than 2 seconds, or for an unknown time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaughtUp {
    /// The replica's id, 32 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// It had everything up to this serial.
    pub after: u64,
    /// The serial of the last change that it may have lacked.
    pub upto: u64,
    /// How that ended.
    pub ended: Ended,
}

impl CaughtUp {
    pub(super) fn of(follower: &Follower, (after, upto): (u64, u64), ended: Ended) -> Self {
        let id = data_encoding::HEXLOWER.encode(&follower.id);
        Self { id, name: follower.name.clone(), after, upto, ended }
    }
}

/// The ranges that were not taken yet, in order, each with its number.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    waiting: VecDeque<CaughtUp>,
    /// The number of the first of them.
    first: u64,
    /// Those below this number were shown.
    shown: u64,
    pushed: u64,
}

impl Ranges {
    pub(super) fn push(&mut self, range: CaughtUp) {
        self.pushed += 1;
        if self.waiting.len() >= MOST
            && let Some(last) = self.waiting.back_mut()
        {
            // It may have been shown, and is another one now.
            self.shown = self.shown.min(self.first + MOST as u64 - 1);
            last.after = last.after.min(range.after);
            last.upto = last.upto.max(range.upto);
            return;
        }
        self.waiting.push_back(range);
    }

    /// A number that moves with each that comes.
    pub(super) fn count(&self) -> u64 {
        self.pushed
    }

    pub(super) fn pop(&mut self) -> Option<CaughtUp> {
        let range = self.waiting.pop_front()?;
        self.first += 1;
        Some(range)
    }

    /// The lowest serial after which one of them lacked something. They count as shown.
    pub(super) fn show(&mut self) -> Option<u64> {
        self.shown = self.first + self.waiting.len() as u64;
        self.waiting.iter().map(|range| range.after).min()
    }

    /// Those that were shown are done with.
    pub(super) fn drop_shown(&mut self) {
        while self.first < self.shown && self.pop().is_some() {}
    }
}
