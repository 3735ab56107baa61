//! Which plays there are.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::model::Event::{
    self, Answer, AnswerOfThen, Ask, Break, Compare, Delete, DeleteLater, Fail, Feed, Forward, Hint, HintNext, Put,
    PutTie, Remove, Restart,
};
use super::model::Model;
use super::world::World;
use super::{Heard, Play};
use crate::config::ReplicaMode;
use crate::testkit;

/// Returns the first of the events that could not happen.
fn play(world: &mut World, beginning: &[Event], events: &[Event]) -> Option<usize> {
    let mut play = Play::new(world);
    for event in beginning {
        play.happens(*event);
    }
    let nothing = events.iter().position(|event| !play.happens(*event));
    play.end();
    nothing
}

/// Where plays begin: with nothing, with a copy, with one that left, that was deleted, that was heard, with changes that the
/// feed has not brought, and with a comparison that a cache knows only digests from.
const BEGINNINGS: [&[Event]; 10] = [
    &[],
    &[Put, Put, Feed, Feed, Ask, Answer],
    &[Put, Put, Feed, Feed, Ask, Answer, Remove, Feed],
    &[Put, Put, Feed, Feed, Ask, Answer, Delete, Feed],
    &[Put, Put, Feed, Feed, Ask, Answer, HintNext],
    &[Put, Feed, Ask, Answer, Put, PutTie],
    &[Put, Feed, Put, Break],
    &[Put, Delete, Break, Compare, Ask],
    &[Put, Remove, Break, Compare, Ask],
    &[Put, PutTie, Break, Compare, Ask],
];

/// Those from here on are the same as others for a mirror, which asks for texts.
const OF_DIGESTS: usize = 7;
/// What each beginning leads to at least.
const PLAYS: usize = 70;

fn modes() -> [ReplicaMode; 2] {
    [ReplicaMode::Cache, ReplicaMode::Mirror]
}

/// All plays of two events after these beginnings. Fails with each that fails, unless there are many.
fn play_all(mode: ReplicaMode, beginnings: &[&[Event]]) {
    let (mut world, mut plays, mut failed) = (World::new(mode), 0, Vec::new());
    for beginning in beginnings {
        'first: for first in Event::ALL {
            for second in Event::ALL {
                let events = [first, second];
                let played = catch_unwind(AssertUnwindSafe(|| play(&mut world, beginning, &events)));
                match played {
                    Ok(Some(0)) => continue 'first,
                    Ok(Some(_)) => {}
                    Ok(None) => plays += 1,
                    Err(why) => {
                        world = World::new(mode);
                        let why = why.downcast::<String>().map_or_else(|_| String::new(), |text| *text);
                        failed.push(format!("{beginning:?} {events:?} {why}"));
                    }
                }
                assert!(failed.len() < 10, "{failed:#?}");
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(plays > PLAYS * beginnings.len(), "{plays}");
}

#[test]
fn whatever_a_cache_hears_in_whatever_order_it_serves_only_what_upstream_gave_or_something_newer() {
    play_all(ReplicaMode::Cache, &BEGINNINGS[..OF_DIGESTS]);
}

#[test]
fn the_same_holds_for_a_cache_that_knows_only_digests() {
    play_all(ReplicaMode::Cache, &BEGINNINGS[OF_DIGESTS..]);
}

#[test]
fn whatever_a_mirror_hears_in_whatever_order_it_serves_only_what_upstream_gave_or_something_newer() {
    play_all(ReplicaMode::Mirror, &BEGINNINGS[..OF_DIGESTS]);
}

#[test]
fn the_same_holds_for_long_plays() {
    // After a failure, the next play begins with another world.
    let worlds = modes().map(|mode| (mode, RefCell::new(None)));
    let events = prop::collection::vec(prop::sample::select(&Event::ALL[..]), 0..40);
    let played = testkit::runner(80).run(&(events, 0..BEGINNINGS.len()), |(events, beginning)| {
        for (mode, place) in &worlds {
            let mut world = place.take().unwrap_or_else(|| World::new(*mode));
            let mut play = Play::new(&mut world);
            for event in BEGINNINGS[beginning].iter().chain(&events) {
                play.happens(*event);
            }
            play.end();
            place.replace(Some(world));
        }
        Ok(())
    });
    played.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn what_was_found_on_disk_is_served_and_confirms_nothing() {
    for mut world in modes().map(World::new) {
        let mut play = Play::new(&mut world);
        play.world.held().find(&play.account.entry((3, 0))).expect("it is the first");
        let newer = play.account.entry((5, 0));
        let heard = play.world.wait(play.world.held().hear(&newer)).expect("newer");
        assert_eq!((heard, play.served()), (Heard::Ask, Some((3, 0))));
        play.model = Model { heard: Some((3, 0)), is_held: true, ..Model::default() };
        for event in [Restart, Put, Put, Put, Put, Put, HintNext, Hint, Ask, Fail, Hint, Ask, AnswerOfThen, HintNext] {
            play.happens(event);
        }
        assert_eq!(play.served(), Some((5, 0)), "upstream has answered");
        play.end();
    }
}

#[test]
fn a_play_may_come_to_the_end_of_the_versions() {
    for mut world in modes().map(World::new) {
        let mut play = Play::new(&mut world);
        for event in BEGINNINGS[1].iter().chain(&[
            Forward,
            DeleteLater,
            Forward,
            Put,
            Forward,
            DeleteLater,
            Put,
            DeleteLater,
            Put,
            Forward,
            DeleteLater,
            HintNext,
        ]) {
            play.happens(*event);
        }
        play.end();
    }
}
