//! The position up to which everything that this replica serves without a request is current.
//!
//! The store knows up to where its log goes, and whether something holds the position back: a comparison under way, or a
//! change that could not be applied. The operator JWT is a reason of its own: a start finds it again in what the store says that
//! upstream ordered. `docs/replication.md` says what the position promises.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::store::Store;
use crate::feed::Head;

/// What limits the position, and who waits for it.
#[derive(Debug)]
pub(super) struct Positions {
    store: Arc<Store>,
    operator: Mutex<OperatorDoubt>,
    /// Notified when the position may have moved. One task waits.
    moved: Notify,
    /// Notified when there may be something to ask. One task waits.
    work: Notify,
}

/// Whether the operator JWT in force may differ from the primary's.
#[derive(Debug, Default)]
struct OperatorDoubt {
    /// The position from before it may have; `None`: it does not.
    limit: Option<Head>,
    /// How often a doubt came.
    raised: u64,
}

/// The doubts that there are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DoubtedOperator(u64);

impl Positions {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), operator: Mutex::default(), moved: Notify::new(), work: Notify::new() }
    }

    /// The position up to which everything that is served without a request is current. `None`: no history is followed
    /// yet.
    pub(super) fn confirmed(&self) -> Option<Head> {
        // A limit is set before the position moves, so it is read last.
        let confirmed = self.store.stand().confirmed?;
        Some(self.operator.lock().limit.as_ref().map_or(confirmed, |limit| lower(confirmed, limit)))
    }

    /// Waits until the position may have moved. For one task.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Waits until there may be something to ask. For one task.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// Wakes both tasks.
    pub(super) fn look_again(&self) {
        self.moved.notify_one();
        self.work.notify_one();
    }

    /// Limits the position to one from before the operator JWT in force may have differed from the primary's.
    pub(super) fn doubt_operator(&self, to: Head) {
        self.operator.lock().raise(to);
        self.look_again();
    }

    /// Lifts the limit: the operator JWT in force is at least as new as the primary's. Does nothing if another doubt came after
    /// `asked` was noted. Returns whether it was lifted.
    pub(super) fn trust_operator(&self, asked: DoubtedOperator) -> bool {
        let is_lifted = self.operator.lock().settle(asked);
        self.look_again();
        is_lifted
    }

    /// Whether the operator JWT limits the position. If so, a question to upstream that begins now can settle this doubt.
    pub(super) fn doubts_operator(&self) -> Option<DoubtedOperator> {
        self.operator.lock().now()
    }
}

impl OperatorDoubt {
    fn raise(&mut self, to: Head) {
        self.limit = Some(self.limit.map_or(to, |before| lower(to, &before)));
        self.raised += 1;
    }

    fn now(&self) -> Option<DoubtedOperator> {
        self.limit.map(|_| DoubtedOperator(self.raised))
    }

    /// The answer to a question says nothing of a doubt that came after the question.
    fn settle(&mut self, asked: DoubtedOperator) -> bool {
        let is_settled = self.raised == asked.0;
        if is_settled {
            self.limit = None;
        }
        is_settled
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Chain, Session};

    fn at(session: u8, serial: u8) -> Head {
        let chain = if serial == 0 { Chain::default() } else { Chain([serial; 32]) };
        Head { session: Session([session; 16]), serial: u64::from(serial), chain }
    }

    #[test]
    fn a_doubt_that_comes_during_a_question_outlives_its_answer() {
        let mut doubt = OperatorDoubt::default();
        assert_eq!(doubt.now(), None);
        doubt.raise(at(1, 7));
        let asked = doubt.now().expect("it is in doubt");
        doubt.raise(at(1, 9));
        assert!(!doubt.settle(asked), "the answer may be from before the later doubt");
        assert_eq!(doubt.limit, Some(at(1, 7)));
        let asked = doubt.now().expect("it is in doubt");
        assert!(doubt.settle(asked));
        assert_eq!((doubt.limit, doubt.now()), (None, None));
    }

    #[test]
    fn another_history_begins_at_its_beginning() {
        let table = [
            (at(1, 9), at(1, 7), at(1, 7)),
            (at(1, 6), at(1, 7), at(1, 6)),
            (at(2, 9), at(1, 7), at(2, 0)),
            (at(1, 9), at(1, 9), at(1, 9)),
        ];
        for (one, other, lowest) in table {
            assert_eq!(lower(one, &other), lowest);
        }
    }
}
