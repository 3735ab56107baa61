//! Activations on a primary: stored if their account vouches for them, looked up, and forgotten after they expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::lookup::SCAN_WAIT;
use super::progress::ScanStage;
use super::seam::ScanMoment;
use super::{Primary, split};
use crate::clock;
use crate::feed::{Change, Content};
use crate::gate::{Activation, Judged, Sender, SentFor, Via};
use crate::jwt::HashId;
use crate::node::{Lookup, SubmittedActivation};
use crate::store::journal::{CommitError, Write};
use crate::store::{StoreError, blocking};

/// How often expired activations are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How many of them are forgotten in one transaction.
const SWEPT_AT_ONCE: usize = 500;

/// A bounded cache of activations.
#[derive(Debug)]
pub(super) struct ActivationCache {
    cache: moka::sync::Cache<HashId, Arc<Judged>>,
    /// Moves with every change, so that what was read before it is not kept after it.
    changes: AtomicU64,
    /// How many an account may have.
    pub(super) per_account: u64,
}

impl ActivationCache {
    pub(super) fn new(bytes: u64, per_account: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, judged: &Arc<Judged>| {
                // The token, twice for its decoded claims, and what surrounds it.
                u32::try_from(judged.activation().token().len() * 2 + 512).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, changes: AtomicU64::new(0), per_account }
    }

    /// Called with every committed change, before it is answered or followed.
    pub(super) fn follow(&self, change: &Change) {
        if let Content::Activation(activation) = &change.content {
            self.changes.fetch_add(1, Ordering::SeqCst);
            self.cache.invalidate(activation.id());
        }
    }

    fn keep(&self, judged: &Arc<Judged>, before: u64) {
        let id = *judged.activation().id();
        let moved = || self.changes.load(Ordering::SeqCst) != before;
        if moved() {
            return;
        }
        self.cache.insert(id, judged.clone());
        // A change that emptied the place before this came into it has moved the counter before.
        if moved() {
            self.cache.invalidate(&id);
        }
    }
}

impl Primary {
    /// Stores an activation for which a stored account vouches: ordered, and durable when this returns.
    pub async fn submit_activation(
        self: &Arc<Self>,
        token: &[u8],
        sent_for: SentFor<'_>,
        sender: impl Into<Sender>,
    ) -> Result<SubmittedActivation, CommitError> {
        let sender = sender.into();
        let submitted = self.submit_activation_from(token, sent_for, &sender).await;
        submitted.inspect_err(|error| self.audit_activation(token, error, &sender))
    }

    async fn submit_activation_from(
        self: &Arc<Self>,
        token: &[u8],
        sent_for: SentFor<'_>,
        sender: &Sender,
    ) -> Result<SubmittedActivation, CommitError> {
        let via = sender.via;
        let unproven = self.gate.read_activation(token, sent_for, via, clock::unix_seconds())?;
        if self.imports_activation_before(via) {
            let id = *unproven.id();
            self.blocking(move |primary| primary.import_activation(&id)).await.map_err(Arc::new)?;
        }
        let account = match self.cached(unproven.account()) {
            Some(stored) => Lookup::Served(stored),
            None => self.lookup(unproven.account()).await.map_err(Arc::new)?,
        };
        let activation = account.prove(unproven)?;
        self.may_commit()?;
        let (changed, serial) =
            split(self.journal.commit_by(self.write(&activation, via), sender.actor.clone()).await?);
        self.audited(serial).await?;
        Ok(SubmittedActivation { activation, changed })
    }

    /// As [`Primary::submit_activation`], on a thread that may be blocked.
    pub(super) fn submit_activation_blocking(
        &self,
        token: &[u8],
        sent_for: SentFor<'_>,
        via: Via,
    ) -> Result<SubmittedActivation, CommitError> {
        let unproven = self.gate.read_activation(token, sent_for, via, clock::unix_seconds())?;
        if self.imports_activation_before(via) {
            self.import_activation(unproven.id()).map_err(Arc::new)?;
        }
        let account = match self.cached(unproven.account()) {
            Some(stored) => Lookup::Served(stored),
            None => self.lookup_blocking(unproven.account()).map_err(Arc::new)?,
        };
        let activation = account.prove(unproven)?;
        self.may_commit()?;
        let outcome = self.journal.commit_blocking(self.write(&activation, via))?;
        Ok(SubmittedActivation { activation, changed: split(outcome).0 })
    }

    /// Whether the activation's file may be newer, and its turn in the first scan has not come.
    fn imports_activation_before(&self, via: Via) -> bool {
        via != Via::FirstScan && !self.progress.is_complete()
    }

    fn write(&self, activation: &Arc<Activation>, via: Via) -> Write {
        Write::Activation { activation: activation.clone(), via, limit: self.activations.per_account }
    }

    /// The newest activation of a hash, still to be judged by its account's JWT. `Ok(None)`: there is none. While the folder
    /// is imported, this imports its file first, or waits, as [`Primary::lookup`] does.
    pub async fn look_up_activation(self: &Arc<Self>, id: &HashId) -> Result<Option<Arc<Judged>>, StoreError> {
        let id = *id;
        let held = move |primary: &Self| primary.activation(&id);
        // Before anything is looked up, as for accounts.
        if !self.progress.is_complete() {
            self.seam.at(ScanMoment::Begun);
            if let Some(found) = self.blocking(held).await? {
                return Ok(Some(found));
            }
            self.seam.at(ScanMoment::Missed);
            self.blocking(move |primary| primary.import_activation(&id)).await?;
            if let Some(found) = self.blocking(held).await? {
                return Ok(Some(found));
            }
            self.seam.at(ScanMoment::Waiting);
            if !self.progress.reaches(ScanStage::Complete, SCAN_WAIT).await {
                return Err(StoreError::Importing);
            }
        }
        match self.blocking(held).await? {
            None if self.progress.is_closed(|| id.text()) => Err(StoreError::SubFolderClosed),
            found => Ok(found),
        }
    }

    /// The newest activation of a hash that the journal has, still to be judged by its account's JWT. Blocks for a query
    /// unless it is cached.
    ///
    /// `Ok(None)` does not say that there is none: [`Primary::look_up_activation`] does.
    pub fn activation(&self, id: &HashId) -> Result<Option<Arc<Judged>>, StoreError> {
        if let Some(judged) = self.activations.cache.get(id) {
            return Ok(Some(judged));
        }
        let before = self.activations.changes.load(Ordering::SeqCst);
        let Some(stored) = self.journal.activation(id)? else { return Ok(None) };
        let judged = Arc::new(Judged::new(stored.activation));
        self.activations.keep(&judged, before);
        Ok(Some(judged))
    }

    /// Forgets expired activations now and then, for as long as the process lives.
    pub async fn sweep(self: Arc<Self>) {
        let mut turns = interval(SWEEP_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match self.sweep_once(clock::unix_seconds()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!("forgot {count} activations that have expired"),
                Err(error) => tracing::error!("cannot forget expired activations: {error}"),
            }
        }
    }

    /// Forgets the activations that expired before `now`, in unix seconds. Returns how many.
    pub(super) async fn sweep_once(self: &Arc<Self>, now: i64) -> Result<usize, CommitError> {
        let mut count = 0;
        loop {
            let primary = self.clone();
            let found = blocking(move || primary.journal.expired_activations(now, SWEPT_AT_ONCE)).await;
            let ids = found.map_err(|error| CommitError::Failed(Arc::new(error)))?;
            if ids.is_empty() {
                return Ok(count);
            }
            count += ids.len();
            self.journal.commit(Write::Forget { ids: ids.clone(), now }).await?;
            for id in &ids {
                self.activations.cache.invalidate(id);
            }
        }
    }
}
