//! A primary, and what a replica of it must serve. It keeps apart what upstream gave and what was heard.

use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState};

use super::world::Account;

/// Seconds in which something can be signed.
pub(super) const SECONDS: usize = 12;

/// A version: the second in which it was signed, and which of the two of that second it is.
pub(super) type Version = (usize, usize);

/// What happens. What cannot happen changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The primary commits a newer version.
    Put,
    /// It commits another version of the same second.
    PutTie,
    /// It commits the version again that left its folder.
    PutBack,
    /// It deletes the account, by a request of the newest version's second.
    Delete,
    /// The same, by a later request.
    DeleteLater,
    /// The account leaves its read-only folder.
    Remove,
    /// The primary commits a newer version that a client sent by way of the replica, which learns of it before the feed.
    Forward,
    /// The primary deletes the account because of a client of the replica, which learns of it before the feed.
    ForwardDelete,
    /// The feed brings the next change.
    Feed,
    /// The feed continues at the primary's position, and what is between is lost. A comparison reads what is there.
    Break,
    /// Another comparison reads what is there.
    Look,
    /// What the comparison has read is applied, and it ends.
    Compare,
    /// A request to the primary begins.
    Ask,
    /// It is answered with what the primary held when it began.
    AnswerOfThen,
    /// It is answered with what the primary holds now.
    Answer,
    /// Another server answers it, which lags: with what the primary held before its last change.
    AnswerOfLagging,
    /// It fails.
    Fail,
    /// A version before the primary's newest is heard.
    HintOld,
    /// The primary's newest version is heard.
    Hint,
    /// The other version of that second is heard.
    HintTie,
    /// A version is heard that is newer than what the primary has, and may be committed or not.
    HintNext,
    /// The copy leaves the memory for want of room.
    Evict,
    /// The replica ends and begins again.
    Restart,
}

impl Event {
    pub(super) const ALL: [Self; 23] = [
        Self::Put,
        Self::PutTie,
        Self::PutBack,
        Self::Delete,
        Self::DeleteLater,
        Self::Remove,
        Self::Forward,
        Self::ForwardDelete,
        Self::Feed,
        Self::Break,
        Self::Look,
        Self::Compare,
        Self::Ask,
        Self::AnswerOfThen,
        Self::Answer,
        Self::AnswerOfLagging,
        Self::Fail,
        Self::HintOld,
        Self::Hint,
        Self::HintTie,
        Self::HintNext,
        Self::Evict,
        Self::Restart,
    ];
}

/// How upstream gives a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Feed,
    Answer,
    /// A comparison.
    Comparison,
    /// It accepted one that was sent by way of this replica.
    Acceptance,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Put(Version),
    Delete(usize),
    Remove,
}

impl Change {
    pub(super) fn is_put(self, version: Version) -> bool {
        matches!(self, Self::Put(put) if put == version)
    }
}

/// The primary: its changes, and the newest version with what became of it.
#[derive(Debug, Default)]
pub(super) struct Primary {
    pub(super) log: Vec<Change>,
    pub(super) head: Option<Version>,
    pub(super) is_served: bool,
    /// The second that the next version is signed in.
    pub(super) next: usize,
}

impl Primary {
    pub(super) fn commit(&mut self, event: Event) -> bool {
        let change = match (event, self.head) {
            (Event::Put, _) if self.next < SECONDS => Change::Put((self.next, 0)),
            (Event::PutTie, Some((second, 0))) if self.is_served => Change::Put((second, 1)),
            (Event::PutBack, Some(head)) if matches!(self.log.last(), Some(Change::Remove)) => Change::Put(head),
            (Event::Delete | Event::ForwardDelete, Some((second, _))) if self.is_served => Change::Delete(second),
            (Event::DeleteLater, Some((second, _))) if self.is_served => Change::Delete(second + 1),
            (Event::Remove, Some(_)) if self.is_served => Change::Remove,
            _ => return false,
        };
        match change {
            Change::Put(version) => {
                (self.head, self.is_served) = (Some(version), true);
                self.next = self.next.max(version.0 + 1);
            }
            Change::Delete(second) => {
                self.is_served = false;
                self.next = self.next.max(second + 1);
            }
            Change::Remove => self.is_served = false,
        }
        self.log.push(change);
        true
    }

    /// The last one of this number of changes.
    pub(super) fn last(&self, changes: usize) -> Option<Change> {
        changes.checked_sub(1).map(|last| self.log[last])
    }

    /// What was served after this number of changes, and which change brought it.
    pub(super) fn at(&self, changes: usize) -> Option<(Version, usize)> {
        match self.log[..changes].last()? {
            Change::Put(version) => Some((*version, changes - 1)),
            Change::Delete(_) | Change::Remove => None,
        }
    }

    /// The change that brought a version, the last one if there are several.
    pub(super) fn place(&self, version: Version) -> Option<usize> {
        self.log.iter().rposition(|change| change.is_put(version))
    }

    /// The newest version after this number of changes, even if it is no longer served.
    pub(super) fn newest(&self, changes: usize) -> Option<Version> {
        let put = |change: &Change| if let Change::Put(version) = change { Some(*version) } else { None };
        self.log[..changes].iter().rev().find_map(put)
    }

    /// The leaf of the account after this number of changes.
    pub(super) fn leaf(&self, changes: usize, account: &Account) -> Option<Leaf> {
        let subject = Subject::Account(account.key);
        let newest = self.newest(changes).map(|version| *account.entry(version).identity());
        let state = match (self.log[..changes].last()?, newest) {
            (Change::Put(_), Some(identity)) => LeafState::Held(identity),
            (Change::Remove, Some(identity)) => LeafState::Left(identity),
            (Change::Delete(second), _) => LeafState::Deleted(account.request(*second).deletion()),
            _ => return None,
        };
        Some(Leaf::of(&subject, &state))
    }

    /// Whether a replica that serves this version is as current as the primary was after this number of changes.
    pub(super) fn is_current(&self, served: Version, changes: usize) -> bool {
        let place = self.place(served);
        match self.log[..changes].last() {
            None => true,
            Some(Change::Put(version)) => {
                // What the primary never had is not older than what it has.
                served.0 > version.0 || (served.0 == version.0 && place.is_none_or(|place| place + 1 >= changes))
            }
            Some(Change::Delete(second)) => served.0 > *second,
            Some(Change::Remove) => place.is_none_or(|place| place >= changes),
        }
    }
}

/// What a replica must serve.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The newest version that upstream gave, and which change brought it.
    pub(super) given: Option<(Version, usize)>,
    /// Its place in the present order of the primary is known.
    pub(super) is_placed: bool,
    /// What upstream had given before it accepted that version, which it has not ordered so far.
    pub(super) before_accepted: Option<Option<(Version, usize)>>,
    /// A later one that was only heard.
    pub(super) heard: Option<Version>,
    pub(super) deleted: Option<usize>,
    /// The newest deletion that upstream has ordered.
    pub(super) ordered_deletion: Option<usize>,
    pub(super) is_removed: bool,
    /// The last thing that upstream is known to have ordered is a deletion or a removal.
    pub(super) is_gone_upstream: bool,
    /// Its text is at hand.
    pub(super) is_held: bool,
    /// Its text is in the log, which keeps the texts of the latest changes.
    pub(super) is_logged: bool,
    /// That the primary does not know it is remembered.
    pub(super) is_unknown: bool,
    pub(super) is_asked: bool,
    /// Something came of the account since the request began.
    pub(super) is_disturbed: bool,
}

impl Model {
    /// Something is served that upstream has not ordered so far.
    pub(super) fn is_early(&self) -> bool {
        self.heard.is_some() || self.before_accepted.is_some()
    }

    /// What upstream gave is live, and its text is not here.
    pub(super) fn is_evicted(&self) -> bool {
        !self.is_held && !self.is_removed && self.given.is_some_and(|(given, _)| Some(given.0) > self.deleted)
    }

    pub(super) fn newest(&self) -> Option<Version> {
        self.heard.or(self.given.map(|(version, _)| version))
    }

    pub(super) fn serves(&self) -> Option<Version> {
        self.newest().filter(|_| self.is_held)
    }

    pub(super) fn is_wanted(&self, is_mirror: bool) -> bool {
        is_mirror || self.is_held || self.is_unknown || self.is_asked
    }

    /// Upstream gives a version. Returns whether only an answer can tell if what was heard comes after it.
    pub(super) fn give(&mut self, version: Version, change: usize, by: By) -> bool {
        (self.is_unknown, self.is_disturbed) = (false, true);
        let is_later = self.given.is_none_or(|(given, by)| version == given || (version.0, change) >= (given.0, by));
        if self.deleted >= Some(version.0) || !is_later {
            if self.ordered_deletion < Some(version.0) && by == By::Feed {
                // It was ordered before what upstream accepted.
                self.before_accepted = self.before_accepted.map(|_| Some((version, change)));
            }
            return false;
        }
        let is_served = self.serves() == Some(version);
        let is_tied = |other: Version| other.0 == version.0 && other != version;
        if by == By::Feed
            && self.heard.is_none()
            && !self.is_placed
            && self.given.is_some_and(|(given, _)| is_tied(given))
        {
            return true;
        }
        self.is_placed = by != By::Acceptance;
        self.is_gone_upstream &= matches!(by, By::Acceptance | By::Answer);
        self.before_accepted = if by == By::Acceptance { self.before_accepted.or(Some(self.given)) } else { None };
        self.given = Some((version, change));
        let is_tied = self.heard.is_some_and(is_tied);
        if (is_tied && by == By::Feed) || self.heard.is_some_and(|heard| heard.0 > version.0) {
            return is_tied;
        }
        (self.heard, self.is_removed, self.is_held) = (None, false, true);
        self.is_logged = by == By::Feed || (is_served && self.is_logged);
        false
    }

    /// Whether a later version that is heard may be served, and whether it must.
    pub(super) fn may_hear(&self, version: Version) -> (bool, bool) {
        // Of what upstream accepted after a deletion or a removal, it is asked at the latest until it has ordered that.
        let ordered = self.before_accepted.unwrap_or(self.given);
        let is_confirmed = self.ordered_deletion.is_none()
            || ordered.is_some_and(|(ordered, _)| Some(ordered.0) > self.ordered_deletion);
        let may = self.is_held && !self.is_asked && self.newest().is_some_and(|newest| version.0 > newest.0);
        (may, may && is_confirmed && !self.is_gone_upstream)
    }

    pub(super) fn hear(&mut self, version: Version) {
        (self.heard, self.is_logged) = (Some(version), false);
        (self.is_unknown, self.is_disturbed) = (false, true);
    }

    pub(super) fn delete(&mut self, second: usize, is_ordered: bool) {
        if is_ordered {
            self.ordered_deletion = self.ordered_deletion.max(Some(second));
            self.is_gone_upstream = true;
        }
        self.deleted = self.deleted.max(Some(second));
        (self.is_unknown, self.is_disturbed) = (false, true);
        self.heard = self.heard.filter(|heard| Some(heard.0) > self.deleted);
        if self.heard.is_none() {
            self.is_held &= self.given.is_some_and(|(given, _)| Some(given.0) > self.deleted);
        }
    }

    /// The account leaves its read-only folder. `left`: the version, if that is said.
    pub(super) fn remove(&mut self, left: Option<Version>) {
        (self.is_removed, self.is_gone_upstream, self.heard, self.is_held) = (true, true, None, false);
        if let Some(before) = self.before_accepted.take()
            && left.is_none_or(|left| self.given.map(|(given, _)| given) != Some(left))
        {
            self.given = before;
        }
        (self.is_unknown, self.is_disturbed) = (false, true);
    }

    /// The text leaves the memory. Returns whether there was one.
    pub(super) fn evict(&mut self, is_mirror: bool) -> bool {
        let was_held = self.is_held;
        self.is_held &= is_mirror || self.is_logged;
        was_held
    }
}
