//! A copy that is evicted during a request is no reason to say that there is no such account.

use super::model::Change;
use super::world::World;
use crate::config::ReplicaMode;
use crate::gate::Refusal;
use crate::replica::held::{PullAnswer, PullResult};
use crate::store::journal::upstream::{Compared, ComparedContent, UpstreamWrite};
use crate::upstream::AnswerSource;

/// What upstream says of an account.
type Said = fn() -> PullResult;

const ANSWERS: [(&str, Said); 3] = [
    ("unchanged", || PullResult::Unchanged),
    ("absent", || PullResult::Absent),
    ("rejected", || PullResult::Refused(Refusal::NoOperator)),
];

#[test]
fn what_was_only_evicted_during_a_request_is_served() {
    for (what, said) in ANSWERS {
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
        let answer = PullAnswer { said: said(), source: AnswerSource::default() };
        let served = world.wait(held.answered(&account.key, &asked, answer));
        assert!(matches!(served, Ok(Some(_))), "{what}: {served:?}");
        assert!(held.at_hand_or(&account.key, before.as_ref(), gone).is_some(), "{what}");
        // A deletion is.
        world.feed(&account, Change::Delete(3), None).expect("written");
        assert!(held.at_hand_or(&account.key, before.as_ref(), gone).is_none(), "{what}");
    }
}
