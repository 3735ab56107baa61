//! The receipts themselves, within their bounds. Time is an argument here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::receipt::{Announcement, Delivery, Outcome, Receipt};
use super::servers::{MAX_SERVERS, Server, Servers};
use crate::key::AccountKey;

/// How many receipts are kept.
const MAX_RECEIPTS: usize = 10_000;
/// How long a receipt is kept.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How many bytes the answers in all receipts may take, about.
const MAX_BYTES: usize = 64 << 20;
/// What an answer takes, about, its text aside.
const ANSWER_BYTES: usize = 64;
/// Longer texts of errors are cut.
const MAX_ERROR: usize = 512;
/// How soon after a connection is made all nats-servers have said that they are there. Before that, nobody can tell
/// whether all have answered.
const SETTLE: Duration = Duration::from_millis(500);

/// An announcement that was not answered is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// So many are looked at in one go.
const LOOK_AT: usize = 256;
/// Who answers a roll call that was made so long after an announcement, but not the announcement, never got it.
const OVERTAKEN: Duration = Duration::from_secs(2);
/// A change is announced again so often. A server that still does not answer never will.
const MAX_REPEATS: u32 = 3;

#[derive(Debug)]
struct Kept {
    announcement: Announcement,
    announced_at: i64,
    announced: Instant,
    /// When it was last sent.
    sent: Instant,
    /// How often it was sent again because a server that came back had not got it.
    repeats: u32,
    answers: Vec<Receipt>,
    trouble: Option<String>,
}

impl Kept {
    fn weight(&self) -> usize {
        self.answers.iter().map(weight).sum()
    }
}

fn weight(answer: &Receipt) -> usize {
    ANSWER_BYTES + answer.error.as_ref().map_or(0, |error| error.len())
}

/// All receipts that are kept, and who is there.
#[derive(Debug, Default)]
pub(super) struct Book {
    receipts: HashMap<u64, Kept>,
    /// Their serials, those announced first at the front.
    order: VecDeque<u64>,
    bytes: usize,
    /// Changes that somebody may not have got, and when to look at each.
    unsure: VecDeque<(u64, Instant)>,
    passed: u64,
    servers: Servers,
    connected: Option<Instant>,
}

impl Book {
    pub(super) fn announced(
        &mut self,
        announcement: Announcement,
        at: i64,
        now: Instant,
        is_waited_for: impl Fn(u64) -> bool,
    ) {
        let serial = announcement.serial;
        if let Some(receipt) = self.receipts.get_mut(&serial) {
            // Again, after a connection broke, or because somebody asked for it.
            receipt.trouble = None;
            receipt.sent = now;
            return;
        }
        let receipt = Kept {
            announcement,
            announced_at: at,
            announced: now,
            sent: now,
            repeats: 0,
            answers: Vec::new(),
            trouble: None,
        };
        self.receipts.insert(serial, receipt);
        self.order.push_back(serial);
        self.unsure.push_back((serial, now + LOOK_EVERY));
        if self.unsure.len() > MAX_RECEIPTS {
            self.unsure.pop_front();
        }
        self.shrink(now, is_waited_for);
    }

    pub(super) fn unsent(&mut self, serial: u64, trouble: &str) {
        if let Some(receipt) = self.receipts.get_mut(&serial) {
            receipt.trouble = Some(cut(trouble).to_owned());
        }
    }

    pub(super) fn answered(
        &mut self,
        serial: u64,
        server: Server,
        outcome: Outcome,
        error: Option<&str>,
        now: Instant,
    ) -> Option<Duration> {
        // That it was there earlier, only the roll call can tell: it may have answered a repeated announcement.
        let (server, _) = self.servers.heard(server, now, now);
        let receipt = self.receipts.get_mut(&serial)?;
        let after = now.saturating_duration_since(receipt.announced);
        let answer = Receipt { server, outcome, after, error: error.map(|text| cut(text).into()) };
        let known = receipt.answers.iter().position(|known| known.server.id == answer.server.id);
        match known {
            // The same announcement may come twice, and the first answer is when it took effect.
            Some(at) if receipt.answers[at].outcome != Outcome::Error => {}
            Some(at) => {
                self.bytes = self.bytes + weight(&answer) - weight(&receipt.answers[at]);
                receipt.answers[at] = answer;
            }
            None if receipt.answers.len() < MAX_SERVERS => {
                self.bytes += weight(&answer);
                receipt.answers.push(answer);
            }
            None => {}
        }
        Some(after)
    }

    /// Returns whether the announcer has come further.
    pub(super) fn pass(&mut self, serial: u64) -> bool {
        let further = serial > self.passed;
        self.passed = self.passed.max(serial);
        further
    }

    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    pub(super) fn heard(&mut self, server: Server, asked: Instant, now: Instant) -> bool {
        self.servers.present(server, asked, now)
    }

    pub(super) fn gone(&mut self, id: &str) -> bool {
        self.servers.gone(id)
    }

    pub(super) fn servers(&self) -> usize {
        self.servers.count()
    }

    /// Lets go what is too old. Returns whether other servers are there now.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        self.shrink(now, |_| false);
        self.servers.sweep(now, MAX_AGE)
    }

    /// When it can be told whether a change is complete, if that is not yet.
    pub(super) fn settles(&self, now: Instant) -> Option<Instant> {
        self.connected.map(|connected| connected + SETTLE).filter(|settles| *settles > now)
    }

    /// Changes that a server never got although it is there: it was cut off when they were announced, and is back. Each
    /// with the name of such a server.
    pub(super) fn owed(&mut self, now: Instant) -> Vec<(u64, AccountKey, Arc<Server>)> {
        let mut owed = Vec::new();
        for _ in 0..LOOK_AT {
            let Some((serial, due)) = self.unsure.front().copied() else { break };
            if due > now {
                break;
            }
            self.unsure.pop_front();
            let Some(receipt) = self.receipts.get_mut(&serial) else { continue };
            let silent: Vec<&Arc<Server>> = silent(&self.servers, receipt).collect();
            if silent.is_empty() || receipt.repeats >= MAX_REPEATS {
                continue;
            }
            self.unsure.push_back((serial, now + LOOK_EVERY));
            let overtaken = receipt.sent + OVERTAKEN;
            let back = silent.into_iter().find(|server| self.servers.is_present_after(&server.id, overtaken)).cloned();
            if let Some(server) = back {
                receipt.repeats += 1;
                owed.push((serial, receipt.announcement.key, server));
            }
        }
        owed
    }

    pub(super) fn delivery(&self, serial: u64, now: Instant) -> Option<Delivery> {
        let receipt = self.receipts.get(&serial)?;
        let mut silent: Vec<Arc<Server>> = silent(&self.servers, receipt).cloned().collect();
        silent.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        let complete = silent.is_empty() && !receipt.answers.is_empty() && self.settles(now).is_none();
        Some(Delivery {
            announcement: receipt.announcement.clone(),
            announced_at: receipt.announced_at,
            answers: receipt.answers.clone(),
            silent,
            complete,
            trouble: receipt.trouble.clone(),
        })
    }

    fn shrink(&mut self, now: Instant, is_waited_for: impl Fn(u64) -> bool) {
        // Each is looked at once: if all are waited for, all stay.
        for _ in 0..self.order.len() {
            let Some(serial) = self.order.front().copied() else { return };
            let too_old = self
                .receipts
                .get(&serial)
                .is_none_or(|receipt| now.saturating_duration_since(receipt.announced) >= MAX_AGE);
            if !too_old && self.receipts.len() <= MAX_RECEIPTS && self.bytes <= MAX_BYTES {
                return;
            }
            self.order.pop_front();
            if is_waited_for(serial) {
                self.order.push_back(serial);
            } else if let Some(receipt) = self.receipts.remove(&serial) {
                self.bytes -= receipt.weight();
            }
        }
    }
}

/// Who was there when a change was announced, and has not answered.
fn silent<'a>(servers: &'a Servers, receipt: &'a Kept) -> impl Iterator<Item = &'a Arc<Server>> {
    let has_answered = |server: &Server| receipt.answers.iter().any(|answer| answer.server.id == server.id);
    servers.told(receipt.announced).filter(move |server| !has_answered(server))
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    let end = (0..=MAX_ERROR.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests;
