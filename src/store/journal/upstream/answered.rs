//! An answer of upstream about one account.

use std::sync::Arc;

use super::super::head::{Row, leaf_of};
use super::super::transaction::Transaction;
use super::super::write::{CommitError, Outcome};
use super::ordered::{TextPlace, UpstreamState};
use super::{Answered, AnsweredContent};
use crate::feed::{Chain, Subject};
use crate::gate::{Entry, Position, Refusal, Via};

impl Transaction<'_> {
    pub(super) fn answered(&mut self, answer: &Answered) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let subject = Subject::Account(answer.key);
        if !answer.is_kept.ask() {
            // The primary has removed the account since, and sends nothing more about it.
            return Ok(Ok(Outcome::Kept));
        }
        let before = self.load(&subject)?.unwrap_or_default();
        let is_last_word = answer.is_last_word.ask();
        match &answer.content {
            AnsweredContent::Put(entry, at, via) => {
                self.answered_put(answer, &before, entry, (*at, *via), is_last_word)
            }
            AnsweredContent::Unchanged | AnsweredContent::Absent if !is_last_word => Ok(Ok(Outcome::Kept)),
            AnsweredContent::Unchanged => {
                let mut now = before.clone();
                now.is_level();
                self.settle_loose(&subject, &before, &now, None)?;
                Ok(Ok(Outcome::Same { serial: 0 }))
            }
            AnsweredContent::Absent => {
                let mut now = before.clone();
                Self::order_nothing(&mut now, &subject);
                self.settle_loose(&subject, &before, &now, None)?;
                Ok(Ok(Outcome::Kept))
            }
        }
    }

    fn answered_put(
        &mut self,
        answer: &Answered,
        before: &Row,
        entry: &Arc<Entry>,
        (at, via): (Option<Position>, Via),
        is_last_word: bool,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let subject = Subject::Account(*entry.key());
        // The operator JWT may have changed since it was admitted.
        if !self.standing.vouches(entry.issuer()) {
            return Ok(Err(Refusal::Untrusted(entry.issuer().text()).into()));
        }
        let mut now = before.clone();
        let state = self.order_version(&mut now, entry, via, at, TextPlace::Loose)?;
        let is_what_was_ordered =
            before.leaf(&subject).is_some_and(|leaf| leaf.short() == leaf_of(&subject, entry.identity()).short());
        // Without a feed nothing is ordered, and an answer is all there is.
        let is_ordered = is_last_word || is_what_was_ordered || !self.meta.log.has_session();
        let (held, outcome) = match state {
            UpstreamState::Held => {
                if !is_ordered {
                    now.set_ordered(&subject, before.leaf(&subject), before.made_by());
                    now.is_doubted = before.is_doubted || answer.may_be_old;
                    if answer.may_be_old {
                        // It is served until a comparison says what upstream ordered.
                        self.meta.confirmed = (0, Chain::default());
                    }
                }
                (Some(entry), Ok(Outcome::Changed { serial: at.map_or(0, |at| at.serial) }))
            }
            UpstreamState::Behind => (None, Ok(Outcome::Kept)),
            UpstreamState::Open => (None, Ok(Outcome::Refetch)),
            UpstreamState::Ahead(refusal) => (None, Err(refusal.into())),
        };
        if held.is_none() && !(is_last_word && now.is_ahead) {
            // What it says of upstream may be old.
            (now.ordered, now.is_ahead, now.is_doubted) = (before.ordered, before.is_ahead, before.is_doubted);
        }
        self.settle_loose(&subject, before, &now, held)?;
        Ok(outcome)
    }
}
