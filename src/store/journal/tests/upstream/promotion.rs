//! What becomes of a mirror that is promoted, and of what cannot be.

use std::collections::BTreeMap;

use super::super::*;
use super::world::World;
use super::{ACCOUNTS, Commit, EarlyWay, Made, Step};
use crate::backup::export;
use crate::feed::wire::Item;
use crate::feed::{Head, Session, Subject, SubjectKind};
use crate::gate::{OperatorChain, Standing};
use crate::store::journal::head::{self, Row};
use crate::store::journal::upstream::{Compared, ComparedContent, UpstreamWrite};
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
            Step::RollBack { lost: 2, is_same_session: false },
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

#[tokio::test]
async fn the_operator_s_jwt_of_a_former_primary_is_never_counted_as_ahead() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let signer = Signer::new();
    let trust = signer.gate.trust().expect("an operator");
    let former = Journal::open(&Options::primary(Some(path.clone()), 0, 1), |_, _| {}).expect("opens");
    let chain = Arc::new(OperatorChain::begin(trust.clone()));
    former.commit(Write::Operator(OperatorWrite::Set(chain))).await.expect("committed");
    let item = Arc::new(Item::from(&*former.read_changes(0, 1).expect("readable").remove(0)));
    former.close().await;

    let mirror = Journal::open(&Options { role: Role::Mirror, ..Options::primary(Some(path), 0, 1) }, |_, _| {});
    let mirror = mirror.expect("opens");
    let nothing = ComparedContent::Nothing(Subject::Operator(*trust.identity()));
    let same = ComparedContent::Operator(*trust.identity(), *trust.version(), item);
    // It follows a server of another operator for a while.
    for (session, content) in [(1, nothing), (2, same)] {
        let head = Head { session: Session([session; 16]), serial: 1, chain: Chain([1; 32]) };
        mirror.commit(Write::Upstream(UpstreamWrite::Begin(head))).await.expect("begins");
        let found = Compared { as_of: head.position(1), serial: 0, content };
        let level = UpstreamWrite::Level { era: mirror.era(), is_whole: true };
        for write in [UpstreamWrite::Compared(found), level] {
            mirror.commit(Write::Upstream(write)).await.expect("applied");
        }
        assert_eq!((mirror.stand().ahead, mirror.stand().doubted), (0, 0), "{session}");
    }
}
