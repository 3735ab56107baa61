//! An answer of upstream about one account.

use std::sync::Arc;

use super::super::head::{Row, leaf_of};
use super::super::transaction::Transaction;
use super::super::write::{CommitError, Outcome};
use super::ordered::{TextPlace, UpstreamState};
use super::{Answered, AnsweredContent};
use crate::feed::{Chain, Subject};
use crate::gate::{Entry, Ordering, Position, Refusal, Via};

impl Transaction<'_> {
    pub(super) fn answered(&mut self, answer: &Answered) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let subject = Subject::Account(answer.key);
        if !answer.is_kept.ask() {
            // The primary has removed the account since, and sends nothing more about it.
            return Ok(Ok(Outcome::Kept));
        }
        let before = self.load(&subject)?.unwrap_or_default();
        let is_last_word = self.is_last_word(answer);
        match &answer.content {
            AnsweredContent::Put(entry, at, via) => {
                self.answered_put(answer, &before, entry, (*at, *via), is_last_word)
            }
            AnsweredContent::Unchanged | AnsweredContent::Absent { .. } if !is_last_word => Ok(Ok(Outcome::Kept)),
            // The feed says more.
            AnsweredContent::Unchanged if self.is_to_come(&before) => Ok(Ok(Outcome::Same { serial: 0 })),
            AnsweredContent::Unchanged => {
                let mut now = before.clone();
                now.is_level();
                self.settle_loose(&subject, &before, &now, None)?;
                Ok(Ok(Outcome::Same { serial: 0 }))
            }
            AnsweredContent::Absent { is_comparable } => {
                let mut now = before.clone();
                if now.is_live() && now.ordered.is_none() && *is_comparable {
                    now.is_doubted = true;
                } else if now.is_live() && now.ordered.is_none() {
                    self.order_nothing(&mut now, &subject);
                } else if now.own_leaf(&subject).is_some() {
                    self.order_same(&mut now, &subject);
                } else {
                    now.note_ahead(false);
                }
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
        let is_what_was_ordered = self.meta.is_level
            && before.leaf(&subject).is_some_and(|leaf| leaf.short() == leaf_of(&subject, entry.identity()).short());
        // Without a feed nothing is ordered, and an answer is all there is.
        if !is_last_word && !is_what_was_ordered && self.meta.log.has_session() {
            return self.answered_early(answer, before, entry, (at, via));
        }
        let mut now = before.clone();
        let state = self.order_version(&mut now, entry, via, at, TextPlace::Loose)?;
        let (held, outcome) = match state {
            UpstreamState::Held => (Some(entry), Ok(Outcome::Changed { serial: at.map_or(0, |at| at.serial) })),
            UpstreamState::Behind => (None, Ok(Outcome::Kept)),
            UpstreamState::Open => (None, Ok(Outcome::Refetch)),
            UpstreamState::Ahead(refusal) => (None, Err(refusal.into())),
        };
        if held.is_none() && !is_what_was_ordered && !(is_last_word && now.is_ahead) {
            // What it says of upstream may be old.
            let stored = now.ordered.map_or(0, |ordered| ordered.under);
            (now.ordered, now.is_ahead, now.is_doubted) = (before.ordered, before.is_ahead, before.is_doubted);
            if stored < 0 && !now.points_to(stored) {
                self.drop_body(stored)?;
            }
        }
        self.settle_loose(&subject, before, &now, held)?;
        Ok(outcome)
    }

    /// Upstream has this version, or had it a moment ago. The feed is about to say what it ordered.
    fn answered_early(
        &mut self,
        answer: &Answered,
        before: &Row,
        entry: &Arc<Entry>,
        (at, via): (Option<Position>, Via),
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let subject = Subject::Account(*entry.key());
        match before.held.order(&entry.version(), via, at, &self.standing) {
            Ordering::Same if before.is_live() => {
                self.repair(before, entry.digest(), entry.token(), &entry.key().text())?;
                // Until a comparison has ended, only what confirms the account says that upstream has it in this order.
                if self.meta.is_level {
                    let mut now = before.clone();
                    now.held.put(entry.version(), at, &self.standing);
                    self.settle_loose(&subject, before, &now, None)?;
                }
                Ok(Ok(Outcome::Same { serial: at.map_or(0, |at| at.serial) }))
            }
            Ordering::Newer | Ordering::Same => {
                self.overlay(&subject, before, entry, via, at)?;
                if self.may_be_old(answer, at) {
                    self.doubt_one(&subject)?;
                }
                Ok(Ok(Outcome::Changed { serial: at.map_or(0, |at| at.serial) }))
            }
            Ordering::Behind => {
                let mut now = before.clone();
                now.held.note_behind(&entry.version(), at);
                now.is_doubted |= !self.meta.is_level && now != *before;
                self.settle_loose(&subject, before, &now, None)?;
                Ok(Ok(Outcome::Kept))
            }
            Ordering::Refetch => Ok(Ok(Outcome::Refetch)),
            Ordering::Refused(refusal) => Ok(Err(refusal.into())),
        }
    }

    /// Whether an answer says what upstream has ordered. What came before the write in the same transaction counts: another order
    /// may have begun.
    fn is_last_word(&self, answer: &Answered) -> bool {
        let at = if let AnsweredContent::Put(_, at, _) = &answer.content { *at } else { None };
        answer.is_followed
            && self.is_of_this_order(answer)
            && at.is_none_or(|at| self.is_of_this_session(at) && !self.is_later_than_feed(at))
            && answer.is_undisturbed.ask()
    }

    /// Whether an answer may be from before the position of this replica.
    fn may_be_old(&self, answer: &Answered, at: Option<Position>) -> bool {
        let was_live = answer.is_followed && answer.was_live && self.is_of_this_order(answer);
        // A primary is at the position of its session, or later.
        let is_of_session = || answer.is_of_primary && at.is_some_and(|at| self.is_of_this_session(at));
        !(was_live || is_of_session())
    }

    fn is_of_this_order(&self, answer: &Answered) -> bool {
        answer.era == self.meta.log.followed()
    }

    /// Whether the feed has not come to this place. If upstream is set back now, it never will.
    fn is_later_than_feed(&self, at: Position) -> bool {
        self.meta.log.has_session() && at.serial > self.meta.head.serial
    }

    fn is_of_this_session(&self, at: Position) -> bool {
        // Without a feed, it is not known in which one upstream is.
        at.session == self.meta.head.session.0 || !self.meta.log.has_session()
    }

    /// What is served of an account may be from before any position, until a comparison says what upstream ordered.
    fn doubt_one(&mut self, subject: &Subject) -> rusqlite::Result<()> {
        let before = self.load(subject)?.unwrap_or_default();
        let now = Row { is_doubted: true, ..before.clone() };
        self.meta.confirmed = (0, Chain::default());
        self.settle_loose(subject, &before, &now, None)
    }
}
