//! JWTs that upstream did not give: those that a replica hears over NATS.
//!
//! Each carries the operator's signature, and none proves that it is current: any user of the system account can repeat
//! an old one. So it is a hint, as NOTIFY is in DNS. It is applied if it is newer than what upstream gave. Otherwise it is
//! a reason to ask upstream, whose answer counts ([`rule`]). Requests of clients come before such questions ([`waiting`]).

#[cfg(test)]
mod interleavings;
mod overlay;
mod waiting;

use std::sync::Arc;

pub(super) use waiting::Waiting;

use super::take::From;
use super::{Replica, Slot};
use crate::clock;
use crate::gate::{Entry, Ordering as Order, Refusal, Via};
use crate::key::AccountKey;

/// What is known here of the account or activation that a hint is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// A copy is at hand, it or an earlier version is one that upstream itself gave, and that was neither deleted nor
    /// removed since.
    pub(super) is_confirmed: bool,
    /// A request to upstream is under way, and may be answered with something newer.
    pub(super) is_asked: bool,
    /// Upstream accepted this very version from a client of this replica: it is a hint no longer.
    pub(super) is_accepted: bool,
}

/// What a hint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is served from now on.
    Apply,
    /// Upstream is asked; until it answers, everything stays as it is.
    Ask,
    /// It is what is served.
    Nothing,
}

/// What became of a hint, as the metric `replica_hints_total` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is served.
    Applied,
    /// Upstream was asked.
    Asked,
    /// It waited for its turn, and by then there was nothing to ask.
    Settled,
    /// Another one of the same account waits for its turn already.
    Joined,
    /// There was no place to wait, or upstream could not be asked. The feed or the next GET brings what there is.
    Dropped,
    /// It is what is served, or no client has asked for the account here.
    Ignored,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Asked => "asked",
            Self::Settled => "settled",
            Self::Joined => "joined",
            Self::Dropped => "dropped",
            Self::Ignored => "ignored",
        }
    }
}

/// Whether a hint may be applied. `order`: how it compares with what is known here.
///
/// A hint that is older, or that a deletion covers, is refused: upstream has nothing to add to that.
pub(super) fn rule(order: Order, known: Known) -> Result<Ruling, Refusal> {
    match order {
        Order::Refused(refusal) => Err(refusal),
        Order::Same if known.is_confirmed && !known.is_accepted => Ok(Ruling::Nothing),
        _ if known.is_asked => Ok(Ruling::Ask),
        Order::Newer | Order::Same if known.is_accepted => Ok(Ruling::Apply),
        Order::Newer if known.is_confirmed => Ok(Ruling::Apply),
        Order::Newer | Order::Same | Order::Behind | Order::Refetch => Ok(Ruling::Ask),
    }
}

impl Replica {
    /// Hears a claims update over NATS, whose subject named `expected`.
    pub fn hint(self: &Arc<Self>, token: &[u8], expected: &AccountKey) -> Result<(), Refusal> {
        let entry = Arc::new(self.env.gate.admit(token, Some(expected), Via::Hint, clock::unix_seconds())?);
        match self.hear(&entry)? {
            Ruling::Apply => self.count_hint(Outcome::Applied),
            Ruling::Nothing => self.count_hint(Outcome::Ignored),
            Ruling::Ask => self.wait_with(entry),
        }
        Ok(())
    }

    /// Decides about a hint that passed the gate, and applies it if that is what is decided.
    fn hear(&self, entry: &Arc<Entry>) -> Result<Ruling, Refusal> {
        // If no client wants the account, the first GET for it asks upstream anyway.
        if self.is_wanted(entry.key()) { self.judge(entry, false) } else { Ok(Ruling::Nothing) }
    }

    pub(super) fn count_hint(&self, outcome: Outcome) {
        self.env.metrics.replica_hints.with_label_values(&[outcome.label()]).inc();
    }

    /// Applies [`rule`] to an admitted JWT of an account. `is_accepted`: upstream has accepted it from a client of ours.
    pub(super) fn judge(&self, entry: &Arc<Entry>, is_accepted: bool) -> Result<Ruling, Refusal> {
        let (key, version) = (*entry.key(), entry.version());
        let standing = self.env.gate.standing();
        // It was admitted a moment ago; the operator JWT may be another one by now.
        if !standing.vouches(entry.issuer()) {
            return Err(Refusal::Untrusted(entry.issuer().text()));
        }
        // A copy of an earlier process is at hand as well.
        let _ = self.at_hand(&key);
        self.memory.with(&key, |seen| {
            let copy = self.cache.get(&key);
            let known = Known {
                is_confirmed: copy.is_some() && seen.held.is_live() && !seen.removed,
                is_asked: self.is_asked(&key),
                is_accepted,
            };
            let ruling = rule(seen.order(&version, Via::Hint, &standing), known)?;
            if ruling != Ruling::Apply {
                return Ok(ruling);
            }
            self.epochs.bump(&key);
            if is_accepted {
                seen.held.put(version, None, &standing);
                (seen.heard, seen.removed, seen.ahead) = (None, false, false);
                self.keep(&key, entry, None, None, From::Hint);
                self.unknown.forget(&key);
            } else if let Some(copy) = copy {
                seen.heard = Some(version);
                self.put(&key, self.in_place_of(&copy, entry), From::Hint);
            }
            self.epochs.bump(&key);
            Ok(ruling)
        })
    }

    /// Serves a JWT that an earlier server left on disk, until upstream says otherwise.
    pub(super) fn find(&self, entry: &Arc<Entry>) -> Result<(), Refusal> {
        let (key, version) = (*entry.key(), entry.version());
        self.epochs.bump(&key);
        let found = self.memory.with(&key, |seen| {
            match seen.order(&version, Via::FirstScan, &self.env.gate.standing()) {
                Order::Newer => seen.heard = Some(version),
                Order::Same => {}
                Order::Refused(refusal) => return Err(refusal),
                Order::Behind | Order::Refetch => return Err(Refusal::Tie(version.iat)),
            }
            self.keep(&key, entry, None, None, From::Asked(None));
            Ok(())
        });
        self.unknown.forget(&key);
        self.epochs.bump(&key);
        found
    }

    /// The copy that takes the place of another one: upstream is asked about it when it would have been asked about that
    /// one, or after a time-to-live if the feed spoke for that one.
    fn in_place_of(&self, copy: &Slot, entry: &Arc<Entry>) -> Slot {
        let now = clock::uptime_millis();
        let checked = if self.freshness.confirms(copy.stretch()) { now } else { copy.checked() };
        Slot::heard(entry.clone(), checked, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hint leads to, in the order of: upstream accepted it; nothing is under way; something is.
    fn rulings(order: fn() -> Order, is_confirmed: bool) -> [Option<Ruling>; 3] {
        [(false, true), (false, false), (true, false)]
            .map(|(is_asked, is_accepted)| rule(order(), Known { is_confirmed, is_asked, is_accepted }).ok())
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
        let both = Known { is_confirmed: true, is_asked: true, is_accepted: true };
        assert_eq!(rule(Order::Newer, both).ok(), Some(Ask), "what is under way may be later than what was accepted");
    }
}
