//! Writes changes to disk, and restores what an earlier process stored.
//!
//! A thread writes every half second. It reads the position first, and then gathers the changes. So the disk is never
//! behind the position that is written with them.

mod warm_up;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::cached_copy::CachedCopy;
use super::parts::Parts;
use super::position::lower;
use super::resync::Resync;
use crate::clock;
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::snapshot::{Batch, Copy, FILE, Operator, Stand};

/// The pause between two writes.
const EVERY: Duration = Duration::from_millis(500);
/// The longest time without a write while only time has passed, in milliseconds.
const IDLE: i64 = 10_000;

/// The thread that writes, and what it wrote last.
#[derive(Debug)]
pub(super) struct Persist {
    parts: Parts,
    resync: Arc<Resync>,
    writer: Mutex<Option<JoinHandle<()>>>,
    written: Mutex<Option<Stand>>,
}

impl Persist {
    pub(super) fn new(parts: Parts, resync: Arc<Resync>) -> Self {
        Self { parts, resync, writer: Mutex::default(), written: Mutex::default() }
    }

    /// Starts to write to the snapshot, and to restore its copies. Fails if no thread can be started.
    pub(super) fn begin_writing(self: &Arc<Self>) -> Result<(), StoreError> {
        let failed = || StoreError::io("start a thread for", Path::new(FILE));
        let (persist, disk) = (Arc::downgrade(self), self.parts.held.disk.clone());
        let write_on = move || {
            while !disk.wait(EVERY) {
                let Some(persist) = persist.upgrade() else { return };
                persist.write_down();
            }
        };
        let writer = std::thread::Builder::new().name("snapshot".into()).spawn(write_on).map_err(failed())?;
        *self.writer.lock() = Some(writer);
        if !self.parts.held.disk.is_warm() {
            let persist = self.clone();
            std::thread::Builder::new().name("warm-up".into()).spawn(move || persist.warm_up()).map_err(failed())?;
        }
        Ok(())
    }

    /// Writes what is not written yet, and ends the writer.
    pub(super) fn close(&self) {
        self.parts.held.disk.close();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has logged that.
            let _ = writer.join();
        }
        self.write_down();
    }

    /// Writes what changed. A failure is logged, and the next write includes it.
    fn write_down(&self) {
        let (disk, known) = (&self.parts.held.disk, &self.parts.held.known);
        let (versions, positions) = (&known.versions, &self.parts.held.positions);
        // Evicted copies leave first, so that no row is written for them.
        self.parts.held.size();
        let mut stand = positions.stand();
        let confirmed = positions.confirmed();
        stand.heard = self.parts.held.freshness.heard_at();
        let (copies, operator) = disk.take_noted();
        let operator = operator.then(|| self.operator_now()).flatten();
        let seen = versions.take_unwritten();
        let proofs = known.proofs.unwritten_now();
        let mended = disk.snapshot().mended();
        let copies: Vec<_> = copies.into_iter().filter_map(|key| self.copy_now(&key)).collect();
        // Copies that came in the meantime may be among the gathered ones.
        stand.confirmed = confirmed.zip(positions.confirmed()).map(|(before, after)| lower(before, &after));
        let is_news = |written: &Stand| Stand { heard: 0, ..*written } != Stand { heard: 0, ..stand };
        let is_idle = |written: &Stand| !is_news(written) && stand.heard - written.heard < IDLE;
        let is_idle = self.written.lock().as_ref().is_some_and(is_idle) && !disk.snapshot().is_damaged();
        if is_idle && operator.is_none() && copies.is_empty() && seen.is_empty() && proofs.is_empty() {
            versions.shrink();
            return;
        }
        let batch = Batch { stand, operator, copies, seen, proofs };
        if disk.write(&batch) {
            versions.shrink();
            known.proofs.is_written(&batch.proofs);
            if disk.snapshot().mended() != mended {
                self.resync.lost_something();
            }
            *self.written.lock() = Some(stand);
        } else {
            versions.is_unwritten(&batch.seen);
            self.parts.env.metrics.replica_snapshot_failures.inc();
        }
    }

    /// What to write for an account. `None`: the disk has it.
    fn copy_now(&self, key: &AccountKey) -> Option<(AccountKey, Option<Copy>)> {
        match self.parts.held.copy(key) {
            Some(copy) => Some((*key, Some(copy_of(key, &copy)))),
            // The signer may be listed again, when this mirror may be the primary.
            None if self.parts.env.is_mirror() && self.parts.held.known.withheld_by(key).is_some() => {
                self.parts.held.disk.withheld(key).map(|copy| (*key, Some(copy_of(key, &copy))))
            }
            None => Some((*key, None)),
        }
    }

    /// The operator that is trusted now.
    fn operator_now(&self) -> Option<Operator> {
        let standing = self.parts.env.gate.standing();
        let withdrawn = standing.withdrawn().map(|(key, at)| (*key, at)).collect();
        Some(Operator { chain: standing.chain()?.clone(), withdrawn })
    }
}

fn copy_of(key: &AccountKey, copy: &CachedCopy) -> Copy {
    Copy {
        key: *key,
        jwt: copy.entry().token().clone(),
        at: copy.position(),
        stretch: copy.stretch(),
        confirmed: clock::unix_millis() - (clock::uptime_millis() - copy.confirmed()),
    }
}
