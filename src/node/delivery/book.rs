//! The receipts of the latest changes, within their bounds. Time is an argument here.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announcement::{Announcement, Delivery, Outcome, Receipt, Reply};
use super::compared::{Compared, Match};
use super::servers::{MAX_SERVERS, Server, Servers};
use crate::key::AccountKey;

/// How many changes have receipts.
const MAX_CHANGES: usize = 10_000;
/// How long the receipts of a change are kept.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How many bytes all receipts may take, about.
const MAX_BYTES: usize = 64 << 20;
/// What a receipt takes, about, its texts aside.
const RECEIPT_BYTES: usize = 320;
/// Longer texts of errors are cut.
const MAX_ERROR: usize = 512;
/// How soon after a connection is made all nats-servers have answered the roll call. Before that, it is unknown which are
/// there.
const SETTLE: Duration = Duration::from_millis(500);
/// The time-out of a nats-server that fetches an account: measured as 1.900 s for the URL resolver, 2.9.10 to 2.15.1. A
/// fetch that began before a change can bring an older JWT for so long.
pub const FETCH_TIMEOUT: Duration = Duration::from_millis(1900);

/// How long it may take to load a JWT of 128 KiB after that: four times as long as it takes on an idle machine.
const LOADING_128_KIB: Duration = Duration::from_secs(8);
/// A longer JWT is given no more time: its validation is quick, or no client waits for the end of it.
const MAX_LOADING_BYTES: usize = 200 << 10;

#[derive(Debug)]
struct BookedChange {
    announcement: Announcement,
    /// Unix milliseconds; `None`: not by this process.
    announced_at: Option<i64>,
    announced: Instant,
    /// Since when its receipts are kept.
    kept: Instant,
    /// When it was sent last.
    sent: Option<Instant>,
    receipts: HashMap<String, (usize, Receipt)>,
    /// Since when all replicas are known to have the change.
    replicas_since: Option<Instant>,
    trouble: Option<String>,
    /// Whether nats-servers with a full resolver, which may not have the account loaded, store nothing else; `None`: they
    /// were not asked.
    is_stored: Option<bool>,
}

impl BookedChange {
    fn weight(&self) -> usize {
        self.receipts.values().map(|(_, receipt)| weight(receipt)).sum()
    }

    /// Since when an account that is not loaded cannot be loaded with an older JWT any more.
    fn not_loaded_since(&self) -> Option<Instant> {
        if !self.announcement.has_older {
            return Some(self.announced);
        }
        Some(self.announced.max(self.replicas_since?) + FETCH_TIMEOUT + loading(self.announcement.bytes))
    }

    fn may_be_stored_older(&self) -> bool {
        // A full resolver that answered `updated` has stored it.
        let is_open = |receipt: &Receipt| receipt.outcome() == Some(Outcome::NotLoaded);
        self.is_stored != Some(true) && self.receipts.values().any(|(_, receipt)| is_open(receipt))
    }

    fn receipt(&mut self, server: &Arc<Server>) -> Option<&mut Receipt> {
        let place = self.receipts.len();
        if place >= MAX_SERVERS && !self.receipts.contains_key(&server.id) {
            return None;
        }
        let empty = || (place, Receipt { server: server.clone(), reply: None, compared: None });
        Some(&mut self.receipts.entry(server.id.clone()).or_insert_with(empty).1)
    }
}

/// How long a nats-server may take to load a JWT of this size, in bytes, that it has fetched. It validates the claims, which is
/// quadratic in exports and imports: 0.5 s were seen for 97 KB of exports, 2.1 s for 147 KB. All else takes less.
fn loading(bytes: usize) -> Duration {
    let size = u32::try_from(bytes.min(MAX_LOADING_BYTES) / 1024).unwrap_or(u32::MAX);
    LOADING_128_KIB * size * size / (128 * 128)
}

fn weight(receipt: &Receipt) -> usize {
    let error = receipt.reply.as_ref().and_then(|reply| reply.error.as_ref()).map_or(0, |error| error.len());
    let compared = receipt.compared.as_ref().map_or(0, |(compared, _)| match &compared.found {
        Match::Incomplete { missing, .. } => missing.iter().map(String::len).sum(),
        Match::Rejected { error, .. } => error.len(),
        _ => 0,
    });
    RECEIPT_BYTES + error + compared
}

/// All receipts that are kept.
#[derive(Debug)]
pub(super) struct Book {
    changes: HashMap<u64, BookedChange>,
    /// Their serials, those announced first at the front.
    order: VecDeque<u64>,
    bytes: usize,
    passed: u64,
    connected: Option<Instant>,
    /// Every replica has all changes up to this one.
    replicas_at: u64,
    /// The changes of which that is not known.
    not_on_replicas: BTreeSet<u64>,
    /// Whether there are nats-servers with a full resolver.
    has_full_resolvers: bool,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            changes: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            passed: 0,
            connected: None,
            // There are no replicas.
            replicas_at: u64::MAX,
            not_on_replicas: BTreeSet::new(),
            has_full_resolvers: false,
        }
    }
}

impl Book {
    /// Notes an announcement, which may be one of several of the same change. Returns whether it is the first.
    pub(super) fn announced(
        &mut self,
        announcement: Announcement,
        at: i64,
        now: Instant,
        is_waited_for: impl Fn(u64) -> bool,
    ) -> bool {
        let serial = announcement.serial;
        if let Some(change) = self.changes.get_mut(&serial) {
            change.trouble = None;
            change.sent = Some(now);
            let is_first = change.announced_at.is_none();
            change.announced_at.get_or_insert(at);
            return is_first;
        }
        self.add(announcement, Some(at), (now, now), Some(now), is_waited_for);
        true
    }

    /// Begins to keep receipts of a change that this process did not announce, and that was committed before `since`.
    pub(super) fn adopt(
        &mut self,
        announcement: Announcement,
        since: Instant,
        now: Instant,
        is_waited_for: impl Fn(u64) -> bool,
    ) {
        if !self.changes.contains_key(&announcement.serial) {
            self.add(announcement, None, (since, now), None, is_waited_for);
        }
    }

    fn add(
        &mut self,
        announcement: Announcement,
        announced_at: Option<i64>,
        (announced, now): (Instant, Instant),
        sent: Option<Instant>,
        is_waited_for: impl Fn(u64) -> bool,
    ) {
        let serial = announcement.serial;
        let is_on_replicas = serial <= self.replicas_at;
        if !is_on_replicas {
            self.not_on_replicas.insert(serial);
        }
        let change = BookedChange {
            announcement,
            announced_at,
            announced,
            kept: now,
            sent,
            receipts: HashMap::new(),
            replicas_since: is_on_replicas.then_some(announced),
            trouble: None,
            is_stored: None,
        };
        self.changes.insert(serial, change);
        self.order.push_back(serial);
        self.shrink(now, is_waited_for);
    }

    /// When the current JWT of an account was last sent as this change. `None`: not by this process.
    pub(super) fn last_sent(&self, serial: u64) -> Option<Instant> {
        self.changes.get(&serial)?.sent
    }

    /// Whether receipts of a change are kept.
    pub(super) fn is_kept(&self, serial: u64) -> bool {
        self.changes.contains_key(&serial)
    }

    /// Notes that a change could not be sent, and why.
    pub(super) fn unsent(&mut self, serial: u64, trouble: &str) {
        if let Some(change) = self.changes.get_mut(&serial) {
            change.trouble = Some(cut(trouble).to_owned());
        }
    }

    /// Notes a nats-server's answer to an announcement. Returns the account, and the time since the change was first
    /// announced; `None` if its receipts are not kept.
    pub(super) fn answered(
        &mut self,
        serial: u64,
        server: &Arc<Server>,
        outcome: Outcome,
        error: Option<&str>,
        now: Instant,
    ) -> Option<(AccountKey, Duration)> {
        let change = self.changes.get_mut(&serial)?;
        let key = change.announcement.key;
        let after = now.saturating_duration_since(change.announced);
        let reply = Reply { outcome, after, error: error.map(|text| cut(text).into()) };
        let Some(receipt) = change.receipt(server) else { return Some((key, after)) };
        let before = if receipt.outcome().is_some() { weight(receipt) } else { 0 };
        // Of several answers the first one that the server took the JWT counts: since then it is in effect.
        if receipt.reply.as_ref().is_none_or(|known| known.outcome != Outcome::Updated) {
            receipt.reply = Some(reply);
        }
        self.bytes = self.bytes + weight(receipt) - before;
        Some((key, after))
    }

    /// Notes what a comparison found.
    pub(super) fn compared(&mut self, server: &Arc<Server>, compared: &Arc<Compared>, now: Instant) {
        let Some(change) = self.changes.get_mut(&compared.serial) else { return };
        // What it ran before it could know of the change says nothing about the change.
        if compared.asked < change.announced {
            return;
        }
        let after = now.saturating_duration_since(change.announced);
        let Some(receipt) = change.receipt(server) else { return };
        let before = if receipt.outcome().is_some() { weight(receipt) } else { 0 };
        match &receipt.compared {
            // Comparisons may overtake each other.
            Some((known, _)) if known.asked > compared.asked => {}
            // What was found is known since it was first found.
            Some((known, since)) if known.found == compared.found => {
                receipt.compared = Some((compared.clone(), *since));
            }
            _ => receipt.compared = Some((compared.clone(), after)),
        }
        self.bytes = self.bytes + weight(receipt) - before;
    }

    /// Notes that every replica has all changes up to `serial`. Returns the changes of which that is news.
    pub(super) fn replicas_reached(&mut self, serial: u64, now: Instant) -> Vec<u64> {
        self.replicas_at = serial;
        let behind = serial.checked_add(1).map(|next| self.not_on_replicas.split_off(&next)).unwrap_or_default();
        let reached = std::mem::replace(&mut self.not_on_replicas, behind);
        for serial in &reached {
            if let Some(change) = self.changes.get_mut(serial) {
                change.replicas_since.get_or_insert(now);
            }
        }
        reached.into_iter().collect()
    }

    /// Since when a comparison that finds a change's account not loaded counts. `None`: that is not known yet, or no
    /// receipts of it are kept.
    pub(super) fn not_loaded_since(&self, serial: u64) -> Option<Instant> {
        self.changes.get(&serial)?.not_loaded_since()
    }

    /// Notes whether there are nats-servers with a full resolver.
    pub(super) const fn full_resolvers(&mut self, there_are: bool) {
        self.has_full_resolvers = there_are;
    }

    /// Whether nats-servers with a full resolver may store an older JWT of a change's account: it is not loaded
    /// somewhere, and it is not known that they store this one.
    pub(super) fn may_be_stored_older(&self, serial: u64) -> bool {
        self.has_full_resolvers && self.changes.get(&serial).is_some_and(BookedChange::may_be_stored_older)
    }

    /// Notes whether nats-servers with a full resolver store nothing but a change.
    pub(super) fn stored(&mut self, serial: u64, is_stored: bool) {
        if let Some(change) = self.changes.get_mut(&serial) {
            change.is_stored = Some(is_stored);
        }
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

    /// When it can be told which nats-servers there are, if that is not yet.
    pub(super) fn settles(&self, now: Instant) -> Option<Instant> {
        self.connected.map(|connected| connected + SETTLE).filter(|settles| *settles > now)
    }

    /// Whether every nats-server that is there is proven to run a change, there is one, and all replicas have it.
    pub(super) fn is_proven(&self, serial: u64, servers: &Servers, now: Instant) -> bool {
        self.changes.get(&serial).is_some_and(|change| change.replicas_since.is_some())
            && self.is_at_nats(serial, servers, now)
    }

    /// Whether every nats-server that is there is proven to run a change, and there is one.
    pub(super) fn is_at_nats(&self, serial: u64, servers: &Servers, now: Instant) -> bool {
        let Some(change) = self.changes.get(&serial) else { return false };
        let since = change.not_loaded_since();
        let is_proven = |id: &str| change.receipts.get(id).is_some_and(|(_, receipt)| receipt.is_proven(since));
        servers.count() > 0
            && change.trouble.is_none()
            && self.settles(now).is_none()
            && change.receipts.len() >= servers.count()
            && servers.present().all(|present| is_proven(&present.server.id))
            && !self.may_be_stored_older(serial)
    }

    pub(super) fn delivery(&self, serial: u64, servers: &Servers, now: Instant) -> Option<Delivery> {
        let change = self.changes.get(&serial)?;
        let mut receipts: Vec<&(usize, Receipt)> = change.receipts.values().collect();
        receipts.sort_unstable_by_key(|(place, _)| *place);
        let is_silent = |server: &Server| !change.receipts.contains_key(&server.id);
        let mut silent: Vec<Arc<Server>> =
            servers.present().map(|present| present.server).filter(|server| is_silent(server)).collect();
        silent.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Some(Delivery {
            announcement: change.announcement.clone(),
            announced_at: change.announced_at,
            receipts: receipts.into_iter().map(|(_, receipt)| receipt.clone()).collect(),
            silent,
            is_proven: self.is_proven(serial, servers, now),
            trouble: change.trouble.clone(),
        })
    }

    /// Lets go of what is too old.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.shrink(now, |_| false);
    }

    fn shrink(&mut self, now: Instant, is_waited_for: impl Fn(u64) -> bool) {
        // Each is looked at once: if all are waited for, all stay.
        for _ in 0..self.order.len() {
            let Some(serial) = self.order.front().copied() else { return };
            let too_old =
                self.changes.get(&serial).is_none_or(|change| now.saturating_duration_since(change.kept) >= MAX_AGE);
            if !too_old && self.changes.len() <= MAX_CHANGES && self.bytes <= MAX_BYTES {
                return;
            }
            self.order.pop_front();
            if is_waited_for(serial) {
                self.order.push_back(serial);
            } else if let Some(change) = self.changes.remove(&serial) {
                self.bytes -= change.weight();
                self.not_on_replicas.remove(&serial);
            }
        }
    }
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    let end = (0..=MAX_ERROR.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests;
