//! What an account holds, and what it takes to say that it holds nothing.
//!
//! While the folder is imported, the journal does not have all accounts, and an account that it lacks is not absent: its
//! file may not have had its turn. To ask for the account first, and then whether the scan has ended, would take an
//! answer from before the end for the last word. So only [`Primary::look`] says that an account is absent, and it takes a
//! proof that everything the folder held of the account is in the journal ([`Imported`]). Whatever happens between the
//! proof and the look can only add to what is found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Primary;
use super::progress::{Imported, ScanStage};
use super::seam::ScanMoment;
use crate::clock;
use crate::gate::Held;
use crate::jwt::Called;
use crate::key::{AccountKey, PublicKey};
use crate::node::Lookup;
use crate::store::journal::Stored;
use crate::store::{StoreError, blocking};

/// A query that takes more milliseconds than this had to wait for a disk that is slow: on a busy machine, threads lose their turn for
/// less.
const SLOW: i64 = 25;
/// For this many milliseconds after that, queries run on threads that may be blocked.
const SLOW_FOR: i64 = 500;
/// How long an answer waits for the scan. A nats-server waits for 1.9 seconds.
pub(super) const SCAN_WAIT: Duration = Duration::from_secs(1);

/// What the journal has of an account.
enum Journaled {
    Served(Arc<Stored>),
    Withheld(PublicKey),
    Nothing,
}

/// What an account holds before its import is proven, once the file in its place is imported.
enum Early {
    /// A JWT that can be served waits for nothing.
    Served(Arc<Stored>),
    /// Nothing yet. It is known whether the file in its place is imported, or there is none.
    Nothing { is_placed: bool },
}

impl Primary {
    /// The JWT of an account, if its body is in the cache.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        self.bodies.get(key)
    }

    /// An account for people: with its name, if that can be told without waiting.
    pub fn called(&self, key: &AccountKey) -> Called {
        let stored = self.cached(key).or_else(|| match self.lookup_now(key) {
            Some(Lookup::Served(stored)) => Some(stored),
            _ => None,
        });
        stored.map_or_else(|| (*key).into(), |stored| stored.entry.called())
    }

    /// The JWT of an account that the journal has and that may be served. Blocks for a query.
    ///
    /// `Ok(None)` does not say that the account is absent: [`Primary::lookup`] does.
    pub fn served(&self, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError> {
        Ok(match self.read(key)? {
            Journaled::Served(stored) => Some(stored),
            Journaled::Withheld(_) | Journaled::Nothing => None,
        })
    }

    /// What an account holds, if that is known without waiting. `None`: [`Primary::lookup`] finds out.
    pub fn lookup_now(&self, key: &AccountKey) -> Option<Lookup> {
        match self.progress.imported(key) {
            Some(imported) => self.in_time(|| self.look(imported)),
            None => {
                self.seam.at(ScanMoment::Begun);
                let served = self.in_time(|| self.served(key))?;
                self.seam.at(ScanMoment::Missed);
                served.map(Lookup::Served)
            }
        }
    }

    /// What an account holds. While the folder is imported, the account's file is imported first; where no name leads to
    /// it, this waits for the scan, a second at most, and then fails with [`StoreError::Importing`]. Where the file may be in
    /// a sub-folder that cannot be read, it fails with [`StoreError::SubFolderClosed`].
    pub async fn lookup(self: &Arc<Self>, key: &AccountKey) -> Result<Lookup, StoreError> {
        let imported = match self.progress.imported(key) {
            Some(imported) => imported,
            None => {
                let key = *key;
                match self.blocking(move |primary| primary.look_early(&key)).await? {
                    Early::Served(stored) => return Ok(Lookup::Served(stored)),
                    Early::Nothing { is_placed } => self.wait_for(&key, is_placed).await?,
                }
            }
        };
        self.blocking(move |primary| primary.look(imported)).await
    }

    /// As [`Primary::lookup`], on a thread that may be blocked.
    pub(super) fn lookup_blocking(&self, key: &AccountKey) -> Result<Lookup, StoreError> {
        let imported = match self.progress.imported(key) {
            Some(imported) => imported,
            None => match self.look_early(key)? {
                Early::Served(stored) => return Ok(Lookup::Served(stored)),
                Early::Nothing { is_placed } => {
                    self.seam.at(ScanMoment::Waiting);
                    self.progress.reaches_blocking(ScanStage::before(is_placed), SCAN_WAIT);
                    self.proof(key, is_placed)?
                }
            },
        };
        self.look(imported)
    }

    /// What the order of an account's versions depends on, all that the folder held of it included. Waits for the scan as
    /// [`Primary::lookup`] does.
    pub async fn held(self: &Arc<Self>, key: &AccountKey) -> Result<Held, StoreError> {
        let imported = match self.progress.imported(key) {
            Some(imported) => imported,
            None => {
                self.seam.at(ScanMoment::Begun);
                let key = *key;
                let is_placed = self.blocking(move |primary| primary.import_place(&key)).await?;
                self.wait_for(&key, is_placed).await?
            }
        };
        self.blocking(move |primary| primary.journal.held(imported.key())).await
    }

    /// What an account holds that is imported. Blocks for a query.
    fn look(&self, imported: Imported) -> Result<Lookup, StoreError> {
        Ok(match self.read(imported.key())? {
            Journaled::Served(stored) => Lookup::Served(stored),
            Journaled::Withheld(issuer) => Lookup::Withheld(issuer),
            Journaled::Nothing => Lookup::Absent,
        })
    }

    fn read(&self, key: &AccountKey) -> Result<Journaled, StoreError> {
        let before = self.bodies.generation(key);
        let Some(stored) = self.journal.get(key)? else { return Ok(Journaled::Nothing) };
        let stored = Arc::new(stored);
        if !self.gate.vouches(stored.entry.issuer()) {
            return Ok(Journaled::Withheld(*stored.entry.issuer()));
        }
        self.bodies.keep(&stored, before);
        Ok(Journaled::Served(stored))
    }

    /// Imports the file in the account's place, unless the journal has something to serve. Blocks.
    fn look_early(&self, key: &AccountKey) -> Result<Early, StoreError> {
        self.seam.at(ScanMoment::Begun);
        if let Some(stored) = self.served(key)? {
            return Ok(Early::Served(stored));
        }
        self.seam.at(ScanMoment::Missed);
        let is_placed = self.import_place(key)?;
        // The scan may have brought it there.
        Ok(self.served(key)?.map_or(Early::Nothing { is_placed }, Early::Served))
    }

    async fn wait_for(&self, key: &AccountKey, is_placed: bool) -> Result<Imported, StoreError> {
        self.seam.at(ScanMoment::Waiting);
        self.progress.reaches(ScanStage::before(is_placed), SCAN_WAIT).await;
        self.proof(key, is_placed)
    }

    fn proof(&self, key: &AccountKey, is_placed: bool) -> Result<Imported, StoreError> {
        self.progress.proof(key, is_placed).ok_or_else(|| match self.progress.is_closed(|| key.text()) {
            true => StoreError::SubFolderClosed,
            false => StoreError::Importing,
        })
    }

    /// Asks the journal on a thread that may be blocked.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let primary = self.clone();
        blocking(move || query(&primary)).await
    }

    /// Asks the journal on a thread that others wait for. `None`: it failed or was slow lately, and a thread of its own
    /// should wait for it.
    ///
    /// To hand a query to another thread and back costs more than the query, as long as its pages are in memory.
    fn in_time<T>(&self, query: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        let began = clock::uptime_millis();
        // A query that has been under way for long shows a slow disk, and this one would wait as well.
        let under_way = self.reading_since.load(Ordering::Relaxed);
        if began < self.slow_until.load(Ordering::Relaxed) || (under_way != 0 && began - under_way > SLOW) {
            return None;
        }
        let is_first = self.reading_since.compare_exchange(0, began, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let found = query();
        if is_first {
            self.reading_since.store(0, Ordering::Relaxed);
        }
        let ended = clock::uptime_millis();
        if ended - began > SLOW {
            self.slow_until.store(ended + SLOW_FOR, Ordering::Relaxed);
        }
        found.ok()
    }
}

#[cfg(test)]
mod tests;
