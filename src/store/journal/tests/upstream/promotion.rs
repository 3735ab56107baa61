//! What becomes of a mirror that is promoted, and of what cannot be.

use std::collections::BTreeMap;

use super::super::*;
use super::world::World;
use super::{ACCOUNTS, Commit, EarlyWay, Made, Step};
use crate::backup::export;
use crate::feed::{Subject, SubjectKind};
use crate::gate::Standing;
use crate::store::journal::head::{self, Row};
use crate::store::journal::upstream::UpstreamWrite;
use crate::store::journal::{Role, promote};

fn made(account: u8, iat: i64, name: u8) -> Made {
    Made { account, iat, name }
}

#[tokio::test]
async fn what_upstream_never_ordered_becomes_changes_of_the_primary() {
    for history in [0, 2] {
        let mut world = World::new(history).await;
        for step in [
            // Account 0 will be ahead, 1 deleted here alone, 2 heard of early, 3 as upstream has it.
            Step::Upstream(Commit::Put(made(0, 100, 0))),
            Step::Upstream(Commit::Put(made(1, 100, 0))),
            Step::Upstream(Commit::Put(made(2, 100, 0))),
            Step::Upstream(Commit::Put(made(3, 100, 0))),
            Step::Upstream(Commit::Activation { subject: 0, iat: 100, exp: 0 }),
            Step::Upstream(Commit::Put(made(0, 101, 0))),
            Step::Upstream(Commit::Delete(vec![1], 101)),
            Step::Feed(100),
            Step::Pieces(100),
            Step::RollBack(2),
            Step::Compare { is_early: true },
            Step::Pieces(100),
            Step::Early(made(2, 103, 1), EarlyWay::Hint),
        ] {
            world.step(&step).await;
            world.check();
        }
        world.check_is_level();
        let rows = world.rows();
        let is_overlay = |key: &Subject, row: &Row| key.kind() == SubjectKind::Account && row.ordered.is_some();
        let overlays = rows.iter().filter(|(key, row)| is_overlay(key, row)).count() as u64;
        assert_eq!(overlays, 3, "{rows:?}");
        let head = world.mirror.head();
        let accounts: Vec<_> = (0..ACCOUNTS).map(|account| world.upstream.key(account)).collect();
        let promoted = world.check_promotion(&accounts).await;
        // The operator's JWT is the fourth.
        assert_eq!(promoted.serial, head.serial + overlays + 1);
    }
}

#[tokio::test]
async fn a_cache_and_a_mirror_that_was_not_compared_are_not_promoted_and_do_not_change() {
    for role in [Role::Cache, Role::Mirror] {
        let mut world = World::new(2).await;
        for step in [Step::Upstream(Commit::Put(made(0, 100, 0))), Step::Feed(100)] {
            world.step(&step).await;
        }
        if role == Role::Cache {
            world.step(&Step::Pieces(100)).await;
            world.check_is_level();
        }
        world.mirror.close().await;
        let path = world.path();
        let open_as = || {
            let options = Options { role, ..Options::primary(Some(path.clone()), 2, 1) };
            Journal::open(&options, |_, _| {}).expect("opens")
        };
        let journal = open_as();
        let (head, before) = (journal.head(), journal.trees().expect("readable").0);
        journal.close().await;
        let found = promote(&path, &Standing::default(), 2, ("x", 0), |found| {
            assert!(!found.other.is_empty(), "{role:?}: {found:?}");
            found.is_whole()
        })
        .expect("looked");
        assert!(!found.is_whole());
        let refused = open(&path).expect_err("it is no primary's").to_string();
        assert!(refused.contains("promote"), "{refused}");
        let journal = open_as();
        assert_eq!(journal.head(), head, "{role:?}");
        assert!(journal.trees().expect("readable").0 == before);
        assert_eq!(journal.cursor("x").expect("readable"), None);
    }
}

#[tokio::test]
async fn a_mirror_that_lacks_a_text_is_not_whole() {
    let mut world = World::new(2).await;
    for step in [Step::Upstream(Commit::Put(made(0, 100, 0))), Step::Feed(100), Step::Pieces(100)] {
        world.step(&step).await;
    }
    let key = world.upstream.key(0);
    world.mirror.commit(Write::Upstream(UpstreamWrite::Evict(vec![key]))).await.expect("evicted");
    let rows: BTreeMap<_, _> = world.rows();
    assert!(rows.values().any(|row| row.row == 0 && row.held.version().is_some()), "{rows:?}");
    world.mirror.close().await;
    let found = promote(&world.path(), &Standing::default(), 2, ("x", 0), |found| found.is_whole()).expect("looked");
    assert_eq!(found.missing, [key]);
    let lacks = crate::backup::verify(&world.path(), |_, _| {}).expect("sound").lacks;
    assert!(lacks.as_ref().is_some_and(|lacks| lacks.contains("the JWT of each account")), "{lacks:?}");
    let arrival = Arrival { way: Way::File, now: 0, max_iat_ahead: 0 };
    let error = export(&world.path(), None, &arrival, |_| true).expect_err("not all are there").to_string();
    assert!(error.contains("the JWT of each account"), "{error}");
}

#[tokio::test]
async fn what_is_not_promoted_is_not_backed_up_either() {
    // A cache forgets the request of a deletion, and is a mirror at its next start.
    let unproven = "UPDATE change SET body = NULL WHERE op = 100";
    for (is_doubted, wanted) in [(true, "something else than"), (false, "the delete request of each account")] {
        let mut world = World::new(2).await;
        let deletion = Step::Upstream(Commit::Delete(vec![1], 101));
        for step in [Step::Upstream(Commit::Put(made(0, 100, 0))), deletion, Step::Feed(100), Step::Pieces(100)] {
            world.step(&step).await;
        }
        let subject = Subject::Account(world.upstream.key(1 - u8::from(is_doubted)));
        let log = world.mirror.state.log();
        let path = world.path();
        let mut row = world.rows().remove(&subject).expect("a head");
        world.mirror.close().await;
        let edit = rusqlite::Connection::open(&path).expect("opens");
        if is_doubted {
            row.is_doubted = true;
        } else {
            row.deleted_row = 0;
            edit.execute_batch(unproven).expect("edited");
        }
        head::save(&edit, &log, &subject, &row).expect("saved");
        drop(edit);
        let found = promote(&path, &Standing::default(), 2, ("x", 0), |_| false).expect("looked");
        assert!(!found.is_whole(), "{found:?}");
        let lacks = crate::backup::verify(&path, |_, _| {}).expect("sound").lacks;
        assert!(lacks.as_ref().is_some_and(|lacks| lacks.contains(wanted)), "{lacks:?}");
    }
}
