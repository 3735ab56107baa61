//! An upstream that was set back to a copy of its files: it goes on in the same session, and writes other changes in the places of
//! those that it has lost.

use super::world::World;
use super::{Commit, Made, Step};
use crate::feed::Subject;

fn put(account: u8, iat: i64) -> Step {
    Step::Upstream(Commit::Put(Made { account, iat, name: 0 }))
}

/// The mirror has a version of account 0 by an answer, which upstream loses before the feed brings it.
fn answered_and_lost() -> Vec<Step> {
    vec![
        put(0, 100),
        put(1, 100),
        Step::Feed(9),
        Step::Pieces(99),
        put(2, 100),
        put(0, 101),
        Step::Ask(0),
        Step::Answer(0),
        Step::RollBack { lost: 2, is_same_session: true },
    ]
}

async fn ends_ahead(steps: impl IntoIterator<Item = Step>) -> World {
    let mut world = World::new(2).await;
    for step in steps {
        world.step(&step).await;
        world.check();
    }
    world.arrive().await;
    let subject = Subject::Account(world.upstream.key(0));
    let row = &world.rows()[&subject];
    assert!(row.is_ahead && row.ordered.is_some(), "{row:?}");
    assert_eq!(world.mirror.stand().ahead, 1);
    world
}

#[tokio::test]
async fn what_an_answer_brought_and_upstream_has_lost_is_ahead_once_it_was_compared() {
    ends_ahead(answered_and_lost().into_iter().chain([put(1, 102), Step::Skip, Step::Pieces(99)])).await;
}

#[tokio::test]
async fn what_an_answer_brought_and_upstream_has_lost_is_ahead_once_the_feed_has_brought_something_else() {
    ends_ahead(answered_and_lost().into_iter().chain([put(1, 102), put(1, 103), put(3, 100), Step::Feed(9)])).await;
}

#[tokio::test]
async fn what_an_answer_brought_and_upstream_has_lost_is_ahead_if_upstream_writes_nothing_more() {
    let world = ends_ahead(answered_and_lost().into_iter().chain([Step::StandStill])).await;
    assert_eq!(world.mirror.awaited(), None);
}

/// A hub passes on no place that its followers would wait for in vain.
#[tokio::test]
async fn the_place_of_what_upstream_has_lost_is_not_passed_on() {
    let mut world = World::new(2).await;
    for step in answered_and_lost() {
        world.step(&step).await;
    }
    let place = |world: &World| world.mirror.get(&world.upstream.key(0)).expect("read").expect("served").currency.at;
    assert!(place(&world).is_some(), "the feed is about to come to it");
    for step in [put(1, 102), Step::Skip, Step::Pieces(99)] {
        world.step(&step).await;
    }
    world.arrive().await;
    assert_eq!(place(&world), None);
}
