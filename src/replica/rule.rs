//! The rule for JWTs that upstream did not give.

use crate::gate::{Ordering as Order, Refusal};

/// What is known here of the account or activation of a hint.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownCopy {
    /// There is a copy, upstream gave it or an earlier version, and no deletion or removal followed.
    pub(super) is_confirmed: bool,
    /// A request to upstream is under way, and may bring something newer.
    pub(super) is_asked: bool,
    /// Upstream accepted this very version from a client of this replica, so it is no longer a hint.
    pub(super) is_accepted: bool,
}

/// What a hint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
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
pub(super) fn rule(order: Order, known: KnownCopy) -> Result<Ruling, Refusal> {
    match order {
        Order::Refused(refusal) => Err(refusal),
        Order::Same if known.is_confirmed && !known.is_accepted => Ok(Ruling::Nothing),
        _ if known.is_asked => Ok(Ruling::Ask),
        Order::Newer | Order::Same if known.is_accepted => Ok(Ruling::Apply),
        Order::Newer if known.is_confirmed => Ok(Ruling::Apply),
        Order::Newer | Order::Same | Order::Behind | Order::Refetch => Ok(Ruling::Ask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
