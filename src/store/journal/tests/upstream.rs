//! What comes from upstream, in every way and order: the mirror ends with what upstream has, and nothing goes back meanwhile.

mod cache;
mod check;
mod history;
mod lost;
mod primary;
mod promotion;
mod set_back;
mod world;

use proptest::prelude::*;

use super::super::upstream::EarlyWay;
use crate::testkit;
use world::World;

/// Accounts that take part.
const ACCOUNTS: u8 = 4;

/// A version of an account: the second, and which one of that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Made {
    account: u8,
    iat: i64,
    name: u8,
}

/// Something that upstream commits, if its own rules say so.
#[derive(Debug, Clone)]
enum Commit {
    Put(Made),
    Delete(Vec<u8>, i64),
    Remove(u8),
    Activation { subject: u8, iat: i64, exp: i64 },
    Forget(i64),
    Operator(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Upstream(Commit),
    /// Upstream is restored from a backup that lacks some of its last changes.
    RollBack {
        lost: usize,
        /// Its files were copied, so it goes on as if nothing had happened.
        is_same_session: bool,
    },
    /// The feed brings some changes. It continues from a later position if the session is another one.
    Feed(usize),
    /// The feed brings one change that the gate rejects.
    Reject,
    /// A comparison begins. `is_early`: all of it is read now, else when it is delivered.
    Compare {
        is_early: bool,
    },
    /// The feed begins again at upstream's position, with a comparison.
    Skip,
    /// Upstream stands still for long.
    StandStill,
    /// Some differences of the comparison are delivered, or its end.
    Pieces(usize),
    Ask(u8),
    /// One of the answers under way is delivered.
    Answer(usize),
    /// A hub that does not confirm it gives what is held.
    Repeat(u8),
    Early(Made, EarlyWay),
    /// Upstream commits a version from a client of the mirror.
    Forward(Made),
    Reopen,
    Crash,
}

fn made() -> impl Strategy<Value = Made> {
    (0..ACCOUNTS, 100..106i64, 0..3u8).prop_map(|(account, iat, name)| Made { account, iat, name })
}

fn commit() -> impl Strategy<Value = Commit> {
    prop_oneof![
        10 => made().prop_map(Commit::Put),
        3 => (prop::collection::vec(0..ACCOUNTS, 1..3), 99..106i64)
            .prop_map(|(mut accounts, iat)| {
                accounts.sort_unstable();
                accounts.dedup();
                Commit::Delete(accounts, iat)
            }),
        2 => (0..ACCOUNTS).prop_map(Commit::Remove),
        2 => (0..2u8, 100..104i64, prop_oneof![Just(0), 1..9i64])
            .prop_map(|(subject, iat, exp)| Commit::Activation { subject, iat, exp }),
        1 => (1..9i64).prop_map(Commit::Forget),
        1 => (101..108i64).prop_map(Commit::Operator),
    ]
}

fn way() -> impl Strategy<Value = EarlyWay> {
    prop_oneof![Just(EarlyWay::Hint), Just(EarlyWay::Accepted), Just(EarlyWay::Found)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => commit().prop_map(Step::Upstream),
        1 => (1..6usize, any::<bool>()).prop_map(|(lost, is_same_session)| Step::RollBack { lost, is_same_session }),
        8 => (1..4usize).prop_map(Step::Feed),
        1 => Just(Step::Reject),
        2 => any::<bool>().prop_map(|is_early| Step::Compare { is_early }),
        1 => Just(Step::Skip),
        6 => (1..4usize).prop_map(Step::Pieces),
        3 => (0..ACCOUNTS).prop_map(Step::Ask),
        4 => (0..4usize).prop_map(Step::Answer),
        2 => (0..ACCOUNTS).prop_map(Step::Repeat),
        4 => (made(), way()).prop_map(|(made, way)| Step::Early(made, way)),
        3 => made().prop_map(Step::Forward),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// `history`: earlier versions that the mirror keeps. `says_what_left`: earlier builds do not.
async fn run(steps: &[Step], history: usize, says_what_left: bool) {
    let mut world = World::new(history).await;
    world.says_what_left = says_what_left;
    for step in steps {
        world.step(step).await;
        world.check();
    }
    world.end().await;
}

#[test]
fn a_mirror_ends_with_what_upstream_has_and_never_goes_back() {
    let plays = (prop::collection::vec(step(), 1..60), 0..3usize, any::<bool>());
    let played = testkit::runner(64).run(&plays, |(steps, history, says_what_left)| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(run(&steps, history, says_what_left));
        Ok(())
    });
    played.unwrap_or_else(|failed| panic!("{failed}"));
}
