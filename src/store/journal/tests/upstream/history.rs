//! What becomes of a version that upstream ordered while something later was served.

use super::super::NOW;
use super::world::World;
use super::{Commit, EarlyWay, Made, Step};

const fn made(iat: i64) -> Made {
    Made { account: 0, iat, name: 0 }
}

/// The issue times of the versions that the mirror keeps.
fn kept(world: &World) -> Vec<i64> {
    let versions = world.mirror.versions(&world.upstream.key(0)).expect("readable");
    versions.into_iter().map(|version| version.iat - NOW).collect()
}

#[tokio::test]
async fn what_upstream_ordered_under_an_overlay_enters_the_history_as_it_does_without_one() {
    let put = |iat| Step::Upstream(Commit::Put(made(iat)));
    for (history, is_early, wanted) in [
        (5, false, vec![100, 101, 102, 104]),
        (5, true, vec![100, 101, 102, 104]),
        (1, false, vec![102, 104]),
        (1, true, vec![102, 104]),
        (0, true, vec![104]),
    ] {
        let mut world = World::new(history).await;
        let early = Step::Early(made(104), EarlyWay::Hint);
        let mut steps = vec![put(100), Step::Feed(100), Step::Pieces(100)];
        steps.extend(is_early.then_some(early));
        for iat in [101, 102, 104] {
            steps.extend([put(iat), Step::Feed(100)]);
        }
        for step in &steps {
            world.step(step).await;
        }
        world.check();
        assert_eq!(kept(&world), wanted, "history {history}, early: {is_early}");
    }
}

#[tokio::test]
async fn a_version_under_an_overlay_enters_the_history_when_a_deletion_follows_it() {
    for is_early in [false, true] {
        let mut world = World::new(5).await;
        let mut steps = vec![Step::Upstream(Commit::Put(made(100))), Step::Feed(100), Step::Pieces(100)];
        steps.extend(is_early.then_some(Step::Early(made(104), EarlyWay::Hint)));
        for commit in [Commit::Put(made(101)), Commit::Delete(vec![0], 102), Commit::Put(made(104))] {
            steps.extend([Step::Upstream(commit), Step::Feed(100)]);
        }
        for step in &steps {
            world.step(step).await;
        }
        world.check();
        assert_eq!(kept(&world), [100, 101, 104], "early: {is_early}");
    }
}
