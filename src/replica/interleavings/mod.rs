//! Hints, answers, the feed, comparisons and restarts in every order, against a model of what must be served.
//!
//! The primary is honest: it commits in order, its feed brings every change once, and an answer is what it held when it
//! was asked or later. Hints are not honest: any version is heard at any time.

mod model;
mod plays;
mod stale;
mod world;

use std::future::pending;

use futures_util::FutureExt as _;

use crate::feed::Subject;
use crate::feed::digest::{Leaf, Prefix, Short, Sum};
use crate::gate::Position;
use crate::replica::held::{Heard, PullAnswer, PullContext, PullResult};
use crate::store::JournalReader;
use crate::store::journal::Outcome;
use crate::store::journal::upstream::{Compared, ComparedContent, EarlyWay, UpstreamWrite};
use crate::upstream::AnswerSource;
use model::Event::{
    self, Answer, AnswerOfLagging, AnswerOfThen, Ask, Break, Compare, Delete, DeleteLater, Evict, Fail, Feed, Forward,
    ForwardDelete, Hint, HintNext, HintOld, HintTie, Look, Put, PutBack, PutTie, Remove, Restart,
};
use model::{By, Change, Model, Primary, SECONDS, Version};
use world::{Account, World};

/// What was stored before a play.
struct Before {
    serial: u64,
    count: u64,
    ahead: u64,
    sum: Sum,
}

/// What a comparison has read at the primary.
struct Looked {
    /// After this number of changes.
    changes: usize,
    /// Whether the replica had something else.
    differs: bool,
    /// Whether it had a text, of which it asks what became.
    has_text: bool,
}

/// What the replica knows of a leaf whose text it has not.
fn short(leaf: Option<Leaf>) -> Option<Short> {
    leaf.map(|leaf| leaf.short())
}

/// One play, about an account of its own.
struct Play<'w> {
    world: &'w mut World,
    account: Account,
    before: Before,
    primary: Primary,
    model: Model,
    /// Changes that the feed has brought, or that were lost when it broke.
    fed: usize,
    asked: Option<(PullContext, usize)>,
    /// A comparison is under way.
    looked: Option<Looked>,
    /// The account left before this number of changes, and a comparison told what came after. Until the feed tells it as well,
    /// nothing may be served.
    left_before: usize,
    /// The last comparison was as of this number of changes.
    compared: usize,
}

impl<'w> Play<'w> {
    fn new(world: &'w mut World) -> Self {
        let (account, stand) = (world.account(), world.held().store.stand());
        assert!(stand.is_level && stand.doubted == 0, "the play before has ended: {stand:?}");
        world.held().freshness.has_caught_up(true);
        let reader = world.held().store.reader();
        let before =
            Before { serial: world.head.serial, count: reader.count(), ahead: stand.ahead, sum: reader.sums(None).sum };
        Self {
            world,
            account,
            before,
            primary: Primary::default(),
            model: Model::default(),
            fed: 0,
            asked: None,
            looked: None,
            left_before: 0,
            compared: 0,
        }
    }

    fn reader(&self) -> &JournalReader {
        self.world.held().store.reader()
    }

    fn serial(&self, changes: usize) -> u64 {
        self.before.serial + u64::try_from(changes).expect("small")
    }

    /// The position after a number of changes.
    fn as_of(&self, changes: usize) -> Position {
        self.world.position(self.serial(changes))
    }

    /// The place of a change.
    fn position(&self, change: usize) -> Position {
        self.world.position(self.serial(change + 1))
    }

    /// Whether the last one of this number of changes is that the account left.
    fn has_left(&self, changes: usize) -> bool {
        matches!(self.primary.last(changes), Some(Change::Remove))
    }

    /// The feed is live when it has brought everything.
    fn catch_up(&self) {
        if self.fed == self.primary.log.len() {
            self.world.held().freshness.has_caught_up(true);
        }
    }

    fn ask(&mut self) -> bool {
        if self.asked.is_some() {
            return false;
        }
        let held = self.world.held();
        held.flights().join(self.account.key, || pending().boxed().shared());
        self.asked = Some((held.asked(&self.account.key), self.primary.log.len()));
        (self.model.is_asked, self.model.is_disturbed) = (true, false);
        true
    }

    /// Answers the request that is under way with what was served after this number of changes; `None`: it fails.
    fn answer(&mut self, changes: Option<usize>) -> bool {
        let begun = self.asked.as_ref().map_or(0, |(_, begun)| *begun);
        let source = AnswerSource { is_followed: true, is_of_followed: true, is_of_primary: true, age: 0 };
        self.answer_from(source, changes.map(|changes| changes.max(begun)))
    }

    /// The same, by a server that says nothing of its age.
    fn answer_of_lagging(&mut self) -> bool {
        match self.primary.log.len().checked_sub(1) {
            Some(changes) => self.answer_from(AnswerSource::default(), Some(changes)),
            None => false,
        }
    }

    fn answer_from(&mut self, source: AnswerSource, changes: Option<usize>) -> bool {
        let Some((asked, _)) = self.asked.take() else { return false };
        let (held, key) = (self.world.held().clone(), self.account.key);
        let served = changes.map(|changes| self.primary.at(changes));
        let changes = changes.unwrap_or_default();
        let named =
            |version| asked.named().filter(|copy| copy.entry().identity() == self.account.entry(version).identity());
        let said = match served {
            None => PullResult::Nothing("it is busy".into()),
            Some(None) => PullResult::Absent,
            Some(Some((version, _))) if named(version).is_some() => PullResult::Unchanged,
            Some(Some((version, by))) => PullResult::Version(self.account.entry(version), Some(self.position(by))),
        };
        let is_unchanged = matches!(said, PullResult::Unchanged);
        let is_of_followed = source.is_of_followed;
        let answer = PullAnswer { said, source };
        if held.is_outdated(&key, &asked, &answer) {
            // The replica asks again, and nothing comes between.
            self.model.is_disturbed = false;
            self.asked = Some((held.asked(&key), self.primary.log.len()));
            return self.answer(Some(self.primary.log.len()));
        }
        // An answer without a JWT is no failure here.
        let _ = self.world.wait(held.answered(&key, &asked, answer));
        held.flights().remove(&key);
        match served {
            Some(Some((version, by))) if !is_unchanged => _ = self.model.give(version, by, By::Answer),
            // It had left already, and a server that lagged gave it again.
            Some(None)
                if self.model.is_held
                    && held.at_hand(&key).is_none()
                    && self.model.serves() == self.primary.newest(changes) =>
            {
                self.model.remove(self.primary.newest(changes));
            }
            // What another server says is remembered only while the feed is not live.
            Some(None) if !self.model.is_held && !self.model.is_disturbed => {
                self.model.is_unknown = is_of_followed || held.copies.unknown.contains(&key);
            }
            _ => {}
        }
        self.model.is_asked = false;
        true
    }

    fn feed(&mut self) -> bool {
        let Some(change) = self.primary.log.get(self.fed).copied() else { return false };
        let newest = self.primary.newest(self.fed);
        let outcome = self.world.feed(&self.account, change, newest);
        self.fed += 1;
        self.catch_up();
        match change {
            Change::Put(version) => {
                // Of what was under an overlay that was dropped, the place in the order may be lost.
                let may_ask = self.model.is_removed;
                let (is_open, asks) =
                    (self.model.give(version, self.fed - 1, By::Feed), matches!(outcome, Ok(Outcome::Refetch)));
                assert!(asks == is_open || (asks && may_ask), "{outcome:?}");
                if asks {
                    // Of two of one second, the primary tells.
                    self.answer(Some(self.primary.log.len()));
                    self.ask();
                    self.answer(Some(self.primary.log.len()));
                }
            }
            Change::Delete(second) => self.model.delete(second, true),
            Change::Remove => {
                self.left_before = self.compared;
                let was_heard = self.model.heard.is_some();
                self.model.remove(newest);
                if was_heard && self.model.given.is_some_and(|(_, change)| change >= self.fed) {
                    // What was answered ahead of the feed is forgotten under what is heard after it.
                    let place = |left| self.primary.log[..self.fed].iter().rposition(|change| change.is_put(left));
                    self.model.given = newest.and_then(|left| Some((left, place(left)?)));
                }
            }
        }
        true
    }

    /// What the comparison under way finds is out of date if the feed said more since.
    fn look(&mut self) -> bool {
        if self.looked.is_some() {
            return false;
        }
        let changes = self.primary.log.len();
        let subject = Subject::Account(self.account.key);
        let here = short(self.reader().leaf_to_ask_by(&subject).expect("readable"));
        let differs = here != short(self.primary.leaf(changes, &self.account));
        let held = self.reader().held_leaves(Some(Prefix::Bucket(subject.bucket())), None, None).expect("readable");
        let has_text = held.iter().any(|(key, _, has_text)| *key == subject && *has_text);
        self.looked = Some(Looked { changes, differs, has_text });
        self.world.write(UpstreamWrite::CompareAgain).expect("written");
        true
    }

    fn lose(&mut self) -> bool {
        if !self.world.is_mirror() && self.model.is_early() {
            // A cache would lose the text under what is served early, so a removal could not bring that back.
            return false;
        }
        let head = self.world.head;
        let changes = self.primary.log.len();
        // Any chain value does.
        self.world.head = crate::feed::Head { serial: self.serial(changes), ..head };
        self.world.write(UpstreamWrite::Begin(self.world.head)).expect("written");
        self.world.held().copies.forget_unknown();
        (self.model.is_unknown, self.model.is_disturbed, self.model.is_logged) = (false, true, false);
        if !self.world.is_mirror() {
            // A cache drops what it has no use for of the log that ends.
            self.before.count = self.reader().count() - u64::from(self.model.is_held);
        }
        (self.fed, self.looked) = (changes, None);
        self.look();
        self.catch_up();
        true
    }

    fn compare(&mut self) -> bool {
        let Some(looked) = self.looked.take() else { return false };
        self.compared = looked.changes;
        let key = self.account.key;
        let (content, change) = match self.primary.last(looked.changes) {
            None => (ComparedContent::Nothing(Subject::Account(key)), None),
            Some(Change::Put(version)) => (ComparedContent::Put(self.account.entry(version)), Some(looked.changes)),
            Some(Change::Delete(second)) => (ComparedContent::Delete(self.account.request(second), vec![key]), None),
            Some(Change::Remove) => {
                let left = self.account.entry(self.primary.newest(looked.changes).expect("a version left"));
                let (identity, digest) = (Some(*left.identity()), *left.digest());
                (ComparedContent::Removed { key, identity, digest }, None)
            }
        };
        if matches!(content, ComparedContent::Removed { .. }) && self.fed < looked.changes && self.model.is_early() {
            // Nothing is served from then on, and the feed brings what was there before. The model serves that in between.
            self.looked = Some(looked);
            return false;
        }
        let there = self.primary.leaf(looked.changes, &self.account);
        if looked.differs
            && !self.world.is_mirror()
            && !looked.has_text
            && let Some(leaf) = there
        {
            // A cache asks for no text that it does not have.
            let (as_of, content) = (self.as_of(looked.changes), ComparedContent::Leaf(Subject::Account(key), leaf));
            self.world.write(UpstreamWrite::Compared(Compared { as_of, serial: 0, content })).expect("written");
            self.world.level();
            return true;
        }
        if looked.differs {
            let (as_of, serial) = (self.as_of(looked.changes), change.map_or(0, |changes| self.serial(changes)));
            // A refusal says that something else stays.
            let _ = self.world.write(UpstreamWrite::Compared(Compared { as_of, serial, content }));
            if self.fed <= looked.changes {
                match self.primary.last(looked.changes) {
                    Some(Change::Put(version)) => _ = self.model.give(version, looked.changes - 1, By::Comparison),
                    Some(Change::Delete(second)) => self.model.delete(second, true),
                    Some(Change::Remove) => self.model.remove(self.primary.newest(looked.changes)),
                    _ => {}
                }
            }
        }
        if !looked.differs && self.world.held().store.stand().doubted > 0 {
            let content = match there {
                Some(_) => ComparedContent::Same(Subject::Account(key)),
                None => ComparedContent::Nothing(Subject::Account(key)),
            };
            let as_of = self.as_of(looked.changes);
            self.world.write(UpstreamWrite::Compared(Compared { as_of, serial: 0, content })).expect("written");
            let newest = self.primary.newest(looked.changes);
            if self.has_left(looked.changes) && self.fed <= looked.changes && self.model.serves() == newest {
                self.model.remove(newest);
            }
        }
        self.world.level();
        true
    }

    fn forward(&mut self) -> bool {
        // It waits for an answer that is under way.
        // Of what was evicted, the text under it would be lost as in [`Self::lose`].
        if self.asked.is_some() || (!self.world.is_mirror() && self.model.is_evicted()) {
            return false;
        }
        // What was answered ahead of the feed is forgotten under what is accepted after it.
        if self.model.given.is_some_and(|(_, change)| change >= self.fed) || !self.primary.commit(Put) {
            return false;
        }
        let change = self.primary.log.len() - 1;
        let Some((version, _)) = self.primary.at(change + 1) else { return false };
        let entry = self.account.entry(version);
        let heard = self.world.wait(self.world.held().judge(&entry, EarlyWay::Accepted));
        assert!(matches!(heard, Ok(Heard::Applied | Heard::Nothing)), "{heard:?}");
        self.model.give(version, change, By::Acceptance);
        true
    }

    fn forward_delete(&mut self) -> bool {
        if !self.primary.commit(ForwardDelete) {
            return false;
        }
        let Some(Change::Delete(second)) = self.primary.log.last().copied() else { return false };
        let request = self.account.request(second);
        self.world.wait(self.world.held().delete_early((*request).clone()));
        self.model.delete(second, false);
        true
    }

    fn hint(&mut self, version: Option<Version>) -> bool {
        // The account has no later versions.
        let Some(version) = version.filter(|(second, _)| *second <= SECONDS) else { return false };
        let entry = self.account.entry(version);
        let heard = self.world.wait(self.world.held().hear(&entry));
        let is_wanted = self.model.is_wanted(self.world.is_mirror());
        let (may, must) = self.model.may_hear(version);
        // Until the feed has brought everything, it may ask as well.
        let must = must && self.fed == self.primary.log.len() && self.world.held().store.stand().doubted == 0;
        if matches!(heard, Ok(Heard::Applied)) {
            assert!(is_wanted && may, "{heard:?} {:?}", self.model);
            self.model.hear(version);
        } else {
            assert!(!is_wanted || !must, "{heard:?} {:?}", self.model);
        }
        true
    }

    fn evict(&mut self) -> bool {
        let (key, before) = (self.account.key, self.served());
        if self.world.evict(key) {
            assert_eq!(self.served(), before, "maybe nobody else has it");
            return before.is_some();
        }
        let could = self.model.evict(self.world.is_mirror());
        // Of a version that left and came back, the log may still have the text.
        if let Some((given, _)) = self.model.given
            && self.primary.log.iter().filter(|change| change.is_put(given)).count() > 1
        {
            self.model.is_held = self.served().is_some();
        }
        could
    }

    fn restart(&mut self) -> bool {
        self.world.restart();
        (self.asked, self.looked) = (None, None);
        (self.model.is_asked, self.model.is_unknown) = (false, false);
        self.catch_up();
        true
    }

    /// Returns whether it could happen.
    fn happens(&mut self, event: Event) -> bool {
        let newest = self.primary.head;
        // A cache may let go of what it remembers at any time.
        self.model.is_unknown &= self.world.held().copies.unknown.contains(&self.account.key);
        let could = match event {
            Put | PutTie | PutBack | Delete | DeleteLater | Remove => self.primary.commit(event),
            Forward => self.forward(),
            ForwardDelete => self.forward_delete(),
            Feed => self.feed(),
            Break => self.lose(),
            Look => self.look(),
            Compare => self.compare(),
            Ask => self.ask(),
            AnswerOfThen => self.answer(Some(0)),
            Answer => self.answer(Some(self.primary.log.len())),
            AnswerOfLagging => self.answer_of_lagging(),
            Fail => self.answer(None),
            HintOld => self.hint(newest.and_then(|(second, _)| Some((second.checked_sub(1)?, 0)))),
            Hint => self.hint(newest),
            HintTie => self.hint(newest.map(|(second, which)| (second, 1 - which))),
            HintNext => self.hint(Some((self.primary.next, 0))),
            Evict => self.evict(),
            Restart => self.restart(),
        };
        self.check(event);
        could
    }

    fn served(&self) -> Option<Version> {
        let copy = self.world.held().at_hand(&self.account.key)?;
        Some(self.account.version(copy.entry()).expect("one of the account"))
    }

    /// Whether that is the leaf of the primary after this number of changes.
    fn is_leaf(&self, leaf: Option<Leaf>, changes: usize) -> bool {
        short(leaf) == short(self.primary.leaf(changes, &self.account))
    }

    fn check(&self, event: Event) {
        let served = self.served();
        let may_be_missing = self.fed < self.left_before && served.is_none();
        assert!(served == self.model.serves() || may_be_missing, "after {event:?}: {served:?} {:?}", self.model);
        let (reader, stand) = (self.reader(), self.world.held().store.stand());
        assert_eq!(reader.count() - self.before.count, u64::from(served.is_some()), "after {event:?}: the count");
        // What was heard is in no digest.
        let leaf = reader.leaf_of(&Subject::Account(self.account.key)).expect("readable");
        let may_be = |changes: usize| self.is_leaf(leaf, changes);
        if stand.is_level {
            // A comparison may be ahead of the feed, whose changes come one by one nevertheless.
            let known = self.fed..=self.primary.log.len();
            assert!(known.clone().any(may_be), "after {event:?}: a leaf that upstream has not had since {known:?}");
        }
        let mut sum = self.before.sum;
        leaf.iter().for_each(|leaf| sum.toggle(&leaf.0));
        assert_eq!(reader.sums(None).sum, sum, "after {event:?}: the digest tree");
        // What is confirmed upstream is current here.
        let confirmed = stand.confirmed.expect("a feed is followed").serial.saturating_sub(self.before.serial);
        if let Some(served) = served {
            let confirmed = usize::try_from(confirmed).expect("small");
            assert!(
                self.primary.is_current(served, confirmed),
                "after {event:?}: {served:?} although {confirmed} is confirmed"
            );
        }
    }

    /// When the feed has brought everything, and nothing is left to compare or to ask, the replica is as the primary; or it
    /// is ahead with something that was heard, and known to be.
    fn end(mut self) {
        self.answer(None);
        while self.fed < self.primary.log.len() {
            self.happens(Feed);
        }
        // A comparison that was under way may have begun before the doubt.
        for _ in 0..2 {
            let stand = self.world.held().store.stand();
            if !stand.is_level || stand.doubted > 0 {
                self.happens(Look);
                self.happens(Compare);
            }
        }
        self.happens(Ask);
        self.happens(Answer);
        let stand = self.world.held().store.stand();
        assert_eq!(stand.doubted, 0, "nothing is in doubt: {:?}", self.model);
        assert_eq!(stand.confirmed, stand.position, "everything is confirmed: {:?}", self.model);
        let leaf = self.reader().leaf_of(&Subject::Account(self.account.key)).expect("readable");
        assert!(self.is_leaf(leaf, self.primary.log.len()), "another leaf: {:?}", self.model);
        let there = self.primary.at(self.primary.log.len()).map(|(version, _)| version);
        let here = self.served();
        if here.is_none() && self.model.heard.is_some() {
            // What was heard and had to leave the cache still bars what is older.
            return assert!(self.model.heard > there, "nothing instead of {there:?}");
        }
        let is_ahead = here != there;
        assert!(!is_ahead || here > there, "{here:?} instead of {there:?}");
        assert!(!is_ahead || !matches!(self.primary.log.last(), Some(Change::Remove)), "{here:?} came back");
        assert_eq!(stand.ahead - self.before.ahead, u64::from(is_ahead), "{:?}", self.model);
    }
}
