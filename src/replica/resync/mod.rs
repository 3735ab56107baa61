//! Compares a replica with its upstream when the feed cannot say what changed: the history is another one, or begins too
//! late.
//!
//! The replica opens the feed at the position of upstream first, and then compares. The comparison is as of that position
//! or later, and the feed brings what follows. The digest trees are compared from the root down ([`tree`]), so both sides
//! send little where they agree. What differs is fetched: a mirror fetches all of it, a cache the texts that it holds.
//!
//! What is newer here than at upstream stays, is served, and is reported.

mod doubts;
mod take;
mod texts;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::parts::Parts;
use crate::backoff::Backoff;
use crate::feed::Head;
use crate::feed::digest::Short;
use crate::feed::wire::{DigestAnswer, DigestAsk};
use crate::store::StoreError;
use crate::store::journal::CommitError;
use crate::store::journal::upstream::UpstreamWrite;
use crate::upstream::UpstreamError;

/// The number of keys of one question.
const PIECE: usize = 1000;
/// The number of answers without an end that end a question.
const MOST_PAGES: usize = 4096;
/// Pages without a difference in one answer, one after the other. A server looks at 20,000 keys for a page.
const MOST_EMPTY_PAGES: usize = 64;
/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Comparisons with upstream.
#[derive(Debug)]
pub(super) struct Resync {
    parts: Parts,
    /// How many were begun.
    begun: AtomicU64,
    /// Whether one is under way.
    is_under_way: AtomicBool,
    texts: texts::Texts,
}

/// One comparison.
#[derive(Debug, Clone)]
struct Run {
    resync: Arc<Resync>,
    /// The position from which the feed continues.
    from: Head,
    number: u64,
}

/// Why a comparison did not finish.
#[derive(Debug, thiserror::Error)]
enum ResyncError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
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
        Self { parts, begun: AtomicU64::new(0), is_under_way: AtomicBool::new(false), texts: texts::Texts::default() }
    }

    /// Whether a comparison is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way.load(Ordering::Acquire)
    }

    /// Starts a comparison with upstream, whose feed continues from `from`. An earlier comparison ends.
    pub(super) fn begin(self: &Arc<Self>, from: Head) {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.is_under_way.store(true, Ordering::Release);
        self.parts.held.freshness.has_digests(true);
        self.parts.env.runtime.spawn(Run { resync: self.clone(), from, number }.run());
    }
}

impl Run {
    async fn run(self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            match self.compare().await {
                Ok(is_whole) => match self.done(is_whole).await {
                    Ok(()) | Err(ResyncError::Outdated) => return,
                    Err(error) => tracing::debug!("the end of a comparison cannot be stored: {error}"),
                },
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

    async fn done(&self, is_whole: bool) -> Result<(), ResyncError> {
        let (resync, parts) = (&self.resync, &self.resync.parts);
        self.is_current()?;
        parts.held.store.write(UpstreamWrite::Level { is_whole }).await?;
        self.is_current()?;
        resync.is_under_way.store(false, Ordering::Release);
        parts.held.positions.look_again();
        parts.env.metrics.replica_feed_connected.set(i64::from(parts.held.freshness.is_following()));
        tracing::info!(
            "compared with {}: what is held is as there from serial {} on",
            parts.upstream.shown(),
            self.from.serial
        );
        parts.held.report_ahead(parts.upstream.shown());
        resync.fetch_texts();
        Ok(())
    }

    /// The server has no digests: the replica asks about copies when clients want them.
    fn without_digests(&self, status: reqwest::StatusCode) {
        if self.is_current().is_err() {
            return;
        }
        let (resync, parts) = (&self.resync, &self.resync.parts);
        let (primary, fetched) =
            (parts.upstream.shown(), if parts.env.is_mirror() { ", and fetches missing ones then" } else { "" });
        if matches!(status, reqwest::StatusCode::UNAUTHORIZED | reqwest::StatusCode::FORBIDDEN) {
            tracing::warn!(
                "{primary} rejects requests of this replica for digests (status {status}); the replica checks JWTs as clients ask for \
                 them{fetched}. A hub forwards the token of the replica: give this replica the token of the primary"
            );
        } else {
            tracing::info!("{primary} has no digests; this replica checks JWTs as clients ask for them{fetched}");
        }
        resync.is_under_way.store(false, Ordering::Release);
        parts.held.freshness.has_digests(false);
        parts.env.metrics.replica_feed_connected.set(i64::from(parts.held.freshness.is_following()));
    }

    /// Fails if a later comparison has begun.
    fn is_current(&self) -> Result<(), ResyncError> {
        let latest = self.resync.begun.load(Ordering::Acquire);
        if latest == self.number { Ok(()) } else { Err(ResyncError::Outdated) }
    }

    /// Asks what differs, and applies all of the answer.
    async fn ask(&self, ask: DigestAsk) -> Result<(), ResyncError> {
        self.ask_and_see(ask, |_| {}).await.map(drop)
    }

    /// The same, and shows each page before it is applied. Returns the serial as of which the last one holds.
    async fn ask_and_see(&self, mut ask: DigestAsk, mut see: impl FnMut(&DigestAnswer)) -> Result<u64, ResyncError> {
        let mut empty = 0;
        for _ in 0..MOST_PAGES {
            self.is_current()?;
            let answer = self.resync.parts.upstream.followed().compare(&ask).await?;
            self.is_current()?;
            self.stands(&answer.position().ok_or(ResyncError::Format("the position"))?)?;
            empty = if answer.items.is_empty() { empty + 1 } else { 0 };
            let (goes_on, as_of) = (goes_on(&mut ask, &answer)?, answer.serial);
            see(&answer);
            self.resync.take(answer).await?;
            match goes_on {
                false => return Ok(as_of),
                true if empty >= MOST_EMPTY_PAGES => break,
                true => {}
            }
        }
        Err(ResyncError::Format("an end"))
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

/// Whether the answer continues. If so, `ask` is moved there. An answer that repeats itself would never end.
fn goes_on(ask: &mut DigestAsk, answer: &DigestAnswer) -> Result<bool, ResyncError> {
    let key = |text: &Option<String>| text.as_deref().and_then(crate::feed::Subject::parse);
    let (before, next) = (key(&ask.after), key(&answer.next));
    if answer.next.is_some() && (next.is_none() || next <= before) {
        return Err(ResyncError::Format("the next key"));
    }
    ask.after.clone_from(&answer.next);
    Ok(ask.after.is_some())
}

/// Reads a sum.
fn short(text: &str) -> Result<Short, ResyncError> {
    Short::parse(text).ok_or(ResyncError::Format("a sum"))
}
