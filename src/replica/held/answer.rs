//! Applies the answers of upstream about an account.

use std::sync::Arc;

use super::Held;
use crate::gate::{Entry, Position, Refusal, Via};
use crate::generation::Generation;
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;
use crate::store::journal::upstream::{Answered, AnsweredContent, Still, UpstreamWrite};
use crate::store::journal::{CommitError, Outcome};
use crate::upstream::AnswerSource;

/// The state of an account when the request for it began.
#[derive(Debug, Clone)]
pub(in crate::replica) struct PullContext {
    /// The copy at that time.
    held: Option<Arc<CachedCopy>>,
    /// The order in the store.
    era: u64,
    /// The order that was followed live.
    live: Option<u64>,
    /// The value of [`Held::generation`].
    heard: Generation,
    /// The generation of deletions and removals.
    gone: Generation,
    /// How often the copy was marked stale.
    stale: Generation,
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
            gone: self.copies.gone(key),
            stale: self.copies.stale(key),
            era: self.store.reader().era(),
            live: self.freshness.live(),
            heard: self.copies.generation(key),
            held: self.at_hand(key),
        }
    }

    /// Whether only another request can tell what is current. That is so if the primary removed the account during the
    /// request. It is also so if two versions of one second come from servers with different orders.
    pub(in crate::replica) fn is_outdated(&self, key: &AccountKey, asked: &PullContext, answer: &PullAnswer) -> bool {
        if self.copies.gone(key) != asked.gone {
            return true;
        }
        match &answer.said {
            PullResult::Version(entry, at) if self.copies.generation(key) != asked.heard => {
                self.order(key).is_open(&entry.version(), *at)
            }
            _ => false,
        }
    }

    /// Applies an answer. A version always passes the order, whatever happened during the request. The error says why
    /// the answer is of no use.
    pub(in crate::replica) async fn answered(
        self: &Arc<Self>,
        key: &AccountKey,
        asked: &PullContext,
        answer: PullAnswer,
    ) -> Result<Option<Arc<CachedCopy>>, String> {
        let PullAnswer { said, source } = answer;
        let AnswerSource { is_of_followed, age, .. } = source;
        match said {
            PullResult::Version(entry, at) => {
                let content = AnsweredContent::Put(entry, at, Via::Upstream);
                match self.tell(key, asked, content, source).await {
                    Ok(Outcome::Changed { .. } | Outcome::Same { .. }) => {
                        let copy = self.at_hand(key);
                        self.copies.note_asked(key, age, asked.stale);
                        copy.map(Some).ok_or_else(|| "its JWT is withheld".to_owned())
                    }
                    Ok(_) => self
                        .unconfirmed(key, asked)
                        .map(Some)
                        .ok_or_else(|| "its version is older than one that this replica has seen".to_owned()),
                    Err(CommitError::Refused(refusal)) => self.refused(key, asked, &refusal),
                    Err(CommitError::Failed(error)) => Err(error.for_clients()),
                }
            }
            PullResult::Refused(refusal) => self.refused(key, asked, &refusal),
            PullResult::Unchanged => {
                let _ = self.tell(key, asked, AnsweredContent::Unchanged, source).await;
                self.copies.note_asked(key, age, asked.stale);
                Ok(self.at_hand_or(key, asked.held.as_ref(), asked.gone))
            }
            PullResult::Absent => {
                if self.unconfirmed(key, asked).is_some() {
                    tracing::debug!(account = %key, "the primary does not know {key}; this replica serves its copy");
                    let content = AnsweredContent::Absent { is_comparable: self.freshness.are_digests_there() };
                    let _ = self.tell(key, asked, content, source).await;
                    return Ok(self.unconfirmed(key, asked));
                }
                // While the feed is live, another server may be further behind.
                self.copies.unknown.remember(key, || {
                    self.copies.generation(key) == asked.heard && (is_of_followed || self.freshness.live().is_none())
                });
                Ok(None)
            }
            // Also if a deletion is known: upstream may have a newer JWT, and a 404 would keep a client from asking another server.
            PullResult::Nothing(error) => Err(error),
        }
    }

    /// Writes what upstream said of an account. It is its last word if nothing has happened to the account during the
    /// request, and the server of the live feed answered.
    async fn tell(
        self: &Arc<Self>,
        key: &AccountKey,
        asked: &PullContext,
        content: AnsweredContent,
        source: AnswerSource,
    ) -> Result<Outcome, CommitError> {
        let (held, before, (copies, gone)) = (self.clone(), asked.clone(), (self.copies.clone(), asked.gone));
        let key = *key;
        let is_undisturbed =
            move || held.freshness.live() == before.live && held.copies.generation(&key) == before.heard;
        let answer = Answered {
            key,
            content,
            era: asked.era,
            is_followed: source.is_followed,
            was_live: asked.live.is_some() && self.freshness.live() == asked.live,
            is_of_primary: source.is_of_primary,
            is_undisturbed: Still::new(is_undisturbed),
            is_kept: Still::new(move || copies.gone(&key) == gone),
        };
        let outcome = self.store.write(UpstreamWrite::Answered(answer)).await;
        if self.store.stand().doubted > 0 {
            // The position may have fallen, and a comparison of the account lifts it again.
            self.positions.look_again();
        }
        outcome
    }

    /// The answer is of no use. An old version is a normal case, not an attack.
    fn refused(
        &self,
        key: &AccountKey,
        asked: &PullContext,
        refusal: &Refusal,
    ) -> Result<Option<Arc<CachedCopy>>, String> {
        if let Refusal::Deleted { .. } = refusal {
            return Ok(None);
        }
        self.env.refused(Via::Upstream, refusal, format_args!("the JWT of the primary for {key}"));
        self.unconfirmed(key, asked).map(Some).ok_or_else(|| refusal.to_string())
    }

    /// The copy, which the primary did not confirm. The replica does not ask again for a time-to-live.
    fn unconfirmed(&self, key: &AccountKey, asked: &PullContext) -> Option<Arc<CachedCopy>> {
        let copy = self.at_hand_or(key, asked.held.as_ref(), asked.gone)?;
        self.copies.note_unconfirmed(key, &copy, asked.stale);
        Some(copy)
    }
}
