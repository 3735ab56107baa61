//! A copy that is marked stale during a request stays stale, whatever that is answered.

use super::model::Change;
use super::world::{Account, World};
use crate::config::ReplicaMode;
use crate::gate::Refusal;
use crate::replica::held::{PullAnswer, PullResult};
use crate::upstream::AnswerSource;

/// What upstream says of an account.
type Said = fn(&Account) -> PullResult;

#[test]
fn what_is_marked_stale_during_a_request_is_asked_about_again() {
    let mut world = World::new(ReplicaMode::Cache);
    let account = world.account();
    world.feed(&account, Change::Put((2, 0)), None).expect("written");
    let (held, key) = (world.held().clone(), account.key);
    assert!(held.at_hand(&key).is_some(), "it is in the cache");
    // Only an answer makes it fresh.
    held.freshness.has_caught_up(false);
    let answers: [(&str, Said); 5] = [
        ("the same version", |account| PullResult::Version(account.entry((2, 0)), None)),
        ("an older version", |account| PullResult::Version(account.entry((1, 0)), None)),
        ("unchanged", |_| PullResult::Unchanged),
        ("absent", |_| PullResult::Absent),
        ("rejected", |_| PullResult::Refused(Refusal::NoOperator)),
    ];
    for (what, said) in answers {
        for is_marked in [false, true] {
            held.copies.mark_stale(&key);
            assert!(held.fresh(&key).is_none(), "{what}");
            let asked = held.asked(&key);
            if is_marked {
                held.copies.mark_stale(&key);
            }
            let answer = PullAnswer { said: said(&account), source: AnswerSource::default() };
            let served = world.wait(held.answered(&key, &asked, answer));
            assert!(matches!(served, Ok(Some(_))), "{what} {served:?}");
            assert_eq!(held.fresh(&key).is_none(), is_marked, "{what}");
        }
    }
}
