//! The order of versions as properties of a model: nothing ever goes back, followers converge.

use proptest::prelude::*;

use super::{Held, Identity, Ordering, Position, Refusal, Via};
use crate::key::AccountKey;

#[test]
fn a_deletion_beats_every_jwt_up_to_its_own_time() {
    let mut held = Held::default();
    held.put(100, [1; 32], None);
    assert!(held.order_delete(&AccountKey::from_raw([0; 32]), 99).is_err());
    assert!(held.order_delete(&AccountKey::from_raw([0; 32]), 100).is_ok());
    assert!(held.delete(100) && !held.is_live());
    assert!(!held.delete(100), "the same again is no news");
    assert!(matches!(held.order(100, &[2; 32], Via::Post, None), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(held.order(101, &[2; 32], Via::Post, None), Ordering::Newer));
    held.put(101, [2; 32], None);
    assert!(held.is_live());
}

/// What a primary commits in the model: versions with few distinct times, so that ties are common, and deletions.
#[derive(Debug, Clone)]
enum Commit {
    Put { iat: i64, identity: Identity },
    Delete { iat: i64 },
}

/// A primary in the model: its rules, and the changes that they let through, in order.
fn run_primary(attempts: &[Commit]) -> (Held, Vec<Commit>) {
    let (mut held, mut log) = (Held::default(), Vec::new());
    for attempt in attempts {
        match attempt {
            Commit::Put { iat, identity } => {
                if let Ordering::Newer = held.order(*iat, identity, Via::Post, None) {
                    held.put(*iat, *identity, None);
                    log.push(attempt.clone());
                }
            }
            Commit::Delete { iat } => {
                if held.order_delete(&AccountKey::from_raw([0; 32]), *iat).is_ok() && held.delete(*iat) {
                    log.push(attempt.clone());
                }
            }
        }
    }
    (held, log)
}

fn position(index: usize) -> Option<Position> {
    Some(Position { session: [7; 16], serial: index as u64 + 1 })
}

/// The newest put among the first `count` changes, if it is not deleted: what a GET at the primary answers then.
fn answer(log: &[Commit], count: usize) -> Option<usize> {
    let last = log[..count].iter().rposition(|change| matches!(change, Commit::Put { .. }))?;
    (last + 1..count).all(|later| !matches!(log[later], Commit::Delete { .. })).then_some(last)
}

/// A follower in the model.
struct Follower<'l> {
    log: &'l [Commit],
    held: Held,
    /// How many changes the primary has made so far.
    made: usize,
    best: Option<usize>,
}

impl Follower<'_> {
    fn offer(&mut self, index: usize, via: Via, at: Option<Position>) {
        let Commit::Put { iat, identity } = &self.log[index] else { return };
        match self.held.order(*iat, identity, via, at) {
            Ordering::Newer | Ordering::Same => self.held.put(*iat, *identity, at),
            Ordering::Behind => self.held.note_behind(*identity, at),
            Ordering::Refetch => self.fetch(),
            Ordering::Refused(_) => {}
        }
        self.check();
    }

    /// Asks the primary, which answers with what it holds now.
    fn fetch(&mut self) {
        if let Some(index) = answer(self.log, self.made) {
            self.offer(index, Via::Upstream, position(index));
        }
    }

    /// No key ever goes back: what is held is never an earlier change than what was held before.
    fn check(&mut self) {
        let now = self.log.iter().position(
            |change| matches!(change, Commit::Put { identity, .. } if Some(identity) == self.held.identity()),
        );
        assert!(now >= self.best, "went back from {:?} to {now:?} in {:?}", self.best, self.log);
        self.best = now;
    }
}

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let commit = prop_oneof![
        8 => (0..4i64, 0..6u8).prop_map(|(iat, n)| Commit::Put { iat: 100 + iat, identity: [n * 4 + iat as u8; 32] }),
        1 => (0..4i64).prop_map(|iat| Commit::Delete { iat: 100 + iat }),
    ];
    proptest::collection::vec(commit, 1..14)
}

/// What a follower meets besides the feed.
#[derive(Debug, Clone)]
enum Meet {
    /// A claims update of a change that was made, heard at any later time.
    Hint(usize),
    /// Its own question to the primary.
    Fetch,
    /// An answer that was on its way for a while: what the primary held some changes ago.
    Late(usize),
    /// The next change of the feed.
    Feed,
}

fn meets() -> impl Strategy<Value = Vec<Meet>> {
    let meet = prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|index| Meet::Hint(index.index(1 << 16))),
        2 => Just(Meet::Fetch),
        2 => (0..4usize).prop_map(Meet::Late),
        4 => Just(Meet::Feed),
    ];
    proptest::collection::vec(meet, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_key_ever_goes_back_on_a_primary(attempts in commits(), vias in proptest::collection::vec(0..8usize, 14)) {
        let mut held = Held::default();
        let mut left: Vec<Identity> = Vec::new();
        for (attempt, via) in attempts.iter().zip(vias) {
            let before = held.clone();
            match attempt {
                Commit::Put { iat, identity } => {
                    if let Ordering::Newer = held.order(*iat, identity, Via::ALL[via], None) {
                        left.extend(before.identity());
                        held.put(*iat, *identity, None);
                        prop_assert!(!left.contains(identity), "{identity:?} came back");
                    }
                }
                Commit::Delete { iat } => {
                    if held.order_delete(&AccountKey::from_raw([0; 32]), *iat).is_ok() {
                        held.delete(*iat);
                    }
                }
            }
            prop_assert!(held.iat() >= before.iat());
            prop_assert!(held.deleted() >= before.deleted());
        }
    }

    #[test]
    fn a_follower_ends_where_its_primary_is(attempts in commits(), meets in meets()) {
        let (primary, log) = run_primary(&attempts);
        let mut follower = Follower { log: &log, held: Held::default(), made: 0, best: None };
        let mut fed = 0;
        let all = meets.into_iter().chain(std::iter::repeat_n(Meet::Feed, log.len()));
        for meet in all {
            // The primary goes on while the follower lags behind.
            follower.made = (follower.made + 1).min(log.len());
            match meet {
                Meet::Hint(n) => {
                    let index = n % follower.made.max(1);
                    if index < follower.made {
                        follower.offer(index, Via::Hint, None);
                    }
                }
                Meet::Fetch => follower.fetch(),
                Meet::Late(ago) => {
                    // An answer that something overtook is not offered (see the replica's fetch): only one whose
                    // version the follower knows the place of can meet a later one here.
                    let known = follower.held.identity().is_none() || follower.held.is_placed();
                    if known && let Some(index) = answer(&log, follower.made.saturating_sub(ago)) {
                        follower.offer(index, Via::Upstream, position(index));
                    }
                }
                Meet::Feed if fed < log.len() => {
                    follower.made = follower.made.max(fed + 1);
                    match &log[fed] {
                        Commit::Put { .. } => follower.offer(fed, Via::Feed, position(fed)),
                        Commit::Delete { iat } => drop(follower.held.delete(*iat)),
                    }
                    fed += 1;
                }
                Meet::Feed => {}
            }
        }
        prop_assert_eq!(follower.held.is_live(), primary.is_live());
        if primary.is_live() {
            prop_assert_eq!(follower.held.identity(), primary.identity());
        }
    }
}
