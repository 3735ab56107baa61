//! Applies the answers of upstream about an account.

use std::sync::Arc;

use super::Held;
use super::apply::{AskedAt, OfferOutcome};
use crate::clock;
use crate::feed::Head;
use crate::gate::{Entry, Position, Refusal, Via};
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::upstream::AnswerSource;

/// The state of an account when the request for it began.
#[derive(Debug)]
pub(in crate::replica) struct PullContext {
    /// The copy at that time.
    held: Option<Arc<CachedCopy>>,
    /// The stretch that was live.
    stretch: Option<u64>,
    /// The value of [`Held::generation`].
    heard: Generation,
    /// The generation of removals.
    forgotten: Generation,
    /// The position of this replica on the feed.
    position: Option<Head>,
}

impl PullContext {
    /// The copy whose entity tag goes with the request. Only our servers give positions, and only their entity tags are
    /// known to change with the bytes.
    pub(in crate::replica) fn named(&self) -> Option<&Arc<CachedCopy>> {
        self.held.as_ref().filter(|copy| copy.position().is_some())
    }
}

/// The answer of upstream about an account.
#[derive(Debug)]
pub(in crate::replica) struct PullAnswer {
    pub(in crate::replica) said: PullResult,
    pub(in crate::replica) source: AnswerSource,
}

#[derive(Debug)]
pub(in crate::replica) enum PullResult {
    /// The current version, and its position.
    Version(Arc<Entry>, Option<Position>),
    /// Something that the gate rejected.
    Refused(Refusal),
    /// The copy is the current version.
    Unchanged,
    /// There is none.
    Absent,
    /// Upstream gave no answer, for this reason.
    Nothing(String),
}

impl Held {
    /// Notes the state of an account before the request for it.
    pub(in crate::replica) fn asked(&self, key: &AccountKey) -> PullContext {
        PullContext {
            forgotten: self.forgotten.of(key),
            stretch: self.freshness.live(),
            heard: self.generations.of(key),
            held: self.cache.get(key),
            position: self.positions.stand().position,
        }
    }

    /// Whether only another request can tell what is current. That is so if the primary removed the account during the
    /// request. It is also so if two versions of one second come from servers with different orders.
    pub(in crate::replica) fn is_outdated(&self, key: &AccountKey, asked: &PullContext, answer: &PullAnswer) -> bool {
        if self.forgotten.of(key) != asked.forgotten {
            return true;
        }
        match &answer.said {
            PullResult::Version(entry, at) if self.generations.of(key) != asked.heard => {
                self.known.versions.with(key, |seen| seen.held.is_open(&entry.version(), *at))
            }
            _ => false,
        }
    }

    /// Applies an answer. A version always passes the order, whatever happened during the request. The error says why
    /// the answer is of no use.
    pub(in crate::replica) fn answered(
        &self,
        key: &AccountKey,
        asked: &PullContext,
        answer: PullAnswer,
    ) -> Result<Option<Arc<CachedCopy>>, String> {
        let PullAnswer { said, source } = answer;
        let AnswerSource { is_followed, is_of_followed, is_of_primary, age } = source;
        let now = clock::uptime_millis();
        // The feed keeps an answer current only if nothing happened during the request, and the server of the feed gave
        // it.
        let is_undisturbed = is_followed && self.generations.of(key) == asked.heard;
        let stretch = asked.stretch.filter(|_| is_undisturbed && self.freshness.live() == asked.stretch);
        // Such an answer is at least as new as the position when the request began.
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
                    .ok_or_else(|| "its version is older than one that this replica has seen".to_owned()),
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
                    tracing::debug!(account = %key, "the primary does not know {key}; this replica serves its copy");
                    if is_undisturbed {
                        self.notice_ahead(key);
                    }
                    return Ok(Some(copy));
                }
                // While the feed is live, another server may be further behind.
                self.unknown.remember(key, || {
                    self.generations.of(key) == asked.heard && (is_of_followed || self.freshness.live().is_none())
                });
                Ok(None)
            }
            // The deletion is known, so no answer is needed.
            PullResult::Nothing(_) if self.known.is_deleted(key) => Ok(None),
            PullResult::Nothing(error) => Err(error),
        }
    }

    /// The answer is of no use. An old version is a normal case, not an attack.
    fn refused(&self, key: &AccountKey, refusal: &Refusal, now: i64) -> Result<Option<Arc<CachedCopy>>, String> {
        if let Refusal::Deleted { .. } = refusal {
            return Ok(None);
        }
        self.env.metrics.refused(Via::Upstream, refusal);
        if refusal.is_conflict() {
            tracing::debug!(account = %key, "the JWT of the primary for {key} changes nothing: {refusal}");
        } else {
            tracing::warn!(account = %key, "the JWT of the primary for {key} is rejected: {refusal}");
        }
        self.unconfirmed(key, now).map(Some).ok_or_else(|| refusal.to_string())
    }

    /// The copy, which the primary did not confirm. The replica does not ask again for a time-to-live.
    fn unconfirmed(&self, key: &AccountKey, now: i64) -> Option<Arc<CachedCopy>> {
        let copy = self.cache.get(key)?;
        copy.check(now);
        Some(copy)
    }
}
