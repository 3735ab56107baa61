//! Finding out what changed where the feed cannot say it: its history is another one, or goes back not far enough.
//!
//! The feed is opened first, at where the primary stands, and then what is here is compared with what stands there. What
//! the comparison finds is as of that place or later, and the feed brings what comes after it. A mirror compares digest trees
//! from the root down ([`mirror`]), a cache what it holds ([`cache`]); both fetch only what differs.
//!
//! What is newer here than at the primary stays, is served, and is said ([`apply`]).

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
use crate::feed::Head;
use crate::feed::digest::{Key, Leaf, Short};
use crate::feed::wire::{DigestAnswer, DigestAsk};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::upstream::UpstreamError;
use turns::ResyncTurns;

/// So many answers that lead on and change nothing are the end of a comparison.
const IN_VAIN: u32 = 64;
/// Activations that are asked for again when all accounts are known.
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

/// One of them.
#[derive(Debug, Clone)]
struct Run {
    resync: Arc<Resync>,
    /// Where the feed goes on from.
    from: Head,
    stretch: u64,
    number: u64,
    /// Accounts that were newer here before.
    ahead: Arc<HashSet<AccountKey>>,
    found: Arc<Mutex<RunNotes>>,
}

/// What is noted of what upstream said.
#[derive(Debug, Default)]
struct RunNotes {
    /// Answers that led on and changed nothing here, since the last one that changed something.
    in_vain: u32,
    /// Activations whose accounts were not known here.
    orphans: Vec<HashId>,
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
enum ResyncError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("it stands before the place from which its feed goes on")]
    Behind,
    #[error("its history is another one by now")]
    Session,
    #[error("its answer cannot be read: {0}")]
    Format(&'static str),
    #[error("another one has begun")]
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

    /// Begins to compare what is here with the primary, whose feed goes on from `from`. An earlier comparison ends.
    pub(super) fn begin(self: &Arc<Self>, from: Head, stretch: u64) {
        let number = self.turns.begin();
        self.parts.env.runtime.spawn(Run::new(self.clone(), from, stretch, number).run());
    }

    /// Something of what was seen is lost.
    pub(super) fn lost_something(self: &Arc<Self>) {
        if self.parts.env.is_mirror() {
            self.parts.held.known.break_off();
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
                    tracing::debug!("comparing with {} is tried again: {error}", self.resync.parts.upstream.shown());
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

    /// The server has no digests: what is held is asked about when it is wanted.
    fn without_digests(&self, status: reqwest::StatusCode) {
        let (primary, fetched) = (
            self.resync.parts.upstream.shown(),
            if self.resync.parts.env.is_mirror() { ", and what is not held fetched then" } else { "" },
        );
        if matches!(status, reqwest::StatusCode::UNAUTHORIZED | reqwest::StatusCode::FORBIDDEN) {
            tracing::warn!(
                "{primary} does not give its digests to this replica (status {status}); what is held is checked as it is asked \
                 for{fetched}. A hub shows its primary the token of the one that asks: give this replica the token of that primary"
            );
        } else {
            tracing::info!("{primary} has no digests; what is held is checked as it is asked for{fetched}");
        }
        if self.resync.parts.env.is_mirror() {
            // Its stretch goes on, and says nothing of what was confirmed before.
            let held: Vec<_> = self.resync.parts.held.accounts();
            self.resync.parts.held.mark_stale(held);
        }
        self.resync.turns.end();
        self.resync.parts.held.freshness.is_synced(self.stretch);
    }

    /// Whether no other one has begun since.
    fn is_current(&self) -> Result<(), ResyncError> {
        if self.resync.turns.latest() == self.number { Ok(()) } else { Err(ResyncError::Outdated) }
    }

    /// Asks for a piece of what differs.
    async fn ask(&self, ask: &DigestAsk) -> Result<DigestAnswer, ResyncError> {
        self.is_current()?;
        let answer = self.resync.parts.upstream.compare(ask).await?;
        self.is_current()?;
        let position = answer.position().ok_or(ResyncError::Format("its position"))?;
        self.stands(&position)?;
        Ok(answer)
    }

    /// Whether there is more, and asks for that next. An answer that does not lead on would have us ask for ever.
    fn goes_on(ask: &mut DigestAsk, answer: &DigestAnswer) -> Result<bool, ResyncError> {
        let key = |text: &Option<String>| text.as_deref().and_then(Key::parse);
        let (before, next) = (key(&ask.after), key(&answer.next));
        if answer.next.is_some() && (next.is_none() || next <= before) {
            return Err(ResyncError::Format("where it goes on"));
        }
        ask.after.clone_from(&answer.next);
        Ok(ask.after.is_some())
    }

    /// Whether an answer as of a position is of use.
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

/// What is held, as a question has it.
fn have<'k>(leaves: impl IntoIterator<Item = &'k (Key, Leaf)>) -> Vec<(String, String)> {
    leaves.into_iter().map(|(key, leaf)| (key.text(), leaf.short().to_string())).collect()
}

/// A sum as it is written.
fn short(text: &str) -> Result<Short, ResyncError> {
    Short::parse(text).ok_or(ResyncError::Format("a sum"))
}
