//! What is served before upstream has ordered it: what was heard over NATS, what upstream accepted from a client of this
//! replica, and what an earlier kind of server left on disk.

use std::sync::Arc;

use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::super::head::{Ordered, Row};
use super::super::transaction::{Record, Transaction};
use super::super::write::{CommitError, Outcome};
use super::Still;
use crate::clock;
use crate::feed::Subject;
use crate::gate::{Digest, Entry, Ordering, Position, Refusal, Tombstone, Via};

/// A JWT that upstream did not give.
#[derive(Debug, Clone)]
pub struct Early {
    /// The JWT.
    pub entry: Arc<Entry>,
    /// How it came.
    pub way: EarlyWay,
    /// Whether a request to upstream is under way, which may bring something newer.
    pub is_asked: Still,
}

/// How a JWT came that upstream did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyWay {
    /// It was heard over NATS.
    Hint,
    /// Upstream accepted this very version from a client of this replica, so it is no longer a hint.
    Accepted,
    /// It was found on disk.
    Found,
}

impl Transaction<'_> {
    /// Applies a JWT that upstream did not give, if the rule says so. It becomes an overlay.
    pub(super) fn early(&mut self, early: &Early) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let (entry, subject) = (&early.entry, Subject::Account(*early.entry.key()));
        // The operator JWT may have changed since it was admitted.
        if !self.standing.vouches(entry.issuer()) {
            return Ok(Err(Refusal::Untrusted(entry.issuer().text()).into()));
        }
        let before = self.load(&subject)?.unwrap_or_default();
        let via = if early.way == EarlyWay::Found { Via::FirstScan } else { Via::Hint };
        let order = before.held.order(&entry.version(), via, None, &self.standing);
        let ruling = match (early.way, order) {
            (EarlyWay::Found, Ordering::Newer) => Ok(Ruling::Apply),
            (EarlyWay::Found, Ordering::Same) if before.row == 0 => Ok(Ruling::Apply),
            (EarlyWay::Found, Ordering::Same) => Ok(Ruling::Nothing),
            (EarlyWay::Found, Ordering::Refused(refusal)) => Err(refusal),
            (EarlyWay::Found, _) => Err(Refusal::Tie(entry.iat())),
            (way, order) => rule(
                order,
                KnownCopy {
                    is_confirmed: self.is_confirmed(&before)?,
                    is_asked: early.is_asked.ask(),
                    is_accepted: way == EarlyWay::Accepted,
                },
            ),
        };
        match ruling {
            Err(refusal) => Ok(Err(refusal.into())),
            Ok(Ruling::Ask) => Ok(Ok(Outcome::Refetch)),
            Ok(Ruling::Nothing) => Ok(Ok(Outcome::Same { serial: 0 })),
            Ok(Ruling::Apply) if before.is_live() && before.held.identity() == Some(entry.identity()) => {
                Ok(Ok(Outcome::Same { serial: 0 }))
            }
            Ok(Ruling::Apply) => self.overlay(&subject, &before, entry, via, None).map(|()| Ok(Outcome::Early)),
        }
    }

    /// Whether upstream gave what is held or an earlier version, and no deletion or removal followed.
    fn is_confirmed(&self, row: &Row) -> rusqlite::Result<bool> {
        Ok(match row.ordered {
            _ if !row.is_live() => false,
            None => true,
            Some(Ordered { leaf: Some(_), under }) => self.is_put(under)?,
            Some(Ordered { leaf: None, .. }) => row.held.position().is_some() || !self.is_found(row.row)?,
        })
    }

    fn is_found(&self, id: i64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE id = ?1 AND via = ?2)")?
            .query_row(params![id, Via::FirstScan.label()], |row| row.get(0))
    }

    /// Applies a delete request that upstream accepted from a client of this replica.
    pub(super) fn deleted_early(&mut self, tombstone: &Arc<Tombstone>) -> rusqlite::Result<Outcome> {
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        let mut stored = 0;
        for key in tombstone.keys() {
            let subject = Subject::Account(*key);
            let before = self.load(&subject)?.unwrap_or_default();
            let mut now = before.clone();
            if !now.held.delete(tombstone.deletion(), &self.standing) {
                continue;
            }
            if stored == 0 {
                let record = Record::of_delete(tombstone, Via::Hint, clock::unix_millis(), &[], &digest);
                stored = self.store_loose(&record, 0)?;
            }
            now.deleted_row = stored;
            now.set_ordered(&subject, before.leaf(&subject), before.made_by());
            now.is_ahead = false;
            self.count(before.counted(), now.counted());
            self.settle_loose(&subject, &before, &now, None)?;
        }
        Ok(if stored == 0 { Outcome::Kept } else { Outcome::Early })
    }

    /// Serves a version that upstream has not ordered yet, as far as is known here.
    pub(super) fn overlay(
        &mut self,
        subject: &Subject,
        before: &Row,
        entry: &Arc<Entry>,
        via: Via,
        at: Option<Position>,
    ) -> rusqlite::Result<()> {
        let mut now = before.clone();
        now.held.put(entry.version(), at, &self.standing);
        now.removed = 0;
        now.row = self.store_entry(entry, via, at)?;
        (now.exp, now.digest) = (entry.exp(), *entry.digest());
        // What was ordered stays in the digest tree, and its text is kept.
        now.set_ordered(subject, before.leaf(subject), before.made_by());
        now.is_ahead = false;
        // An overlay is no part of the history. A version before a deletion or a removal is.
        let is_history = before.ordered.is_none() && before.row != 0 && !now.points_to(before.row);
        if is_history && before.digest == now.digest {
            // A text is kept once.
            self.drop_body(before.row)?;
        } else if is_history {
            now.history = self.push_history(&before.history, before.row)?;
        }
        self.count(before.counted(), now.counted());
        self.settle_loose(subject, before, &now, Some(entry))
    }
}

/// What is known of the account or activation of a hint.
#[derive(Debug, Clone, Copy)]
pub struct KnownCopy {
    /// There is a copy, upstream gave it or an earlier version, and no deletion or removal followed.
    pub is_confirmed: bool,
    /// A request to upstream is under way, and may bring something newer.
    pub is_asked: bool,
    /// Upstream accepted this very version from a client of this replica, so it is no longer a hint.
    pub is_accepted: bool,
}

/// What a hint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It is served from now on.
    Apply,
    /// The replica asks upstream. Until the answer, nothing changes.
    Ask,
    /// It is served already.
    Nothing,
}
/// Whether to apply a hint. `order`: how it compares with the known versions.
///
/// Rejects a hint that is older, or that a deletion covers. Upstream could not change that.
pub fn rule(order: Ordering, known: KnownCopy) -> Result<Ruling, Refusal> {
    match order {
        Ordering::Refused(refusal) => Err(refusal),
        Ordering::Same if known.is_confirmed && !known.is_accepted => Ok(Ruling::Nothing),
        _ if known.is_asked => Ok(Ruling::Ask),
        Ordering::Newer | Ordering::Same if known.is_accepted => Ok(Ruling::Apply),
        Ordering::Newer if known.is_confirmed => Ok(Ruling::Apply),
        Ordering::Newer | Ordering::Same | Ordering::Behind | Ordering::Refetch => Ok(Ruling::Ask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Ordering as Order;

    /// The ruling if upstream accepted it, if nothing is under way, and if something is.
    fn rulings(order: fn() -> Order, is_confirmed: bool) -> [Option<Ruling>; 3] {
        [(false, true), (false, false), (true, false)]
            .map(|(is_asked, is_accepted)| rule(order(), KnownCopy { is_confirmed, is_asked, is_accepted }).ok())
    }

    #[test]
    fn a_hint_is_applied_only_where_it_is_newer_than_what_upstream_confirmed() {
        use Ruling::{Apply, Ask, Nothing};
        let refused: fn() -> Order = || Order::Refused(Refusal::Replaced);
        for (order, is_confirmed, accepted, quiet, under_way) in [
            (refused, false, None, None, None),
            (refused, true, None, None, None),
            (|| Order::Newer, true, Some(Apply), Some(Apply), Some(Ask)),
            (|| Order::Newer, false, Some(Apply), Some(Ask), Some(Ask)),
            (|| Order::Same, true, Some(Apply), Some(Nothing), Some(Nothing)),
            (|| Order::Same, false, Some(Apply), Some(Ask), Some(Ask)),
            (|| Order::Refetch, true, Some(Ask), Some(Ask), Some(Ask)),
            (|| Order::Refetch, false, Some(Ask), Some(Ask), Some(Ask)),
        ] {
            assert_eq!(rulings(order, is_confirmed), [accepted, quiet, under_way], "{:?} {is_confirmed}", order());
        }
        let both = KnownCopy { is_confirmed: true, is_asked: true, is_accepted: true };
        assert_eq!(rule(Order::Newer, both).ok(), Some(Ask), "what is under way may be later than what was accepted");
    }
}
