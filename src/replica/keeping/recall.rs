//! Bringing back what an earlier process kept.
//!
//! Nothing is verified before the start: who is asked for comes first, through the gate, and the rest follows in the
//! background.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::position::Limit;
use super::super::{Replica, Slot};
use crate::clock;
use crate::folder::{self, Layout};
use crate::gate::operator::{self, Begun, Way};
use crate::gate::{OperatorChange, OperatorRefusal, Refusal, Standing, Via};
use crate::key::AccountKey;
use crate::store::snapshot::{Copy, Found, Seen};

/// Copies that are read at once.
const BATCH: u32 = 128;
/// How often is looked whether a damaged snapshot is mended.
const MENDING: Duration = Duration::from_millis(20);

impl Replica {
    /// Trusts the operator that an earlier process trusted, and then the one that is configured, if that may take its place.
    pub(in crate::replica) fn recall_operator(self: &Arc<Self>) -> Result<(), OperatorRefusal> {
        let stored = self.keeping.snapshot.operator();
        let configured = self.gate.trust();
        let (kept, withdrawn) = stored.map_or((None, Vec::new()), |stored| (Some(stored.chain), stored.withdrawn));
        let before = Standing::restore(kept.clone(), withdrawn.into_iter().collect());
        let arrival = self.gate.arrival(Way::FollowerFile, clock::unix_seconds());
        let change_to = self.setup.change_operator.as_ref();
        let chain = match operator::begin(kept.as_deref(), configured.as_ref(), change_to, &arrival)? {
            Begun::Kept => None,
            Begun::Refused(refusal) => {
                tracing::warn!(
                    "the configured operator JWT is not used; the one in the snapshot stays in force: {refusal}"
                );
                None
            }
            Begun::First(chain) | Begun::Next(chain) => Some(chain),
            Begun::Changed(chain) => {
                tracing::warn!(
                    "the operator changes to {}: nothing that the former one signed will be served",
                    chain.anchor().identity()
                );
                Some(chain)
            }
        };
        self.keeping.note_operator();
        let Some(chain) = chain else {
            self.gate.set_standing(before);
            return Ok(());
        };
        if kept.is_some() {
            let change = OperatorChange::to(&before, &chain);
            change.log();
            self.count_operator(&change);
        } else {
            chain.log_first();
        }
        self.gate.set_standing(before.after(Arc::new(chain)));
        Ok(())
    }

    /// The copy of an account that an earlier process left, if it may be served.
    pub(in crate::replica) fn recall(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        if self.keeping.is_warm() {
            return None;
        }
        self.take_copy(self.stored(key)?)
    }

    /// Whether an earlier process left a copy of an account that was not brought back yet.
    pub(in crate::replica) fn is_stored(&self, key: &AccountKey) -> bool {
        !self.keeping.is_warm() && self.stored(key).is_some()
    }

    fn stored(&self, key: &AccountKey) -> Option<Copy> {
        // What happened to it since counts.
        if self.keeping.copies.lock().contains(key) {
            return None;
        }
        self.keeping.snapshot.copy(key)
    }

    fn take_copy(&self, copy: Copy) -> Option<Arc<Slot>> {
        let stand = self.keeping.stand();
        let key = copy.key;
        let entry = match self.gate.admit(&copy.jwt, Some(&key), Via::Snapshot, clock::unix_seconds()) {
            Ok(entry) => Arc::new(entry),
            Err(refusal) => {
                self.metrics.refused(Via::Snapshot, &refusal);
                if !matches!(refusal, Refusal::Untrusted(_)) {
                    tracing::warn!("the copy of {key} in the snapshot is refused: {refusal}");
                }
                self.keeping.note_copy(&key);
                return None;
            }
        };
        let is_current = copy.stretch != 0 && copy.stretch >= stand.joined;
        let confirmed = if is_current { copy.confirmed.max(stand.heard) } else { copy.confirmed };
        // If the clock was set back since, the copy is as old as anything can be.
        let age = clock::millis_since(confirmed).unwrap_or_else(clock::unix_millis);
        let confirmed = clock::uptime_millis() - age;
        self.memory.with(&key, |seen| {
            if let Some(slot) = self.cache.get(&key) {
                return Some(slot);
            }
            if seen.newest().is_none() && seen.held.deleted().is_none() {
                // What was seen of it is lost: it begins with what is at hand. Only upstream gives places.
                match copy.at {
                    Some(_) => seen.held.put(entry.version(), copy.at, &self.gate.standing()),
                    None => seen.heard = Some(entry.version()),
                }
            }
            if !is_of(seen, &entry) || !self.gate.vouches(entry.issuer()) {
                self.keeping.note_copy(&key);
                return None;
            }
            let slot = Arc::new(Slot::recalled(entry, copy.at, if is_current { stand.stretch } else { 0 }, confirmed));
            if !is_current && copy.stretch != 0 {
                // It belongs to no stretch from now on, on disk as well.
                self.keeping.note_copy(&key);
            }
            self.cache.insert(key, slot.clone());
            if !is_current {
                self.is_unconfirmed(&key, self.limits.get(Limit::WarmUp).unwrap_or_else(|| self.beginning()));
            }
            if !self.gate.vouches(slot.entry().issuer()) {
                self.cache.invalidate(&key);
                return None;
            }
            Some(slot)
        })
    }

    /// Brings back all that an earlier process kept.
    pub(super) fn warm_up(self: &Arc<Self>) {
        let (start, snapshot) = (Instant::now(), &self.keeping.snapshot);
        let mut count = loop {
            let mended = snapshot.mended();
            let count = self.take_copies();
            // What could not be read may be readable when it is mended.
            while snapshot.is_damaged() && !self.keeping.failing.load(Ordering::Acquire) {
                std::thread::sleep(MENDING);
            }
            if snapshot.mended() == mended {
                break count;
            }
        };
        if let Some(tokens) = &self.keeping.tokens {
            count += self.take_tokens(tokens);
        }
        self.keeping.warm.store(true, Ordering::Release);
        self.limits.lift(Limit::WarmUp);
        self.limits.work.notify_one();
        self.fill_soon();
        if count > 0 || self.keeping.found != Found::Nothing {
            tracing::info!("{count} JWTs were brought back from disk in {:.1} s", start.elapsed().as_secs_f64());
        }
    }

    fn take_copies(&self) -> u64 {
        let (mut after, mut count) = (0, 0);
        while let Some((copies, last)) = self.keeping.snapshot.copies(after, BATCH) {
            after = last;
            for copy in copies {
                let is_cached = self.cache.contains_key(&copy.key) || self.keeping.copies.lock().contains(&copy.key);
                count += u64::from(is_cached || self.take_copy(copy).is_some());
            }
        }
        count
    }

    /// Takes in what an earlier kind of server left in a folder of tokens. The folder is only read.
    fn take_tokens(self: &Arc<Self>, root: &Path) -> u64 {
        let listing = match folder::list(root, Layout::Flat) {
            Ok(listing) => listing,
            Err(error) => {
                tracing::warn!("the JWTs of an earlier server are not taken in: {error}");
                return 0;
            }
        };
        let homes = listing.homes.iter().map(|key| (Layout::Flat.place(root, key), *key));
        let extras = listing.extras.iter().map(|file| (file.path.clone(), file.key));
        let mut count = 0;
        for (path, key) in homes.chain(extras) {
            match self.take_token(&path, &key) {
                Ok(()) => count += 1,
                Err(reason) => tracing::warn!("{} is not taken in: {reason}", path.display()),
            }
        }
        count
    }

    fn take_token(self: &Arc<Self>, path: &Path, key: &AccountKey) -> Result<(), String> {
        let (_, bytes) = folder::read(path).map_err(|unread| unread.to_string())?;
        let admitted = self.gate.admit(&bytes, Some(key), Via::FirstScan, clock::unix_seconds());
        let entry = Arc::new(admitted.map_err(|refusal| refusal.to_string())?);
        self.find(&entry).map_err(|refusal| refusal.to_string())
    }
}

/// Whether a JWT is the very version that was seen last, and still to be served.
fn is_of(seen: &Seen, entry: &crate::gate::Entry) -> bool {
    seen.newest() == Some(&entry.version()) && seen.is_served()
}
