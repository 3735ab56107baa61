//! What happens to a copy during a request: one that is marked stale stays stale, whatever the answer is, and one that is
//! evicted is no reason to say that there is no such account.

use super::model::Change;
use super::world::{Account, World};
use crate::config::ReplicaMode;
use crate::gate::Refusal;
use crate::replica::held::{PullAnswer, PullResult};
use crate::store::journal::upstream::{Compared, ComparedContent, UpstreamWrite};
use crate::upstream::AnswerSource;

/// What upstream says of an account.
type Said = fn(&Account) -> PullResult;

/// Answers that bring no text.
const WITHOUT_TEXT: [(&str, Said); 3] = [
    ("unchanged", |_| PullResult::Unchanged),
    ("absent", |_| PullResult::Absent),
    ("rejected", |_| PullResult::Refused(Refusal::NoOperator)),
];

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

#[test]
fn what_was_only_evicted_during_a_request_is_served() {
    for (what, said) in WITHOUT_TEXT {
        let mut world = World::new(ReplicaMode::Cache);
        let account = world.account();
        // Not by the feed: a cache keeps the texts of the last changes.
        let compared =
            Compared { as_of: world.position(100), serial: 100, content: ComparedContent::Put(account.entry((2, 0))) };
        world.write(UpstreamWrite::Compared(compared)).expect("written");
        let held = world.held().clone();
        let gone = held.copies.gone(&account.key);
        let before = held.at_hand(&account.key);
        assert!(before.is_some(), "{what}: it is in the cache");
        let asked = held.asked(&account.key);
        world.evict(account.key);
        assert!(held.at_hand(&account.key).is_none(), "{what}: neither in memory nor in the store");
        let answer = PullAnswer { said: said(&account), source: AnswerSource::default() };
        let served = world.wait(held.answered(&account.key, &asked, answer));
        assert!(matches!(served, Ok(Some(_))), "{what}: {served:?}");
        assert!(held.at_hand_or(&account.key, before.as_ref(), gone).is_some(), "{what}");
        // A deletion is.
        world.feed(&account, Change::Delete(3), None).expect("written");
        assert!(held.at_hand_or(&account.key, before.as_ref(), gone).is_none(), "{what}");
    }
}
