//! Hints, answers, the feed and restarts in every order, against a model of what must be served.
//!
//! The primary is honest: it commits in order, its feed brings every change once, and an answer is what it held when it
//! was asked or later. Hints are not honest: any version is heard at any time.

mod model;
mod world;

use std::future::pending;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use crate::config::ReplicaMode;
use crate::gate::{Position, Via};
use crate::replica::held::{OfferOutcome, PullAnswer, PullContext, PullResult};
use crate::replica::rule::Ruling;
use crate::upstream::AnswerSource;
use model::Event::{
    self, Answer, AnswerOfThen, Ask, Delete, DeleteLater, Evict, Fail, Feed, Forward, Hint, HintNext, HintOld, HintTie,
    Put, PutBack, PutTie, Remove, Restart,
};
use model::{By, Change, Model, Primary, SECONDS, Version};
use world::World;

/// One play.
struct Play<'w> {
    world: &'w World,
    primary: Primary,
    model: Model,
    /// Changes that the feed has brought.
    fed: usize,
    asked: Option<(PullContext, usize)>,
}

impl<'w> Play<'w> {
    fn new(world: &'w World) -> Self {
        world.forget();
        Self { world, primary: Primary::default(), model: Model::default(), fed: 0, asked: None }
    }

    fn is_mirror(&self) -> bool {
        self.world.replica.parts.env.is_mirror()
    }

    fn position(change: usize) -> Position {
        Position { session: [7; 16], serial: u64::try_from(change + 1).expect("small") }
    }

    fn ask(&mut self) -> bool {
        let (replica, key) = (&self.world.replica, self.world.account.key);
        if self.asked.is_some() {
            return false;
        }
        replica.parts.held.flights().join(key, || pending().boxed().shared());
        self.asked = Some((replica.parts.held.asked(&key), self.primary.log.len()));
        (self.model.is_asked, self.model.is_disturbed) = (true, false);
        true
    }

    /// Answers the request that is under way with what was served after this number of changes; `None`: it fails.
    fn answer(&mut self, changes: Option<usize>) -> bool {
        let (replica, account) = (&self.world.replica, &self.world.account);
        let Some((asked, begun)) = self.asked.take() else { return false };
        let served = changes.map(|changes| self.primary.at(changes.max(begun)));
        let named = |version| asked.named().filter(|copy| copy.entry().identity() == account.entry(version).identity());
        let said = match served {
            None => PullResult::Nothing("it is busy".into()),
            Some(None) => PullResult::Absent,
            Some(Some((version, _))) if named(version).is_some() => PullResult::Unchanged,
            Some(Some((version, by))) => PullResult::Version(account.entry(version), Some(Self::position(by))),
        };
        let is_unchanged = matches!(said, PullResult::Unchanged);
        let source = AnswerSource { is_followed: true, is_of_followed: true, is_of_primary: true, age: 0 };
        let answer = PullAnswer { said, source };
        if replica.parts.held.is_outdated(&account.key, &asked, &answer) {
            // The replica asks again, and nothing comes between.
            self.model.is_disturbed = false;
            self.asked = Some((replica.parts.held.asked(&account.key), self.primary.log.len()));
            return self.answer(Some(self.primary.log.len()));
        }
        // An answer without a JWT is no failure here.
        let _ = replica.parts.held.answered(&account.key, &asked, answer);
        replica.parts.held.flights().remove(&account.key);
        match served {
            Some(Some((version, by))) if !is_unchanged => _ = self.model.give(version, by, By::Answer, true),
            Some(None) if !self.model.is_held && !self.model.is_disturbed => self.model.is_unknown = true,
            _ => {}
        }
        self.model.is_asked = false;
        true
    }

    fn feed(&mut self) -> bool {
        let (replica, account) = (&self.world.replica, &self.world.account);
        let Some(change) = self.primary.log.get(self.fed).copied() else { return false };
        let at = Some(Self::position(self.fed));
        match change {
            Change::Put(version) => {
                let offer = replica.parts.held.offer(account.entry(version), Via::Feed, at, None, None);
                let is_open = self.model.give(version, self.fed, By::Feed, self.is_mirror());
                assert_eq!(matches!(offer, Ok(OfferOutcome::Refetch)), is_open, "{offer:?}");
                if is_open {
                    // Of two of one second, the primary tells.
                    self.answer(Some(self.primary.log.len()));
                    self.ask();
                    self.answer(Some(self.primary.log.len()));
                }
            }
            Change::Delete(second) => {
                replica.parts.held.apply_delete(&account.requests[second], at);
                self.model.delete(second);
            }
            Change::Remove => {
                replica.parts.held.forget([account.key]);
                self.model.remove();
            }
        }
        self.fed += 1;
        true
    }

    fn forward(&mut self) -> bool {
        // It waits for an answer that is under way.
        if self.asked.is_some() || !self.primary.commit(Put) {
            return false;
        }
        let (change, is_mirror) = (self.primary.log.len() - 1, self.is_mirror());
        let Some((version, _)) = self.primary.at(change + 1) else { return false };
        let ruling = self.world.replica.parts.held.judge(&self.world.account.entry(version), true);
        assert!(matches!(ruling, Ok(Ruling::Apply)), "{ruling:?}");
        self.model.give(version, change, By::Acceptance, is_mirror);
        true
    }

    fn hint(&mut self, version: Option<Version>) -> bool {
        // The account has no later versions.
        let Some(version) = version.filter(|(second, _)| *second <= SECONDS) else { return false };
        let heard = self.world.replica.parts.held.hear(&self.world.account.entry(version));
        let is_wanted = self.model.is_wanted(self.is_mirror());
        let is_applied = is_wanted && self.model.hint(version);
        assert_eq!(matches!(heard, Ok(Ruling::Apply)), is_applied, "{heard:?}");
        true
    }

    fn evict(&mut self) -> bool {
        self.world.replica.parts.held.evict(&self.world.account.key);
        std::mem::replace(&mut self.model.is_held, false)
    }

    fn restart(&mut self) -> bool {
        let (replica, key) = (&self.world.replica, &self.world.account.key);
        replica.close();
        replica.parts.held.known.versions.restart();
        replica.parts.held.evict(key);
        replica.parts.held.may_be_known(key);
        replica.parts.held.flights().remove(key);
        replica.parts.held.disk.restart();
        self.asked = None;
        (self.model.is_asked, self.model.is_unknown) = (false, false);
        true
    }

    /// Returns whether it could happen.
    fn happens(&mut self, event: Event) -> bool {
        let newest = self.primary.head;
        // A cache may let go of what it remembers at any time.
        self.model.is_unknown &= self.world.replica.parts.held.is_unknown(&self.world.account.key);
        let could = match event {
            Put | PutTie | PutBack | Delete | DeleteLater | Remove => self.primary.commit(event),
            Forward => self.forward(),
            Feed => self.feed(),
            Ask => self.ask(),
            AnswerOfThen => self.answer(Some(0)),
            Answer => self.answer(Some(self.primary.log.len())),
            Fail => self.answer(None),
            HintOld => self.hint(newest.and_then(|(second, _)| Some((second.checked_sub(1)?, 0)))),
            Hint => self.hint(newest),
            HintTie => self.hint(newest.map(|(second, which)| (second, 1 - which))),
            HintNext => self.hint(Some((self.primary.next, 0))),
            Evict => self.evict(),
            Restart => self.restart(),
        };
        assert_eq!(self.served(), self.model.serves(), "after {event:?}: {:?}", self.model);
        could
    }

    fn served(&self) -> Option<Version> {
        let copy = self.world.replica.parts.held.at_hand(&self.world.account.key)?;
        let versions = self.world.account.versions.iter().enumerate();
        versions
            .flat_map(|(second, two)| two.iter().enumerate().map(move |(which, entry)| ((second, which), entry)))
            .find(|(_, entry)| entry.identity() == copy.entry().identity())
            .map(|(version, _)| version)
    }

    /// When the feed has brought everything and the primary was asked, it is as there; or it is ahead with something that
    /// was heard, and known to be.
    fn end(mut self) {
        self.answer(None);
        while self.fed < self.primary.log.len() {
            self.happens(Feed);
        }
        self.happens(Ask);
        self.happens(Answer);
        let there = self.primary.at(self.primary.log.len()).map(|(version, _)| version);
        let (here, key) = (self.served(), &self.world.account.key);
        if here.is_none() && self.model.heard.is_some() {
            // What was heard and had to leave the cache still bars what is older.
            return assert!(self.model.heard > there, "nothing instead of {there:?}");
        }
        let is_ahead = here != there;
        assert!(!is_ahead || here > there, "{here:?} instead of {there:?}");
        assert!(!is_ahead || !matches!(self.primary.log.last(), Some(Change::Remove)), "{here:?} came back");
        assert_eq!(
            self.world.replica.parts.held.known.versions.peek(key, |seen| seen.ahead).unwrap_or(false),
            is_ahead
        );
    }
}

/// Returns the first of the events that could not happen.
fn play(world: &World, beginning: &[Event], events: &[Event]) -> Option<usize> {
    let mut play = Play::new(world);
    for event in beginning {
        play.happens(*event);
    }
    let nothing = events.iter().position(|event| !play.happens(*event));
    if nothing.is_none() {
        play.end();
    }
    nothing
}

/// Where plays begin: with nothing, with a copy, with one that left, that was deleted, that was heard, and with changes that
/// the feed has not brought.
const BEGINNINGS: [&[Event]; 6] = [
    &[],
    &[Put, Put, Feed, Feed, Ask, Answer],
    &[Put, Put, Feed, Feed, Ask, Answer, Remove, Feed],
    &[Put, Put, Feed, Feed, Ask, Answer, Delete, Feed],
    &[Put, Put, Feed, Feed, Ask, Answer, HintNext],
    &[Put, Feed, Ask, Answer, Put, PutTie],
];

fn modes() -> [ReplicaMode; 2] {
    [ReplicaMode::Cache, ReplicaMode::Mirror]
}

#[test]
fn whatever_comes_in_whatever_order_only_what_upstream_gave_or_something_newer_is_served() {
    for mode in modes() {
        let (world, mut plays) = (World::new(mode), 0);
        for beginning in BEGINNINGS {
            'first: for first in Event::ALL {
                'second: for second in Event::ALL {
                    for third in Event::ALL {
                        match play(&world, beginning, &[first, second, third]) {
                            Some(0) => continue 'first,
                            Some(1) => continue 'second,
                            Some(_) => {}
                            None => plays += 1,
                        }
                    }
                }
            }
        }
        assert!(plays > 3_000, "{plays}");
    }
}

#[test]
fn the_same_holds_for_long_plays() {
    let worlds = modes().map(World::new);
    let events = prop::collection::vec(prop::sample::select(&Event::ALL[..]), 0..40);
    let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(events in events, beginning in 0..BEGINNINGS.len())| {
        for world in &worlds {
            let mut play = Play::new(world);
            for event in BEGINNINGS[beginning].iter().chain(&events) {
                play.happens(*event);
            }
            play.end();
        }
    });
}

#[test]
fn what_was_found_on_disk_is_served_and_confirms_nothing() {
    for mode in modes() {
        let world = World::new(mode);
        let mut play = Play::new(&world);
        world.replica.parts.held.find(&world.account.entry((3, 0))).expect("it is the first");
        let heard = world.replica.parts.held.hear(&world.account.entry((5, 0))).expect("newer");
        assert_eq!((heard, play.served()), (Ruling::Ask, Some((3, 0))));
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
    for world in &modes().map(World::new) {
        let mut play = Play::new(world);
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
