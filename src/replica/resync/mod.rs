//! Compares a replica with its upstream when the feed cannot say what changed: the history is another one, or begins too
//! late.
//!
//! The replica opens the feed at the position of upstream first, and then compares. The comparison is as of that position
//! or later, and the feed brings what follows. The digest trees are compared from the root down ([`tree`]), so both sides
//! send little where they agree. What differs is fetched: a mirror fetches all of it, a cache the texts that it holds.
//!
//! What is newer here than at upstream stays, is served, and is reported.

mod again;
mod applying;
mod doubts;
mod take;
mod texts;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;

use super::parts::Parts;
use crate::backoff::Backoff;
use crate::feed::digest::Short;
use crate::feed::wire::{DigestAnswer, DigestAsk};
use crate::feed::{Head, Subject};
use crate::gate::{Identity, Position};
use crate::store::journal::upstream::UpstreamWrite;
use crate::store::journal::{CommitError, Outcome};
use crate::store::{StoreError, blocking};
use crate::upstream::UpstreamError;
use applying::Applying;

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
    /// How many were begun. Each has that number.
    begun: AtomicU64,
    /// The last one that has ended. One that ended because a later one began is not noted.
    ended: AtomicU64,
    /// The operator JWT in force when the last one began. `None`: none was in force, or this process has compared nothing yet.
    judged_by: Mutex<Option<Identity>>,
    texts: texts::Texts,
    /// The last key in doubt that was asked about.
    asked_up_to: Mutex<Option<Subject>>,
}

/// Whether a question can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    Now,
    /// Upstream says when the next one may come.
    Background,
}

/// One comparison.
#[derive(Debug, Clone)]
struct Run {
    resync: Arc<Resync>,
    /// The position from which the feed continues.
    from: Head,
    /// The order in the store that begins there.
    era: u64,
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

impl ResyncError {
    /// The status by which a server says that it has no digests, or has none for this replica.
    const fn without_digests(&self) -> Option<StatusCode> {
        match self {
            Self::Upstream(UpstreamError::Denied(status, _)) => Some(*status),
            Self::Upstream(UpstreamError::Status(
                status @ (StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN),
            )) => Some(*status),
            _ => None,
        }
    }
}

impl Resync {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            judged_by: Mutex::default(),
            texts: texts::Texts::default(),
            asked_up_to: Mutex::default(),
        }
    }

    /// Whether a comparison is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.ended.load(Ordering::Acquire) != self.begun.load(Ordering::Acquire)
    }

    /// Starts a comparison with upstream, whose feed continues from `from`. An earlier comparison ends.
    pub(super) fn begin(self: &Arc<Self>, from: Head) {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.run(from, number);
    }

    /// Starts one unless another one has begun since `begun` comparisons were.
    fn begin_after(self: &Arc<Self>, begun: u64, from: Head) {
        if self.begun.compare_exchange(begun, begun + 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.run(from, begun + 1);
        }
    }

    fn run(self: &Arc<Self>, from: Head, number: u64) {
        // Before anything is judged: the operator JWT may change meanwhile.
        *self.judged_by.lock() = self.in_force();
        self.parts.held.freshness.has_digests(true);
        let era = self.parts.held.store.reader().era();
        self.parts.env.runtime.spawn(Run { resync: self.clone(), from, era, number }.run());
    }

    /// The version of the operator JWT in force.
    fn in_force(&self) -> Option<Identity> {
        self.parts.env.gate.trust().map(|trust| *trust.version())
    }

    fn has_ended(&self, number: u64) {
        self.ended.fetch_max(number, Ordering::AcqRel);
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
                Err(error) => {
                    if let Some(status) = error.without_digests() {
                        return self.without_digests(status);
                    }
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
        self.doubt_unmentioned().await?;
        if let Outcome::Kept = parts.held.store.write(UpstreamWrite::Level { era: self.era, is_whole }).await? {
            return Err(ResyncError::Outdated);
        }
        self.is_current()?;
        resync.has_ended(self.number);
        parts.held.positions.look_again();
        parts.env.metrics.replica.feed_connected.set(i64::from(parts.held.freshness.is_following()));
        tracing::info!("in sync with {} from serial {} on", parts.upstream.shown(), self.from.serial);
        parts.held.report_ahead(parts.upstream.shown());
        resync.fetch_texts();
        Ok(())
    }

    /// What a comparison cannot find is asked about by name afterwards.
    async fn doubt_unmentioned(&self) -> Result<(), ResyncError> {
        let store = &self.resync.parts.held.store;
        let mut after = None;
        loop {
            self.is_current()?;
            let reader = store.reader().clone();
            let keys = blocking(move || reader.unmentioned(after.as_ref(), PIECE)).await?;
            after = keys.last().copied();
            if after.is_none() {
                return Ok(());
            }
            store.write(UpstreamWrite::Unmentioned(keys)).await?;
        }
    }

    /// The server has no digests: the replica asks about copies when clients want them.
    fn without_digests(&self, status: StatusCode) {
        if self.is_current().is_err() {
            return;
        }
        let (resync, parts) = (&self.resync, &self.resync.parts);
        let (primary, fetched) =
            (parts.upstream.shown(), if parts.env.is_mirror() { ", and fetches missing ones then" } else { "" });
        let is_cold = if parts.env.is_warm() { ", and does not warm its cache" } else { "" };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            tracing::warn!(
                "{primary} rejects requests of this replica for digests (status {status}); the replica checks JWTs as clients ask for \
                 them{fetched}{is_cold}. A hub forwards the token of the replica: give this replica the token of the primary"
            );
        } else {
            tracing::info!(
                "{primary} has no digests; this replica checks JWTs as clients ask for them{fetched}{is_cold}"
            );
        }
        parts.held.freshness.has_digests(false);
        resync.has_ended(self.number);
        parts.env.metrics.replica.feed_connected.set(i64::from(parts.held.freshness.is_following()));
    }

    /// Fails if a later comparison has begun.
    fn is_current(&self) -> Result<(), ResyncError> {
        let latest = self.resync.begun.load(Ordering::Acquire);
        if latest == self.number { Ok(()) } else { Err(ResyncError::Outdated) }
    }

    /// Asks what differs, and begins to apply all of the answer.
    async fn ask(&self, ask: DigestAsk, applying: &mut Applying) -> Result<(), ResyncError> {
        self.ask_and_see(ask, applying, |_| {}).await.map(drop)
    }

    /// The same, and shows each page before it is applied. Returns the position as of which the last one
    /// holds.
    async fn ask_and_see(
        &self,
        ask: DigestAsk,
        applying: &mut Applying,
        mut see: impl FnMut(&DigestAnswer),
    ) -> Result<Position, ResyncError> {
        let look = |answer: &DigestAnswer, at: &Head| {
            self.is_current()?;
            self.stands(at)?;
            see(answer);
            Ok(())
        };
        self.is_current()?;
        self.resync.ask_pages(ask, Haste::Now, applying, look).await
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

impl Resync {
    /// Asks what differs, and begins to apply each page of the answer that `look` does not reject. Returns the position as of which
    /// the last one holds.
    async fn ask_pages(
        self: &Arc<Self>,
        mut ask: DigestAsk,
        haste: Haste,
        applying: &mut Applying,
        mut look: impl FnMut(&DigestAnswer, &Head) -> Result<(), ResyncError>,
    ) -> Result<Position, ResyncError> {
        let mut empty = 0;
        for _ in 0..MOST_PAGES {
            let server = self.parts.upstream.followed();
            let (answer, pause) = match haste {
                Haste::Now => (server.compare(&ask).await?, Duration::ZERO),
                Haste::Background => server.compare_in_background(&ask).await?,
            };
            let at = answer.position().ok_or(ResyncError::Format("the position"))?;
            look(&answer, &at)?;
            empty = if answer.items.is_empty() { empty + 1 } else { 0 };
            let (goes_on, as_of) = (goes_on(&mut ask, &answer)?, at.position(at.serial));
            applying.take(answer, as_of).await?;
            if haste == Haste::Background {
                // How much room is left decides about the next question.
                applying.end().await?;
                tokio::time::sleep(pause).await;
            }
            match goes_on {
                false => return Ok(as_of),
                true if empty >= MOST_EMPTY_PAGES => break,
                true => {}
            }
        }
        Err(ResyncError::Format("an end"))
    }
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

/// Reads a sum.
fn short(text: &str) -> Result<Short, ResyncError> {
    Short::parse(text).ok_or(ResyncError::Format("a sum"))
}
