//! A primary, and what a replica of it must serve. It keeps apart what upstream gave and what was heard.

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
    /// The feed brings the next change.
    Feed,
    /// A request to the primary begins.
    Ask,
    /// It is answered with what the primary held when it began.
    AnswerOfThen,
    /// It is answered with what the primary holds now.
    Answer,
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
    /// The copy leaves the cache for want of room.
    Evict,
    /// The replica ends and begins again.
    Restart,
}

impl Event {
    pub(super) const ALL: [Self; 18] = [
        Self::Put,
        Self::PutTie,
        Self::PutBack,
        Self::Delete,
        Self::DeleteLater,
        Self::Remove,
        Self::Forward,
        Self::Feed,
        Self::Ask,
        Self::AnswerOfThen,
        Self::Answer,
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
    /// It accepted one that was sent by way of this replica.
    Acceptance,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Put(Version),
    Delete(usize),
    Remove,
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
            (Event::Delete, Some((second, _))) if self.is_served => Change::Delete(second),
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

    /// What was served after this number of changes, and which change brought it.
    pub(super) fn at(&self, changes: usize) -> Option<(Version, usize)> {
        match self.log[..changes].last()? {
            Change::Put(version) => Some((*version, changes - 1)),
            Change::Delete(_) | Change::Remove => None,
        }
    }
}

/// What a replica must serve.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The newest version that upstream gave, and which change brought it.
    pub(super) given: Option<(Version, usize)>,
    /// A later one that was only heard.
    pub(super) heard: Option<Version>,
    pub(super) deleted: Option<usize>,
    pub(super) is_removed: bool,
    /// A copy is at hand.
    pub(super) is_held: bool,
    /// That the primary does not know it is remembered.
    pub(super) is_unknown: bool,
    pub(super) is_asked: bool,
    /// Something came of the account since the request began.
    pub(super) is_disturbed: bool,
}

impl Model {
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
    pub(super) fn give(&mut self, version: Version, change: usize, by: By, is_mirror: bool) -> bool {
        let is_wanted = by == By::Answer || self.is_wanted(is_mirror);
        (self.is_unknown, self.is_disturbed) = (false, true);
        let is_later = self.given.is_none_or(|(given, by)| version == given || (version.0, change) >= (given.0, by));
        if self.deleted >= Some(version.0) || !is_later {
            return false;
        }
        self.given = Some((version, change));
        let is_tied = self.heard.is_some_and(|heard| heard.0 == version.0 && heard != version);
        if (is_tied && by == By::Feed) || self.heard.is_some_and(|heard| heard.0 > version.0) {
            return is_tied;
        }
        (self.heard, self.is_removed, self.is_held) = (None, false, is_wanted);
        false
    }

    pub(super) fn hint(&mut self, version: Version) -> bool {
        let is_confirmed = self.is_held && self.given.is_some_and(|(given, _)| Some(given.0) > self.deleted);
        let is_applied = is_confirmed && !self.is_asked && self.newest().is_some_and(|newest| version.0 > newest.0);
        if is_applied {
            self.heard = Some(version);
        }
        is_applied
    }

    pub(super) fn delete(&mut self, second: usize) {
        self.deleted = self.deleted.max(Some(second));
        self.is_disturbed = true;
        self.heard = self.heard.filter(|heard| Some(heard.0) > self.deleted);
        if self.heard.is_none() {
            self.is_held &= self.given.is_some_and(|(given, _)| Some(given.0) > self.deleted);
        }
    }

    pub(super) fn remove(&mut self) {
        (self.is_removed, self.heard, self.is_held, self.is_disturbed) = (true, None, false, true);
    }
}
