//! What upstream answered about an account, applied.

use std::sync::Arc;

use super::Held;
use super::apply::{AskedAt, OfferOutcome};
use crate::clock;
use crate::epoch::Epoch;
use crate::feed::Head;
use crate::gate::{Entry, Position, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::upstream::AnswerSource;

/// How things were with an account when the primary was asked about it.
#[derive(Debug)]
pub(in crate::replica) struct PullContext {
    /// The copy at hand.
    held: Option<Arc<CachedCopy>>,
    /// The stretch of feed that was live.
    stretch: Option<u64>,
    /// The value of [`Held::epoch`].
    heard: Epoch,
    /// Where the epoch of what the primary lets go of was.
    forgotten: Epoch,
    /// Where this replica was on the feed.
    position: Option<Head>,
}

impl PullContext {
    /// The copy whose entity tag goes with the request. Only a server of our kind gives places, and only its entity tags
    /// are known to change with the bytes.
    pub(in crate::replica) fn named(&self) -> Option<&Arc<CachedCopy>> {
        self.held.as_ref().filter(|copy| copy.position().is_some())
    }
}

/// What the primary answered about an account.
#[derive(Debug)]
pub(in crate::replica) struct PullAnswer {
    pub(in crate::replica) said: PullResult,
    pub(in crate::replica) source: AnswerSource,
}

#[derive(Debug)]
pub(in crate::replica) enum PullResult {
    /// This is the current version, committed there.
    Version(Arc<Entry>, Option<Position>),
    /// Something that did not pass the gate.
    Refused(Refusal),
    /// The copy at hand is the current version.
    Unchanged,
    /// There is none.
    Absent,
    /// It could not be asked, for this reason.
    Nothing(String),
}

impl Held {
    /// Notes how things are with an account before the primary is asked about it.
    pub(in crate::replica) fn asked(&self, key: &AccountKey) -> PullContext {
        PullContext {
            forgotten: self.forgotten.of(key),
            stretch: self.freshness.live(),
            heard: self.epochs.of(key),
            held: self.cache.get(key),
            position: self.positions.stand().position,
        }
    }

    /// Whether an answer may be older than something that came while it was under way, so that only a later answer tells:
    /// the primary let go of the account, or two versions of one second come from servers with different orders.
    pub(in crate::replica) fn is_outdated(&self, key: &AccountKey, asked: &PullContext, answer: &PullAnswer) -> bool {
        if self.forgotten.of(key) != asked.forgotten {
            return true;
        }
        match &answer.said {
            PullResult::Version(entry, at) if self.epochs.of(key) != asked.heard => {
                self.known.versions.with(key, |seen| seen.held.is_open(&entry.version(), *at))
            }
            _ => false,
        }
    }

    /// Applies what the primary answered; the error says why that is of no use. A version always goes through the order, whatever was heard since the request
    /// began.
    pub(in crate::replica) fn answered(
        &self,
        key: &AccountKey,
        asked: &PullContext,
        answer: PullAnswer,
    ) -> Result<Option<Arc<CachedCopy>>, String> {
        let PullAnswer { said, source } = answer;
        let AnswerSource { is_followed, is_of_followed, is_of_primary, age } = source;
        let now = clock::uptime_millis();
        // Only an answer that nothing happened during, by who sends the feed, is current by the feed; any other one is
        // asked about again.
        let is_undisturbed = is_followed && self.epochs.of(key) == asked.heard;
        let stretch = asked.stretch.filter(|_| is_undisturbed && self.freshness.live() == asked.stretch);
        // The answer of a feed's server that was live throughout, or of a primary in the same session, is not from before.
        let was_live = is_followed && asked.stretch.is_some() && self.freshness.live() == asked.stretch;
        let asked_at = |at: Option<Position>| {
            let is_later =
                |position: &Head| was_live || (is_of_primary && at.is_some_and(|at| at.session == position.session.0));
            AskedAt { forgotten: asked.forgotten, at: asked.position.filter(is_later) }
        };
        match said {
            PullResult::Version(entry, at) => match self.offer(entry, Via::Upstream, at, stretch, Some(asked_at(at))) {
                Ok(OfferOutcome::Applied(Some(copy))) => {
                    copy.set_back(age);
                    Ok(Some(copy))
                }
                Ok(OfferOutcome::Applied(None) | OfferOutcome::Kept | OfferOutcome::Refetch) => self
                    .unconfirmed(key, now)
                    .map(Some)
                    .ok_or_else(|| "it offers an earlier version than was seen here".to_owned()),
                Err(refusal) => {
                    if is_undisturbed && refusal.is_conflict() {
                        self.notice_ahead(key);
                    }
                    self.refused(key, &refusal, now)
                }
            },
            PullResult::Refused(refusal) => self.refused(key, &refusal, now),
            PullResult::Unchanged => {
                if let Some(copy) = &asked.held {
                    self.confirm(copy, None, stretch, now);
                    copy.set_back(age);
                    if is_undisturbed {
                        self.is_level(key);
                    }
                }
                let held = asked.held.clone();
                Ok(self.cache.get(key).or_else(|| self.unless_deleted(key, held?)))
            }
            PullResult::Absent => {
                if let Some(copy) = self.unconfirmed(key, now) {
                    tracing::debug!(account = %key, "the primary does not know {key}; the copy at hand is kept");
                    if is_undisturbed {
                        self.notice_ahead(key);
                    }
                    return Ok(Some(copy));
                }
                // While the feed is live, another server may be further behind.
                self.unknown.remember(key, || {
                    self.epochs.of(key) == asked.heard && (is_of_followed || self.freshness.live().is_none())
                });
                Ok(None)
            }
            // What deleted it is known, and that the primary cannot be asked changes nothing about it.
            PullResult::Nothing(_) if self.known.is_deleted(key) => Ok(None),
            PullResult::Nothing(error) => Err(error),
        }
    }

    /// The primary's answer is no use. If it is merely older than what was seen, that is no attack.
    fn refused(&self, key: &AccountKey, refusal: &Refusal, now: i64) -> Result<Option<Arc<CachedCopy>>, String> {
        if let Refusal::Deleted { .. } = refusal {
            return Ok(None);
        }
        self.env.metrics.refused(Via::Upstream, refusal);
        if refusal.is_conflict() {
            tracing::debug!(account = %key, "the primary's JWT for {key} is not taken: {refusal}");
        } else {
            tracing::warn!(account = %key, "the primary's JWT for {key} is refused: {refusal}");
        }
        self.unconfirmed(key, now).map(Some).ok_or_else(|| refusal.to_string())
    }

    /// What is in the cache although the primary did not confirm it: it is not asked about again for a while.
    fn unconfirmed(&self, key: &AccountKey, now: i64) -> Option<Arc<CachedCopy>> {
        let copy = self.cache.get(key)?;
        copy.check(now);
        Some(copy)
    }
}
