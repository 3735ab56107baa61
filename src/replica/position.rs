//! The position up to which everything that this replica serves without a request is current.
//!
//! Up to some change, the feed was applied. That alone is not enough: a copy may have come from a server that is
//! further behind, and this replica would serve it if no server answers. Each such reason is a *limit*: the position
//! from before the reason. The replica confirms upstream the lowest of all limits and the applied position.
//! `docs/replication.md` says what that promises.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::feed::{Head, Session};
use crate::key::AccountKey;
use crate::store::snapshot::Stand;

/// The number of unconfirmed copies at which those without a copy in the cache are dropped.
const MANY: usize = 65_536;

/// Why the position is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PositionLimit {
    /// The feed does not confirm some copies.
    Copies,
    /// All copies are being compared with the primary, because the feed could not continue.
    Comparison,
    /// Copies of an earlier process are still on disk only.
    WarmUp,
    /// The operator JWT in force may not be the primary's.
    Operator,
}

const LIMITS: usize = 4;

/// The applied position, the limits, and the unconfirmed copies.
#[derive(Debug)]
pub(super) struct Positions {
    stand: Mutex<Stand>,
    state: Mutex<LimitState>,
    /// Notified when the position may have moved. One task waits.
    moved: Notify,
    /// Notified when there may be something to compare. One task waits.
    work: Notify,
}

#[derive(Debug, Default)]
struct LimitState {
    limits: [Option<Head>; LIMITS],
    unconfirmed: HashSet<AccountKey>,
    many: usize,
}

impl Positions {
    /// The state that an earlier process left. `is_warm`: no copies are on disk only.
    pub(super) fn after(stand: Stand, is_warm: bool) -> Self {
        let mut state = LimitState { many: MANY, ..LimitState::default() };
        if let Some(position) = stand.position {
            let confirmed = stand.confirmed.unwrap_or(Head::beginning(position.session));
            if !has_joined(&stand) {
                state.limits[PositionLimit::Comparison as usize] = Some(confirmed);
            }
            if !is_warm {
                state.limits[PositionLimit::WarmUp as usize] = Some(confirmed);
            }
        }
        Self { stand: Mutex::new(stand), state: Mutex::new(state), moved: Notify::new(), work: Notify::new() }
    }

    /// The position of the follower, up to which everything was applied.
    pub(super) fn stand(&self) -> Stand {
        *self.stand.lock()
    }

    /// Notes that everything was applied up to a position, in this stretch.
    pub(super) fn applied(&self, position: Head, stretch: u64) {
        {
            let mut stand = self.stand.lock();
            if stand.stretch != stretch {
                (stand.stretch, stand.joined) = (stretch, stretch);
            }
            stand.position = Some(position);
        }
        self.moved.notify_one();
    }

    /// Notes that all copies were compared with the primary in this stretch.
    pub(super) fn join(&self, stretch: u64) {
        let mut stand = self.stand.lock();
        if stand.stretch == stretch {
            // A copy that was not confirmed has no stretch at all.
            stand.joined = 1;
        }
    }

    /// Whether a cache has compared all copies from before its stretch. A mirror stores no position before it has.
    pub(super) fn has_joined(&self) -> bool {
        has_joined(&self.stand())
    }

    /// The position up to which everything that is served without a request is current. `None`: no history is followed
    /// yet.
    pub(super) fn confirmed(&self) -> Option<Head> {
        // A limit is set before the position moves, so the limits are read last.
        self.stand().position.map(|position| self.of(position))
    }

    /// The same, or the beginning of the history.
    pub(super) fn confirmed_or_beginning(&self) -> Head {
        self.confirmed().unwrap_or_else(|| self.beginning())
    }

    /// The position for a copy of unknown age: the beginning of the history.
    pub(super) fn beginning(&self) -> Head {
        Head::beginning(self.stand().position.map_or(Session([0; 16]), |position| position.session))
    }

    /// Waits until the position may have moved. For one task.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Waits until there may be something to compare. For one task.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// Wakes the task that reports upstream.
    pub(super) fn look_again(&self) {
        self.moved.notify_one();
    }

    /// Wakes the task that compares.
    pub(super) fn has_work(&self) {
        self.work.notify_one();
    }

    /// The lower of a position and all limits.
    fn of(&self, position: Head) -> Head {
        self.state.lock().limits.iter().flatten().fold(position, lower)
    }

    /// Limits the position to `to`.
    pub(super) fn set(&self, limit: PositionLimit, to: Head) {
        self.state.lock().set(limit, to);
        self.moved.notify_one();
        self.work.notify_one();
    }

    /// Notes that the copy of an account is current up to `to`, and maybe no further. `is_here`: whether an account has
    /// a copy.
    pub(super) fn is_unconfirmed(&self, key: &AccountKey, to: Head, is_here: impl Fn(&AccountKey) -> bool) {
        {
            let mut state = self.state.lock();
            state.unconfirmed.insert(*key);
            state.set(PositionLimit::Copies, to);
            if state.unconfirmed.len() >= state.many {
                state.unconfirmed.retain(is_here);
                state.many = MANY.max(state.unconfirmed.len() * 2);
                state.lift_if_empty();
            }
        }
        self.moved.notify_one();
        self.work.notify_one();
    }

    /// Lifts a limit.
    pub(super) fn lift(&self, limit: PositionLimit) {
        self.state.lock().limits[limit as usize] = None;
        self.moved.notify_one();
    }

    /// Notes that the feed confirms the copy of an account, or that there is none.
    pub(super) fn confirm(&self, key: &AccountKey) {
        {
            let mut state = self.state.lock();
            if !state.unconfirmed.remove(key) || !state.lift_if_empty() {
                return;
            }
        }
        self.moved.notify_one();
    }

    /// Whether the copy of an account is unconfirmed.
    pub(super) fn is_listed(&self, key: &AccountKey) -> bool {
        self.state.lock().unconfirmed.contains(key)
    }

    pub(super) fn get(&self, limit: PositionLimit) -> Option<Head> {
        self.state.lock().limits[limit as usize]
    }

    /// Some accounts with unconfirmed copies.
    pub(super) fn unconfirmed(&self, most: usize) -> Vec<AccountKey> {
        self.state.lock().unconfirmed.iter().take(most).copied().collect()
    }
}

impl LimitState {
    fn set(&mut self, limit: PositionLimit, to: Head) {
        let place = &mut self.limits[limit as usize];
        *place = Some(place.map_or(to, |before| lower(to, &before)));
    }

    /// Lifts the limit of unconfirmed copies if there are none. Returns whether that is so.
    fn lift_if_empty(&mut self) -> bool {
        if !self.unconfirmed.is_empty() {
            return false;
        }
        self.unconfirmed.shrink_to(MANY);
        (self.limits[PositionLimit::Copies as usize], self.many) = (None, MANY);
        true
    }
}

/// The lower of two positions. Two histories share only the beginning.
pub(super) fn lower(one: Head, other: &Head) -> Head {
    if one.session != other.session {
        Head::beginning(one.session)
    } else if other.serial < one.serial {
        *other
    } else {
        one
    }
}

/// Whether no earlier stretch counts as confirmed.
const fn has_joined(stand: &Stand) -> bool {
    stand.is_mirror || stand.joined <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Chain;

    fn at(session: u8, serial: u8) -> Head {
        let chain = if serial == 0 { Chain::default() } else { Chain([serial; 32]) };
        Head { session: Session([session; 16]), serial: u64::from(serial), chain }
    }

    fn stand(position: Option<Head>, confirmed: Option<Head>) -> Stand {
        Stand { position, confirmed, stretch: 1, joined: 1, heard: 0, is_mirror: false }
    }

    fn key(n: u8) -> AccountKey {
        AccountKey::from_raw([n; 32])
    }

    #[test]
    fn the_lowest_limit_counts_and_another_history_begins_at_its_beginning() {
        let limits = Positions::after(stand(None, None), true);
        assert_eq!(limits.of(at(1, 9)), at(1, 9));
        limits.set(PositionLimit::Comparison, at(1, 7));
        limits.set(PositionLimit::Operator, at(1, 8));
        limits.set(PositionLimit::Comparison, at(1, 8));
        assert_eq!([at(1, 9), at(1, 6), at(2, 9)].map(|position| limits.of(position)), [at(1, 7), at(1, 6), at(2, 0)]);
        limits.set(PositionLimit::Operator, at(2, 8));
        assert_eq!([at(1, 9), at(2, 9)].map(|position| limits.of(position)), [at(1, 0), at(2, 0)]);
        limits.lift(PositionLimit::Operator);
        assert_eq!(limits.of(at(1, 9)), at(1, 7));
        limits.lift(PositionLimit::Comparison);
        assert_eq!(limits.of(at(1, 9)), at(1, 9));
    }

    #[test]
    fn what_an_earlier_process_confirmed_counts_until_its_copies_are_back_and_compared() {
        for (confirmed, joined, is_warm, expected) in [
            (Some(at(1, 5)), 1, true, at(1, 9)),
            (Some(at(1, 5)), 2, true, at(1, 5)),
            (Some(at(1, 5)), 1, false, at(1, 5)),
            (None, 1, false, at(1, 0)),
        ] {
            let limits = Positions::after(Stand { joined, ..stand(Some(at(1, 9)), confirmed) }, is_warm);
            assert_eq!(limits.of(at(1, 9)), expected);
            assert_eq!(limits.of(at(2, 9)), if expected == at(1, 9) { at(2, 9) } else { at(2, 0) });
        }
    }

    #[test]
    fn copies_are_a_limit_until_the_last_of_them_is_confirmed() {
        let limits = Positions::after(stand(None, None), true);
        for (n, to) in [(1, at(1, 5)), (2, at(1, 3))] {
            limits.is_unconfirmed(&key(n), to, |_| true);
        }
        limits.confirm(&key(2));
        limits.confirm(&key(7));
        assert_eq!((limits.of(at(1, 9)), limits.unconfirmed(9)), (at(1, 3), vec![key(1)]));
        limits.confirm(&key(1));
        assert_eq!((limits.of(at(1, 9)), limits.unconfirmed(9)), (at(1, 9), vec![]));
    }

    #[test]
    fn copies_that_have_left_the_cache_take_no_room_for_ever() {
        let limits = Positions::after(stand(None, None), true);
        let key = |n: u32| {
            let mut raw = [0; 32];
            raw[..4].copy_from_slice(&n.to_be_bytes());
            AccountKey::from_raw(raw)
        };
        let most = u32::try_from(MANY).unwrap_or(u32::MAX);
        for n in 0..3 * most {
            limits.is_unconfirmed(&key(n), at(1, 5), |_| false);
            assert!(limits.state.lock().unconfirmed.len() < MANY);
        }
        assert_eq!(limits.of(at(1, 9)), if limits.unconfirmed(1).is_empty() { at(1, 9) } else { at(1, 5) });
    }
}
