//! Compares a replica with its primary when the feed cannot say what changed: the history is another one, or begins too
//! late.
//!
//! The replica opens the feed at the position of the primary first, and then compares. The comparison is as of that
//! position or later, and the feed brings what follows. A mirror compares digest trees from the root down ([`mirror`]),
//! a cache its copies ([`cache`]). Both fetch only what differs.
//!
//! What is newer here than at the primary stays, is served, and is reported ([`apply`]).

mod apply;
mod cache;
mod mirror;
mod turns;
mod unconfirmed;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::parts::Parts;
use super::position::PositionLimit;
use crate::backoff::Backoff;
use crate::feed::digest::{Leaf, Short};
use crate::feed::wire::{DigestAnswer, DigestAsk};
use crate::feed::{Head, Subject};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::upstream::UpstreamError;
use turns::ResyncTurns;

/// The number of answers without a change, and with a continuation, that end a comparison.
const IN_VAIN: u32 = 64;
/// The largest number of activations that are requested again when all accounts are known.
const ORPHANS: usize = 10_000;
/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Comparisons with the primary.
#[derive(Debug)]
pub(super) struct Resync {
    parts: Parts,
    turns: ResyncTurns,
}

/// One comparison.
#[derive(Debug, Clone)]
struct Run {
    resync: Arc<Resync>,
    /// The position from which the feed continues.
    from: Head,
    stretch: u64,
    number: u64,
    /// Accounts that were newer here before.
    ahead: Arc<HashSet<AccountKey>>,
    found: Arc<Mutex<RunNotes>>,
}

/// Notes about the answers of upstream.
#[derive(Debug, Default)]
struct RunNotes {
    /// The number of answers without a change since the last one with a change.
    in_vain: u32,
    /// Activations whose accounts were not known here.
    orphans: Vec<HashId>,
}

/// Why a comparison did not finish.
#[derive(Debug, thiserror::Error)]
enum ResyncError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("it is behind the position from which its feed continues")]
    Behind,
    #[error("its history changed during the comparison")]
    Session,
    #[error("cannot read {0} in its answer")]
    Format(&'static str),
    #[error("a later comparison has begun")]
    Outdated,
}

impl Resync {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, turns: ResyncTurns::default() }
    }

    /// Which comparison is the latest.
    pub(super) const fn turns(&self) -> &ResyncTurns {
        &self.turns
    }

    /// Starts a comparison with the primary, whose feed continues from `from`. An earlier comparison ends.
    pub(super) fn begin(self: &Arc<Self>, from: Head, stretch: u64) {
        let number = self.turns.begin();
        self.parts.env.runtime.spawn(Run::new(self.clone(), from, stretch, number).run());
    }

    /// Compares again, because some known versions are lost.
    pub(super) fn lost_something(self: &Arc<Self>) {
        if self.parts.env.is_mirror() {
            self.parts.held.known.sums.break_off();
            let stand = self.parts.held.positions.stand();
            if let Some(position) = stand.position {
                self.begin(position, stand.stretch);
            }
        }
    }
}

impl Run {
    fn new(resync: Arc<Resync>, from: Head, stretch: u64, number: u64) -> Self {
        Self { resync, from, stretch, number, ahead: Arc::default(), found: Arc::default() }
    }

    async fn run(self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let result = if self.resync.parts.env.is_mirror() { self.mirror().await } else { self.cache().await };
            match result {
                Ok(()) => return self.done(),
                Err(ResyncError::Outdated) => return,
                Err(ResyncError::Upstream(UpstreamError::Status(
                    status @ (reqwest::StatusCode::NOT_FOUND
                    | reqwest::StatusCode::METHOD_NOT_ALLOWED
                    | reqwest::StatusCode::UNAUTHORIZED
                    | reqwest::StatusCode::FORBIDDEN),
                ))) => return self.without_digests(status),
                Err(ResyncError::Upstream(UpstreamError::Denied(status, _))) => return self.without_digests(status),
                Err(error) => {
                    tracing::debug!(
                        "cannot compare with {}, and will retry: {error}",
                        self.resync.parts.upstream.shown()
                    );
                }
            }
            backoff.wait().await;
        }
    }

    fn done(&self) {
        let parts = &self.resync.parts;
        if self.is_current().is_err() {
            return;
        }
        self.resync.turns.end();
        if parts.env.is_mirror() {
            parts.held.freshness.is_synced(self.stretch);
            parts.env.metrics.replica_feed_connected.set(i64::from(parts.held.freshness.is_following()));
        } else {
            parts.held.positions.join(self.stretch);
        }
        parts.held.positions.lift(PositionLimit::Comparison);
        parts.held.positions.has_work();
        tracing::info!(
            "compared with {}: what is held is as there from serial {} on",
            parts.upstream.shown(),
            self.from.serial
        );
        parts.held.report_ahead(parts.upstream.shown());
    }

    /// The server has no digests: the replica asks about copies when clients want them.
    fn without_digests(&self, status: reqwest::StatusCode) {
        let (primary, fetched) = (
            self.resync.parts.upstream.shown(),
            if self.resync.parts.env.is_mirror() { ", and fetches missing ones then" } else { "" },
        );
        if matches!(status, reqwest::StatusCode::UNAUTHORIZED | reqwest::StatusCode::FORBIDDEN) {
            tracing::warn!(
                "{primary} rejects requests of this replica for digests (status {status}); the replica checks JWTs as clients ask for \
                 them{fetched}. A hub forwards the token of the replica: give this replica the token of the primary"
            );
        } else {
            tracing::info!("{primary} has no digests; this replica checks JWTs as clients ask for them{fetched}");
        }
        if self.resync.parts.env.is_mirror() {
            // Its stretch continues, and confirms nothing from before.
            let held: Vec<_> = self.resync.parts.held.accounts();
            self.resync.parts.held.mark_stale(held);
        }
        self.resync.turns.end();
        self.resync.parts.held.freshness.is_synced(self.stretch);
    }

    /// Fails if a later comparison has begun.
    fn is_current(&self) -> Result<(), ResyncError> {
        if self.resync.turns.latest() == self.number { Ok(()) } else { Err(ResyncError::Outdated) }
    }

    /// Requests a piece of what differs.
    async fn ask(&self, ask: &DigestAsk) -> Result<DigestAnswer, ResyncError> {
        self.is_current()?;
        let answer = self.resync.parts.upstream.followed().compare(ask).await?;
        self.is_current()?;
        let position = answer.position().ok_or(ResyncError::Format("the position"))?;
        self.stands(&position)?;
        Ok(answer)
    }

    /// Whether the answer continues. If so, `ask` is moved there. An answer that repeats itself would never end.
    fn goes_on(ask: &mut DigestAsk, answer: &DigestAnswer) -> Result<bool, ResyncError> {
        let key = |text: &Option<String>| text.as_deref().and_then(Subject::parse);
        let (before, next) = (key(&ask.after), key(&answer.next));
        if answer.next.is_some() && (next.is_none() || next <= before) {
            return Err(ResyncError::Format("the next key"));
        }
        ask.after.clone_from(&answer.next);
        Ok(ask.after.is_some())
    }

    /// Fails if an answer as of this position is of no use.
    fn stands(&self, position: &Head) -> Result<(), ResyncError> {
        if position.session != self.from.session {
            Err(ResyncError::Session)
        } else if position.serial < self.from.serial {
            Err(ResyncError::Behind)
        } else {
            Ok(())
        }
    }
}

/// The leaves, as a question has them.
fn have<'k>(leaves: impl IntoIterator<Item = &'k (Subject, Leaf)>) -> Vec<(String, String)> {
    leaves.into_iter().map(|(key, leaf)| (key.text(), leaf.short().to_string())).collect()
}

/// Reads a sum.
fn short(text: &str) -> Result<Short, ResyncError> {
    Short::parse(text).ok_or(ResyncError::Format("a sum"))
}
