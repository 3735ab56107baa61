//! The order of versions: whether an admitted version may replace the stored one. Newer never yields to older.
//!
//! Versions of one account are ordered by `iat`, then by the primary's commit order. Two versions of the same second
//! occur (an edit and its correction). At the primary, a direct write with the head's `iat` wins if that version was
//! never seen; on a follower the primary's serials decide. A replaced version never comes back, so the identities of
//! the head's `iat` are remembered while it is the head.
//!
//! That list is bounded, or a client that signs quickly could grow it without end. A second with [`MOST_IN_ONE_SECOND`]
//! versions is full: it accepts no more, unless the primary's order says which is later. So a version that no longer
//! fits into the list cannot come back either. The list is in the journal, so it survives restarts, and followers
//! have the same one. A primary that was a mirror has it only from its promotion on, because a comparison brings what is current
//! and not what was replaced. So it accepts no other version in the second of one from before.

use super::entry::Identity;
use super::high_water::Marks;
use super::{Deletion, Mark, Position, Refusal, Standing, Version, Via};
use crate::key::{AccountKey, PublicKey};

/// Versions with one `iat` that are accepted for one key, the newest included.
pub const MOST_IN_ONE_SECOND: usize = 64;

/// A version with the head's `iat` that was replaced, or found to be older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Which version.
    pub identity: Identity,
    /// Where its primary committed it, if that is known.
    pub at: Option<Position>,
}

/// The record of one account: its newest version and its newest deletion.
///
/// It outlives the bytes: after an eviction or a deletion, a replica still rejects older versions. Which keys count is
/// an argument, a [`Standing`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    head: Option<Placed>,
    ties: Vec<Tie>,
    /// Whether other versions may have been replaced at the head's `iat`.
    lacks_ties: bool,
    deleted: Option<Deletion>,
    marks: Marks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    version: Version,
    at: Option<Position>,
}

/// The verdict about an offered version.
#[derive(Debug)]
pub enum Ordering {
    /// It replaces the stored version.
    Newer,
    /// It is the stored version.
    Same,
    /// Its primary has already replaced it. There is nothing to do, and no fault.
    Behind,
    /// Only the primary can tell which of the two is current: ask it.
    Refetch,
    /// It may not replace the stored version.
    Refused(Refusal),
}

impl Held {
    /// The memory of an account as a journal keeps it: the head, the identities replaced at its `iat`, the newest
    /// deletion, and what other keys reached.
    pub fn restore(version: Option<Version>, ties: Vec<Identity>, deleted: Option<Deletion>, marks: Vec<Mark>) -> Self {
        let ties = ties.into_iter().map(|identity| Tie { identity, at: None }).collect();
        Self::restore_placed(version, None, ties, deleted, marks)
    }

    /// As [`Held::restore`], with the places of head and ties in their primary's order.
    pub fn restore_placed(
        version: Option<Version>,
        at: Option<Position>,
        ties: Vec<Tie>,
        deleted: Option<Deletion>,
        marks: Vec<Mark>,
    ) -> Self {
        let head = version.map(|version| Placed { version, at });
        let mut held = Self { head, ties, lacks_ties: false, deleted, marks: Marks::restore(marks) };
        held.bound_ties();
        held
    }

    /// The same, if other versions may have been replaced at the head's `iat` before this server ordered them.
    pub fn without_all_ties(self) -> Self {
        Self { lacks_ties: true, ..self }
    }

    /// A full list stays full, so that what falls out of it is rejected like everything else of its second.
    fn bound_ties(&mut self) {
        let surplus = self.ties.len().saturating_sub(MOST_IN_ONE_SECOND - 1);
        self.ties.drain(..surplus);
    }

    /// Whether as many versions were accepted at the head's `iat` as there may be.
    fn is_second_full(&self) -> bool {
        self.ties.len() + 1 >= MOST_IN_ONE_SECOND
    }

    /// The newest version.
    pub fn version(&self) -> Option<&Version> {
        self.head.as_ref().map(|head| &head.version)
    }

    /// The newest version's identity.
    pub fn identity(&self) -> Option<&Identity> {
        self.version().map(|version| &version.identity)
    }

    /// The newest deletion.
    pub const fn deleted(&self) -> Option<&Deletion> {
        self.deleted.as_ref()
    }

    /// The versions that were replaced at the head's `iat`.
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// The marks of other keys than the newest version's.
    pub fn marks(&self) -> &[Mark] {
        self.marks.as_slice()
    }

    /// Whether there is a version, and no deletion covers it. It may still be withheld.
    pub fn is_live(&self) -> bool {
        self.version().is_some_and(|version| self.deleted.is_none_or(|deleted| version.iat > deleted.iat))
    }

    /// The key that signed the live version, if the operator does not vouch for it: the version is withheld.
    pub fn withheld_by(&self, standing: &Standing) -> Option<PublicKey> {
        let issuer = self.version()?.issuer;
        (self.is_live() && !standing.vouches(&issuer)).then_some(issuer)
    }

    /// The newest version's place in its primary's order, if it is known.
    pub fn position(&self) -> Option<Position> {
        self.head.and_then(|head| head.at)
    }

    /// Decides about an offered version, and changes nothing. The operator vouches for its issuer.
    pub fn order(&self, offered: &Version, via: Via, at: Option<Position>, standing: &Standing) -> Ordering {
        if let Some(deleted) = &self.deleted
            && offered.iat <= standing.reach(&deleted.issuer, deleted.iat)
        {
            return Ordering::Refused(Refusal::Deleted { deleted: deleted.iat, offered: offered.iat });
        }
        let held_at = self.position();
        let newer = || match self.marks.bar(&offered.issuer, standing).filter(|bar| offered.iat <= *bar) {
            None => Ordering::Newer,
            // A follower may receive a later version before an earlier one; the primary has checked its own marks. The
            // feed brings each change once, but an answer may arrive late.
            Some(_) if via == Via::Feed => Ordering::Newer,
            Some(_) if via == Via::Upstream && (held_at.is_none() || is_later(at, held_at)) => Ordering::Newer,
            Some(_) if via == Via::Upstream => Ordering::Behind,
            Some(bar) => Ordering::Refused(Refusal::Older { held: bar, offered: offered.iat }),
        };
        let Some(held) = self.version() else { return newer() };
        if held == offered && self.is_live() {
            return Ordering::Same;
        }
        let reach = standing.reach(&held.issuer, held.iat);
        if offered.iat > held.iat {
            return newer();
        }
        if held == offered || offered.iat > reach {
            // The obstacle was void: a deletion that covered it, or a version from the future. The primary decides the
            // order among those.
            return match via {
                Via::Hint => Ordering::Refetch,
                Via::Feed if !is_later(held_at, at) => Ordering::Newer,
                Via::Upstream if at.is_none() || held_at.is_none() || is_later(at, held_at) => Ordering::Newer,
                Via::Feed | Via::Upstream => Ordering::Behind,
                _ => newer(),
            };
        }
        if offered.iat < held.iat {
            return Ordering::Refused(Refusal::Older { held: reach, offered: offered.iat });
        }
        let tie = self.ties.iter().find(|tie| tie.identity == offered.identity);
        match via {
            Via::Post | Via::Update | Via::EditedFile | Via::Configured if tie.is_some() => {
                Ordering::Refused(Refusal::Replaced)
            }
            Via::Post | Via::Update | Via::EditedFile | Via::Configured if self.lacks_ties => {
                Ordering::Refused(Refusal::TieFromBefore(offered.iat))
            }
            Via::Post | Via::Update | Via::EditedFile | Via::Configured if self.is_second_full() => {
                Ordering::Refused(Refusal::SecondFull(offered.iat))
            }
            Via::Post | Via::Update | Via::EditedFile | Via::Configured => newer(),
            Via::Hint if tie.is_some() => Ordering::Refused(Refusal::Replaced),
            Via::Hint => Ordering::Refetch,
            Via::Pack | Via::FirstScan | Via::Import | Via::Promotion => Ordering::Refused(Refusal::Tie(offered.iat)),
            Via::Feed | Via::Upstream => match follow(held_at, tie, via, at) {
                // Nothing proves that it is later, and it may have dropped out of the list.
                Ordering::Newer if self.is_second_full() && !is_later(at, held_at) => {
                    Ordering::Refused(Refusal::SecondFull(offered.iat))
                }
                order => order,
            },
        }
    }

    /// Whether a version alone cannot show if it is later than the stored one: it has the same second, and was
    /// committed elsewhere.
    pub fn is_open(&self, offered: &Version, at: Option<Position>) -> bool {
        let is_comparable = matches!((self.position(), at), (Some(held), Some(at)) if held.session == at.session);
        self.version().is_some_and(|held| held.iat == offered.iat && held != offered) && !is_comparable
    }

    /// Stores a version that [`Held::order`] found newer, equal or behind.
    pub fn put(&mut self, version: Version, at: Option<Position>, standing: &Standing) {
        self.make_room(&version, standing);
        match &mut self.head {
            Some(held) if held.version == version => {
                if at.is_some() {
                    held.at = at;
                }
            }
            held => {
                if let Some(Placed { version: old, .. }) = held
                    && (old.issuer != version.issuer || old.iat > version.iat)
                {
                    self.marks.note(old.issuer, old.iat, standing);
                }
                match held {
                    Some(held) if held.version.iat == version.iat => {
                        let replaced = Tie { identity: held.version.identity, at: held.at };
                        self.ties.retain(|tie| tie.identity != version.identity);
                        self.ties.push(replaced);
                    }
                    _ => {
                        self.ties.clear();
                        self.lacks_ties = false;
                    }
                }
                *held = Some(Placed { version, at });
                self.bound_ties();
            }
        }
    }

    /// Makes permanent that an obstacle no longer counts for a version that its primary committed, even if the version
    /// is not stored here. A key that is listed again later does not bring the obstacle back.
    pub fn make_room(&mut self, version: &Version, standing: &Standing) {
        self.marks.settle(standing);
        let Some(deleted) = self.deleted else { return };
        let reach = standing.reach(&deleted.issuer, deleted.iat);
        if reach < version.iat && version.iat <= deleted.iat {
            self.marks.note(deleted.issuer, deleted.iat, standing);
            self.deleted = Some(Deletion { iat: reach, ..deleted });
        }
    }

    /// Remembers a version that its primary committed and that is not stored here, because a later one came first. It
    /// rejects others here as it does there.
    pub fn pass_over(&mut self, version: &Version, standing: &Standing) {
        if self.version().is_none_or(|held| held.issuer != version.issuer || held.iat < version.iat) {
            self.marks.note(version.issuer, version.iat, standing);
        }
    }

    /// Remembers a version that is [`Ordering::Behind`] the head at the same `iat`, so that it cannot come back later.
    pub fn note_behind(&mut self, version: &Version, at: Option<Position>) {
        let same_second = self.version().is_some_and(|held| held.iat == version.iat && held != version);
        let is_new = self.ties.iter().all(|tie| tie.identity != version.identity);
        if same_second && is_new && !self.is_second_full() {
            self.ties.push(Tie { identity: version.identity, at });
        }
    }

    /// Whether a delete request may delete this account: not if its JWT is newer than the request.
    pub fn order_delete(&self, account: &AccountKey, request: &Deletion, standing: &Standing) -> Result<(), Refusal> {
        let Some(held) = self.version().filter(|_| self.is_live()) else { return Ok(()) };
        let reach = standing.reach(&held.issuer, held.iat);
        let own = self.marks.own(&request.issuer).filter(|own| request.iat <= *own);
        match own.or((reach > request.iat).then_some(reach)) {
            Some(held) => Err(Refusal::DeleteOlder { account: *account, held, request: request.iat }),
            None => Ok(()),
        }
    }

    /// Whether the signing service may sign what the account itself, `issuer`, signed at `iat`. The new JWT would be
    /// later than everything. So only this check prevents that an old request rolls the account back, or undoes its
    /// deletion.
    ///
    /// `ahead`: seconds by which the stored JWT may be later than the request, because its signer's clock was ahead of
    /// the account's.
    pub fn order_request(&self, issuer: &PublicKey, iat: i64, ahead: i64, standing: &Standing) -> Result<(), Refusal> {
        if let Some(deleted) = &self.deleted
            && iat <= standing.reach(&deleted.issuer, deleted.iat)
        {
            return Err(Refusal::Deleted { deleted: deleted.iat, offered: iat });
        }
        let head = self.version().map(|held| standing.reach(&held.issuer, held.iat));
        match head.max(self.marks.bar(issuer, standing)).filter(|held| *held > iat.saturating_add(ahead)) {
            Some(held) => Err(Refusal::Older { held, offered: iat }),
            None => Ok(()),
        }
    }

    /// Takes over a deletion. Returns whether it is news: later than every one before.
    pub fn delete(&mut self, request: Deletion, standing: &Standing) -> bool {
        let earlier = self.deleted;
        if earlier.is_some_and(|deleted| request.iat <= standing.reach(&deleted.issuer, deleted.iat)) {
            return false;
        }
        if let Some(deleted) = earlier
            && (deleted.issuer != request.issuer || deleted.iat > request.iat)
        {
            self.marks.note(deleted.issuer, deleted.iat, standing);
        }
        self.deleted = Some(request);
        if let Some(Placed { version, .. }) = &mut self.head {
            let reach = standing.reach(&version.issuer, version.iat);
            if version.iat > request.iat && reach <= request.iat {
                // A withheld version from the future counts only up to its reach, so it is deleted.
                self.marks.note(version.issuer, version.iat, standing);
                version.iat = reach;
                self.ties.clear();
            }
        }
        true
    }
}

/// Whether a change came after another one in the same primary's order.
fn is_later(one: Option<Position>, other: Option<Position>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.session == other.session && one.serial > other.serial)
}

/// Two versions of the same second, on a follower: the primary's order decides, where it is known.
fn follow(held: Option<Position>, tie: Option<&Tie>, via: Via, offered: Option<Position>) -> Ordering {
    // A primary commits a version once. One that it is known to have committed before the head, and now offers again,
    // would take us back.
    if tie.is_some_and(|tie| tie.at.is_some()) {
        return Ordering::Refused(Refusal::Replaced);
    }
    match (held, offered) {
        (Some(held), Some(offered)) if held.session == offered.session => {
            if offered.serial > held.serial {
                Ordering::Newer
            } else {
                Ordering::Behind
            }
        }
        _ if tie.is_some() => Ordering::Refused(Refusal::Replaced),
        // The position of the stored version is unknown, and this may be a version that it replaced.
        (None, Some(_)) if via == Via::Feed => Ordering::Refetch,
        _ => Ordering::Newer,
    }
}
