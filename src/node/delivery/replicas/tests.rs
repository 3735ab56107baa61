//! The registry against tables.

mod model;

use std::sync::Arc;

use super::tiers::Tier;
use super::*;
use crate::feed::wire::Confirmation;
use crate::feed::{Chain, Session};

const FORGET: i64 = 3_600_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn at(session: u8, serial: u64) -> Head {
    Head { session: Session([session; 16]), serial, chain: Chain([7; 32]) }
}

fn said(id: u8, run: u8, seq: u64, position: Option<Head>) -> Confirmation {
    Confirmation {
        id: [id; 16],
        run: [run; 8],
        seq,
        name: format!("replica {id}"),
        mode: "cache".into(),
        version: "2.0.0".into(),
        is_lasting: true,
        is_leaving: false,
        position,
        below: None,
    }
}

fn heard(said: Confirmation) -> ReplicaReport {
    let (own, mut lowest) = (said.position, said.position);
    if let Some(below) = &said.below {
        let lower = |own: Head, below: Head| if below.serial < own.serial { below } else { own };
        lowest =
            if said.is_leaving { below.lowest } else { own.zip(below.lowest).map(|(own, below)| lower(own, below)) };
    }
    ReplicaReport { said, address: "10.0.0.1".into(), own, lowest }
}

/// A registry, and a clock for it.
struct World {
    replicas: Replicas,
    head: Head,
    now: i64,
    seq: u64,
    /// The time of day when its clock was 0.
    unix: i64,
    disk: HashMap<FollowerId, Follower>,
}

impl World {
    fn at(serial: u64) -> Self {
        let unix = 5_000_000_000;
        let world = Self {
            replicas: Replicas::new(HOUR),
            head: at(1, serial),
            now: 1_000_000,
            seq: 0,
            unix,
            disk: HashMap::new(),
        };
        world.replicas.tick(Some(world.head), world.now);
        world
    }

    /// Time passes, with a tick now and then.
    fn pass(&mut self, millis: i64) {
        let (end, step) = (self.now + millis, 500.max(millis / 50));
        while self.now < end {
            self.now = (self.now + step).min(end);
            self.replicas.tick(Some(self.head), self.now);
        }
    }

    fn commit(&mut self, count: u64) {
        self.head.serial += count;
    }

    fn report(
        &mut self,
        change: impl FnOnce(&mut Confirmation),
        id: u8,
        position: Option<Head>,
    ) -> Result<Option<u64>, Turned> {
        self.seq += 1;
        let mut said = said(id, id, self.seq, position);
        change(&mut said);
        self.replicas.confirmed(heard(said), self.head, self.now)
    }

    fn confirms(&mut self, id: u8, serial: u64) {
        self.report(|_| {}, id, Some(at(1, serial))).expect("room");
    }

    fn leaves(&mut self, id: u8, serial: u64) {
        self.report(|said| said.is_leaving = true, id, Some(at(1, serial))).expect("room");
    }

    fn behind(&self, serial: u64) -> Vec<String> {
        self.replicas.behind(serial).into_iter().map(|stand| stand.follower.name).collect()
    }

    /// The ranges that are to be looked at.
    fn ranges(&self) -> Vec<(u64, u64, Ended)> {
        let mut state = self.replicas.state.lock();
        std::iter::from_fn(|| state.ranges.pop()).map(|range| (range.after, range.upto, range.ended)).collect()
    }

    /// Another process of the same server, after a while. Its clock begins near 0.
    fn restart(&mut self, millis: i64) {
        for (id, follower) in self.replicas.take_unwritten(self.now, self.unix + self.now, true) {
            self.disk.remove(&id);
            self.disk.extend(follower.map(|follower| (id, follower)));
        }
        self.unix += self.now + millis - 2_000;
        self.now = 2_000;
        self.replicas = Replicas::new(HOUR);
        let followers = self.disk.values().cloned().collect();
        self.replicas.recall(followers, Some(self.head), self.now, self.unix + self.now);
    }
}

#[test]
fn after_a_clock_was_set_back_no_replica_looks_as_if_it_had_just_been_heard() {
    for (millis, silent) in [(1_000, 0), (60_000, 1), (-3_600_000, 1)] {
        let mut world = World::at(10);
        world.confirms(1, 10);
        world.restart(millis);
        let counts = world.replicas.counts(world.now);
        assert_eq!((counts.silent, counts.in_sync + counts.behind), (silent, 1 - silent), "{millis}");
    }
}

#[test]
fn those_that_count_and_lack_a_change_are_named() {
    let mut world = World::at(10);
    assert_eq!((world.replicas.lowest(), world.behind(10)), (None, vec![]));
    world.confirms(1, 10);
    world.confirms(2, 8);
    world.report(|_| {}, 3, None).expect("room");
    world.report(|_| {}, 4, Some(at(2, 50))).expect("room");
    assert_eq!(world.behind(10), ["replica 2", "replica 3", "replica 4"]);
    assert_eq!(world.behind(8), ["replica 3", "replica 4"]);
    assert_eq!(world.replicas.tiers(), (Tier { replicas: 4, lag: Some(10) }, Tier::default()));
    assert_eq!(world.behind(0), Vec::<String>::new());
    let of = |id: usize| world.replicas.all().swap_remove(id - 1);
    assert_eq!((of(1).serial, of(1).is_on_history, of(1).is_in_sync), (10, true, true));
    assert_eq!((of(2).serial, of(2).is_on_history, of(2).is_in_sync), (8, true, false));
    assert_eq!((of(4).serial, of(4).is_on_history, of(4).is_in_sync), (0, false, false));
    assert_eq!(world.replicas.counts(world.now), Counts { in_sync: 1, behind: 3, silent: 0 });
    // A change that is about to arrive puts nobody out of sync.
    world.commit(1);
    world.pass(1_000);
    assert_eq!(world.replicas.counts(world.now), Counts { in_sync: 1, behind: 3, silent: 0 });
    world.pass(2_000);
    assert_eq!(world.replicas.counts(world.now), Counts { in_sync: 0, behind: 4, silent: 0 });
    world.pass(SILENT);
    assert_eq!(world.replicas.counts(world.now), Counts { in_sync: 0, behind: 0, silent: 4 });
}

#[test]
fn who_waits_is_woken_when_the_answer_may_be_another_one() {
    let mut world = World::at(10);
    let mut moved = world.replicas.watch();
    let mut check = |world: &mut World, what: &str, expected: bool, act: &dyn Fn(&mut World)| {
        moved.borrow_and_update();
        act(world);
        assert_eq!(moved.has_changed().expect("it lives"), expected, "{what}");
    };
    check(&mut world, "the first", true, &|world| world.confirms(1, 8));
    check(&mut world, "another one", true, &|world| world.confirms(2, 9));
    check(&mut world, "the same again", false, &|world| world.confirms(2, 9));
    check(&mut world, "all it had lacked", true, &|world| world.confirms(2, 10));
    check(&mut world, "not the lowest", false, &|world| (world.commit(1), world.confirms(2, 11)).1);
    check(&mut world, "the lowest", true, &|world| world.confirms(1, 9));
    check(&mut world, "down", true, &|world| world.confirms(1, 3));
    check(&mut world, "goodbye", true, &|world| world.leaves(1, 3));
    check(&mut world, "back", true, &|world| world.confirms(1, 3));
    check(&mut world, "time", false, &|world| world.pass(SILENT));
    check(&mut world, "forgotten", true, &|world| world.pass(FORGET));
}

#[test]
fn a_goodbye_ends_the_counting_until_it_is_back_and_so_does_long_silence() {
    let mut world = World::at(10);
    for id in [1, 2] {
        world.confirms(id, 10);
    }
    world.leaves(1, 10);
    world.commit(1);
    assert_eq!(world.behind(11), ["replica 2"]);
    world.confirms(1, 10);
    assert_eq!(world.behind(11), ["replica 1", "replica 2"]);
    world.pass(FORGET - 1);
    world.confirms(2, 11);
    assert_eq!((world.behind(11), world.replicas.all().len()), (vec!["replica 1".to_owned()], 2));
    world.pass(1);
    assert_eq!((world.behind(11), world.replicas.all().len()), (vec![], 1));
    // The goodbye of one that is not known makes it no better known.
    world.leaves(7, 11);
    assert_eq!(world.replicas.all().len(), 1);
}

#[test]
fn a_late_report_is_passed_over_and_a_second_process_with_the_same_id_is_noticed() {
    let world = World::at(10);
    let report = |run, seq, serial| {
        let result = world.replicas.confirmed(heard(said(1, run, seq, Some(at(1, serial)))), world.head, world.now);
        (result, world.replicas.lowest())
    };
    assert_eq!(report(1, 5, 8), (Ok(None), Some(8)));
    assert_eq!(report(1, 4, 7), (Ok(None), Some(8)));
    assert_eq!(report(1, 5, 7), (Ok(None), Some(8)));
    assert_eq!(report(1, 6, 9), (Ok(Some(9)), Some(9)));
    assert_eq!(report(2, 0, 3), (Ok(None), Some(3)), "it was restarted");
    assert_eq!(report(1, 7, 10), (Err(Turned::SameId), Some(3)), "it was not");
    assert_eq!(report(2, 1, 4), (Ok(Some(4)), Some(4)));
}

#[test]
fn one_whose_id_ends_with_its_process_is_replaced_by_the_next_of_its_name() {
    for (is_lasting, address, expected) in [(false, "10.0.0.1", 1), (true, "10.0.0.1", 2), (false, "10.0.0.2", 2)] {
        let mut world = World::at(10);
        let report = |world: &mut World, id: u8, address: &str| {
            world.seq += 1;
            let said =
                Confirmation { name: "web:9090".into(), is_lasting, ..said(id, id, world.seq, Some(world.head)) };
            let heard = ReplicaReport { address: address.into(), ..heard(said) };
            world.replicas.confirmed(heard, world.head, world.now).expect("room");
        };
        report(&mut world, 1, "10.0.0.1");
        report(&mut world, 2, address);
        world.pass(REPLACED - 1_000);
        report(&mut world, 2, address);
        assert_eq!(world.replicas.all().len(), 2);
        world.pass(1_000);
        assert_eq!(world.replicas.all().len(), expected, "{is_lasting} {address}");
    }
}

#[test]
fn there_is_a_bound_and_nobody_that_counts_is_pushed_out() {
    let mut world = World::at(10);
    world.confirms(1, 10);
    let invented = |world: &mut World, number: u32| {
        let mut said = said(0, 0, 0, None);
        said.id[..4].copy_from_slice(&(number + 1).to_be_bytes());
        world.replicas.confirmed(heard(said), world.head, world.now)
    };
    for number in 0..10_000 {
        let result = invented(&mut world, number);
        assert_eq!(result, if number < 4_095 { Ok(None) } else { Err(Turned::Full) }, "{number}");
    }
    assert_eq!(world.replicas.all().len(), MAX_REPLICAS);
    assert_eq!(world.replicas.overflow().map(|overflow| overflow.reports), Some(10_000 - 4_095));
    world.confirms(1, 10);
    // One that said goodbye gives way.
    world.leaves(1, 10);
    assert_eq!(invented(&mut world, 20_000), Ok(None));
    assert!(world.replicas.all().iter().all(|stand| stand.follower.name != "replica 1"));
    assert_eq!(invented(&mut world, 20_001), Err(Turned::Full));
}

#[test]
fn changes_that_a_replica_lacked_for_long_are_handed_out_once() {
    use Ended::{Forgotten, InSync, Left};
    type Act = fn(&mut World);
    type Range = (u64, u64, Ended);
    let table: &[(&str, Act, &[Range])] = &[
        ("new", |world| world.confirms(2, 10), &[(0, 10, InSync)]),
        ("new and behind", |world| world.confirms(2, 4), &[]),
        ("quick", |world| (world.commit(3), world.pass(1_500), world.confirms(1, 13)).2, &[]),
        ("slow", |world| (world.commit(3), world.pass(3_000), world.confirms(1, 13)).2, &[(10, 13, InSync)]),
        ("silent, and nothing happened", |world| (world.pass(60_000), world.confirms(1, 10)).1, &[]),
        (
            "late by turns",
            |world| {
                for _ in 0..20 {
                    world.commit(1);
                    world.pass(1_000);
                    world.confirms(1, world.head.serial - 1);
                }
            },
            &[],
        ),
        (
            "slow, in steps",
            |world| {
                world.commit(5);
                world.pass(3_000);
                world.confirms(1, 12);
                world.pass(1_000);
                world.confirms(1, 15);
                world.confirms(1, 15);
            },
            &[(10, 15, InSync)],
        ),
        ("down for a moment", |world| (world.confirms(1, 0), world.pass(500), world.confirms(1, 10)).2, &[]),
        (
            "down for long",
            |world| (world.confirms(1, 3), world.pass(2_500), world.confirms(1, 10)).2,
            &[(3, 10, InSync)],
        ),
        (
            "another session",
            |world| {
                world.head = at(2, 20);
                world.pass(3_000);
                world.report(|_| {}, 1, Some(at(2, 20))).expect("room");
            },
            &[(0, 20, InSync)],
        ),
        ("gone in sync", |world| world.leaves(1, 10), &[]),
        ("gone behind", |world| (world.commit(3), world.leaves(1, 11)).1, &[(11, 13, Left)]),
        (
            "gone and back",
            |world| {
                world.leaves(1, 10);
                world.commit(3);
                world.confirms(1, 13);
            },
            &[(10, 13, InSync)],
        ),
        ("forgotten behind", |world| (world.commit(3), world.pass(FORGET)).1, &[(10, 13, Forgotten)]),
        (
            "one behind it",
            |world| {
                world.commit(3);
                let below = Below { lowest: Some(world.head), known: 1, lacked: Some(4), ..Below::default() };
                world.report(|said| said.below = Some(below), 1, Some(at(1, 13))).expect("room");
            },
            &[(4, 13, InSync)],
        ),
    ];
    for (what, act, expected) in table {
        let mut world = World::at(10);
        world.confirms(1, 10);
        world.pass(5_000);
        world.confirms(1, 10);
        assert_eq!(world.ranges(), [(0, 10, InSync)]);
        act(&mut world);
        assert_eq!(world.ranges(), *expected, "{what}");
    }
}

#[tokio::test]
async fn who_waits_for_changes_to_compare_gets_each_range_once_and_never_too_many() {
    let mut world = World::at(10);
    for id in 1..=3 {
        world.confirms(id, 10);
    }
    for id in 1..=3 {
        let range = world.replicas.next_caught_up().await;
        assert_eq!((range.name, range.after, range.upto), (format!("replica {id}"), 0, 10));
    }
    let replicas = Arc::new(world.replicas);
    let waiting = tokio::spawn({
        let replicas = replicas.clone();
        async move { replicas.next_caught_up().await.name }
    });
    tokio::task::yield_now().await;
    let report = |number: u32| {
        let mut said = said(9, 0, 0, Some(world.head));
        said.id[..4].copy_from_slice(&(number + 1).to_be_bytes());
        replicas.confirmed(heard(said), world.head, world.now).expect("room");
    };
    report(0);
    assert_eq!(waiting.await.expect("no panic"), "replica 9");
    (1..2_000).for_each(report);
    let mut state = replicas.state.lock();
    assert_eq!(std::iter::from_fn(|| state.ranges.pop()).count(), 256);
}

#[test]
fn a_restart_forgets_nobody_and_raises_nothing() {
    let mut world = World::at(10);
    world.confirms(1, 8);
    world.confirms(2, 10);
    world.report(|_| {}, 3, Some(at(2, 50))).expect("room");
    world.leaves(2, 10);
    world.commit(5);
    world.restart(60_000);
    assert_eq!(world.behind(10), ["replica 1", "replica 3"]);
    let shown: Vec<_> = world.replicas.all().iter().map(|stand| (stand.serial, stand.counts())).collect();
    assert_eq!(shown, [(8, true), (10, false), (0, true)]);
    // Nobody could be heard while the server was down.
    world.restart(10 * FORGET);
    assert_eq!(world.behind(10), ["replica 1", "replica 3"]);
    world.confirms(1, 15);
    world.pass(RETURN + 1_000);
    assert_eq!((world.behind(15), world.replicas.all().len()), (vec![], 1));
}

#[test]
fn what_is_written_is_news_at_once_and_a_position_after_a_while() {
    let mut world = World::at(10);
    let written = |world: &World| world.replicas.take_unwritten(world.now, 5_000_000, false).len();
    world.confirms(1, 5);
    assert_eq!((written(&world), written(&world)), (1, 0));
    world.confirms(1, 6);
    assert_eq!(written(&world), 0);
    world.pass(5_000);
    world.confirms(1, 7);
    assert_eq!((written(&world), written(&world)), (1, 0));
    world.pass(10_000);
    world.confirms(1, 7);
    assert_eq!(written(&world), 0, "only the time has changed");
    world.pass(60_000);
    assert_eq!(written(&world), 1);
    world.leaves(1, 7);
    assert_eq!((written(&world), written(&world)), (1, 0));
    world.pass(FORGET);
    assert_eq!(world.replicas.take_unwritten(world.now, 5_000_000, false), [([1; 16], None)]);
}

#[test]
fn a_hub_reports_the_lowest_and_names_those_behind() {
    let mut world = World::at(10);
    let own = world.head;
    assert_eq!(world.replicas.below(Some(&own)), None);
    world.confirms(1, 10);
    world.confirms(2, 7);
    // A hub that is not behind itself, but one behind it is.
    let nested = Named { id: "0f".repeat(16), name: "far".into() };
    let below = Below { lowest: Some(at(1, 9)), known: 3, behind: vec![nested], more: 5, lacked: None };
    world.report(|said| said.below = Some(below), 3, Some(at(1, 10))).expect("room");
    let reported = world.replicas.below(Some(&own)).expect("some");
    assert_eq!((reported.lowest, reported.known, reported.more), (Some(at(1, 7)), 6, 5));
    let mut names: Vec<_> = reported.behind.iter().map(|named| &*named.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["far", "replica 2"]);
    // It was new, and so upstream hears of it once.
    assert_eq!(reported.lacked, Some(0));
    world.replicas.below_was_heard();
    assert_eq!(world.replicas.below(Some(&own)).expect("some").lacked, None);
    // Whoever is on another history has nothing of this one.
    world.report(|_| {}, 4, Some(at(9, 99))).expect("room");
    assert_eq!(world.replicas.below(Some(&own)).expect("some").lowest, Some(Head::beginning(own.session)));
    for id in [1, 2, 4] {
        world.leaves(id, 10);
    }
    let reported = world.replicas.below(Some(&own)).expect("some");
    assert_eq!((reported.lowest, reported.known), (Some(at(1, 9)), 4));
    // Of a hub that stops, those behind it still count.
    let below = Below { lowest: Some(at(1, 9)), known: 3, ..Below::default() };
    let leaving = |said: &mut Confirmation| (said.below, said.is_leaving) = (Some(below), true);
    world.report(leaving, 3, Some(at(1, 10))).expect("room");
    let reported = world.replicas.below(Some(&own)).expect("some");
    assert_eq!((reported.lowest, reported.known), (Some(at(1, 9)), 3));
    assert_eq!(world.replicas.lowest(), Some(9));
}

#[test]
fn many_that_are_behind_are_counted_and_some_are_named() {
    let mut world = World::at(10);
    for id in 1..=40 {
        world.confirms(id, 5);
    }
    let own = world.head;
    let reported = world.replicas.below(Some(&own)).expect("some");
    assert_eq!((reported.behind.len(), reported.more, reported.known), (MAX_NAMED, 40 - MAX_NAMED as u64, 40));
}
