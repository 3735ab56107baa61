//! Single cases that a reader can follow, and that the properties would find only by chance.

use super::*;

#[test]
fn a_deletion_beats_every_jwt_up_to_its_own_time() {
    let standing = Standing::default();
    let mut held = Held::default();
    held.put(version(100, 1, 0), None, &standing);
    assert!(held.order_delete(&ACCOUNT, &deletion(99, 0), &standing).is_err());
    assert!(held.order_delete(&ACCOUNT, &deletion(100, 0), &standing).is_ok());
    assert!(held.delete(deletion(100, 0), &standing) && !held.is_live());
    assert!(!held.delete(deletion(100, 0), &standing), "the same again is no news");
    let order = |iat| held.order(&version(iat, 2, 0), Via::Post, None, &standing);
    assert!(matches!(order(100), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(order(101), Ordering::Newer));
    held.put(version(101, 2, 0), None, &standing);
    assert!(held.is_live());
}

#[test]
fn what_a_withdrawn_key_signed_stands_in_the_way_only_of_what_was_signed_before_the_withdrawal() {
    let both = Standing::default().with_keys(listed(&[0, 1]), 10);
    let one = both.with_keys(listed(&[0]), 300);
    let posted = |held: &Held, iat| held.order(&version(iat, 9, 0), Via::Post, None, &one);

    let mut honest = Held::default();
    honest.put(version(200, 1, 1), None, &both);
    assert_eq!(honest.withheld_by(&both), None);
    assert_eq!(honest.withheld_by(&one), Some(operator_key(1)));
    assert!(matches!(posted(&honest, 199), Ordering::Refused(Refusal::Older { held: 200, .. })));
    assert!(matches!(posted(&honest, 201), Ordering::Newer));

    let mut stolen = Held::default();
    stolen.put(version(FUTURE, 1, 1), None, &both);
    assert!(matches!(posted(&stolen, 299), Ordering::Refused(Refusal::Older { held: 299, .. })));
    assert!(matches!(posted(&stolen, 300), Ordering::Newer), "signed anew in the second of the withdrawal");

    let mut deleted = Held::default();
    deleted.delete(deletion(FUTURE, 1), &both);
    assert!(matches!(posted(&deleted, 299), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(posted(&deleted, 300), Ordering::Newer));
    deleted.put(version(300, 9, 0), None, &one);
    assert!(deleted.is_live());
}

#[test]
fn a_deletion_reaches_a_withheld_version_from_the_future() {
    let both = Standing::default().with_keys(listed(&[0, 1]), 10);
    let one = both.with_keys(listed(&[0]), 300);
    let mut held = Held::default();
    held.put(version(FUTURE, 1, 1), None, &both);
    assert!(held.order_delete(&ACCOUNT, &deletion(400, 0), &both).is_err());
    assert!(held.order_delete(&ACCOUNT, &deletion(400, 0), &one).is_ok());
    assert!(held.delete(deletion(400, 0), &one));
    assert!(!held.is_live());
    let again = one.with_keys(listed(&[0, 1]), 500);
    let thief = held.order(&version(FUTURE, 1, 1), Via::Post, None, &again);
    assert!(
        matches!(thief, Ordering::Refused(Refusal::Older { .. })),
        "{thief:?}: it stays away when its key comes back"
    );
}

#[test]
fn a_second_takes_so_many_versions_and_the_next_one_takes_more() {
    let standing = Standing::default();
    let mut held = Held::default();
    let most = u8::try_from(MOST_IN_ONE_SECOND).expect("few");
    for n in 0..most {
        let version = one_of_many(100, n, 0);
        assert!(matches!(held.order(&version, Via::Post, None, &standing), Ordering::Newer), "{n}");
        held.put(version, None, &standing);
    }
    let direct = [Via::Post, Via::Update, Via::EditedFile, Via::Configured];
    for via in direct {
        let offer = |n| held.order(&one_of_many(100, n, 0), via, None, &standing);
        assert!(matches!(offer(most), Ordering::Refused(Refusal::SecondFull(100))), "{via:?}");
        assert!(matches!(offer(0), Ordering::Refused(Refusal::Replaced)), "{via:?}");
        assert!(matches!(offer(most - 1), Ordering::Same), "{via:?}");
        assert!(matches!(held.order(&one_of_many(101, 0, 0), via, None, &standing), Ordering::Newer), "{via:?}");
    }
    // What an earlier version of this program kept of such a second may be more. What is dropped of it stays away.
    let before: Vec<Identity> = (0..=most).map(|n| one_of_many(100, n, 0).identity).collect();
    let read = Held::restore(Some(one_of_many(100, 200, 0)), before, None, Vec::new());
    assert_eq!(read.ties().len() + 1, MOST_IN_ONE_SECOND);
    for via in direct.into_iter().chain([Via::Feed, Via::Upstream]) {
        let dropped = read.order(&one_of_many(100, 0, 0), via, position(0), &standing);
        assert!(matches!(dropped, Ordering::Refused(_) | Ordering::Refetch), "{via:?}: {dropped:?}");
    }
}

#[test]
fn a_second_of_which_not_all_is_known_takes_no_more() {
    let standing = Standing::default();
    let mut held = Held::restore(Some(one_of_many(100, 1, 0)), Vec::new(), None, Vec::new()).without_all_ties();
    let later = [one_of_many(101, 2, 0), one_of_many(101, 3, 0)];
    for via in [Via::Post, Via::Update, Via::EditedFile, Via::Configured] {
        let offer = |version: &Version| held.order(version, via, None, &standing);
        assert!(matches!(offer(&one_of_many(100, 2, 0)), Ordering::Refused(Refusal::TieFromBefore(100))), "{via:?}");
        assert!(matches!(offer(&one_of_many(100, 1, 0)), Ordering::Same), "{via:?}");
        assert!(matches!(offer(&later[0]), Ordering::Newer), "{via:?}");
    }
    held.put(later[0], None, &standing);
    assert!(
        matches!(held.order(&later[1], Via::Post, None, &standing), Ordering::Newer),
        "all of this second is known"
    );
}

#[test]
fn a_follower_of_a_full_second_goes_by_its_primary_alone() {
    let standing = Standing::default();
    let most = u8::try_from(MOST_IN_ONE_SECOND).expect("few");
    let mut held = Held::default();
    // Its primary may be of an earlier version, which takes more.
    for n in 0..=most {
        let (version, at) = (one_of_many(100, n, 0), position(n.into()));
        assert!(matches!(held.order(&version, Via::Feed, at, &standing), Ordering::Newer), "{n}");
        held.put(version, at, &standing);
    }
    assert_eq!(held.ties().len() + 1, MOST_IN_ONE_SECOND);
    let elsewhere = Some(Position { session: [8; 16], serial: 1_000 });
    for (what, n, at) in [
        ("what fell out of the list", 0, position(0)),
        ("the same without its place", 0, None),
        ("what another session has", 100, elsewhere),
    ] {
        for via in [Via::Feed, Via::Upstream] {
            let order = held.order(&one_of_many(100, n, 0), via, at, &standing);
            assert!(matches!(order, Ordering::Behind | Ordering::Refused(_)), "{what} {via:?}: {order:?}");
        }
    }
}
