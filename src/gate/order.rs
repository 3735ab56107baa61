//! Newer never yields to older: whether an admitted version may take the place of what is held.
//!
//! Versions of one account are ordered by `iat`, then by the primary's commit order. Two versions signed in the same
//! second happen (an edit and its correction), so the second rule matters: at the primary a direct write with an `iat`
//! equal to the head's wins if that very version was never seen; on a follower the primary's serials decide. What was
//! replaced never comes back, so the identities seen at the head's `iat` are remembered for as long as it is the head.

use super::entry::Identity;
use super::{Refusal, Via};
use crate::key::AccountKey;

/// Where in a primary's order of changes a version was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The session of the primary's journal.
    pub session: [u8; 16],
    /// The serial of the change.
    pub serial: u64,
}

/// A version that was held at the same `iat` as the head and was replaced, or was found to be behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Which version.
    pub identity: Identity,
    /// Where its primary committed it, if that is known.
    pub at: Option<Position>,
}

/// What is remembered of one account: its newest version and its newest deletion.
///
/// Outlives the bytes: a replica that evicted a JWT, or holds a deleted account, still knows what it must not go back
/// behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    version: Option<Version>,
    ties: Vec<Tie>,
    deleted: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    iat: i64,
    identity: Identity,
    at: Option<Position>,
}

/// What to do with an offered version.
#[derive(Debug)]
pub enum Ordering {
    /// It takes the place of what is held.
    Newer,
    /// It is what is held.
    Same,
    /// Its primary itself has replaced it already: nothing to do, and nobody's fault.
    Behind,
    /// Only the primary can tell which of the two is current: ask it.
    Refetch,
    /// It may not replace what is held.
    Refused(Refusal),
}

impl Held {
    /// The memory of an account as a journal keeps it: the head's `iat` and identity, the identities replaced at that
    /// `iat`, and the `iat` of its newest deletion.
    pub fn restore(version: Option<(i64, Identity)>, ties: Vec<Identity>, deleted: Option<i64>) -> Self {
        Self {
            version: version.map(|(iat, identity)| Version { iat, identity, at: None }),
            ties: ties.into_iter().map(|identity| Tie { identity, at: None }).collect(),
            deleted,
        }
    }

    /// The newest version's `iat`, unix seconds.
    pub fn iat(&self) -> Option<i64> {
        self.version.map(|version| version.iat)
    }

    /// The newest version's identity.
    pub fn identity(&self) -> Option<&Identity> {
        self.version.as_ref().map(|version| &version.identity)
    }

    /// `iat` of the newest deletion, unix seconds.
    pub const fn deleted(&self) -> Option<i64> {
        self.deleted
    }

    /// The versions that were replaced at the head's `iat`.
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// Whether there is a version, and no deletion covers it.
    pub fn is_live(&self) -> bool {
        self.version.is_some_and(|version| self.deleted.is_none_or(|deleted| version.iat > deleted))
    }

    /// Whether the newest version's place in its primary's order is known.
    #[cfg(test)]
    pub(super) fn is_placed(&self) -> bool {
        self.version.is_some_and(|version| version.at.is_some())
    }

    /// Decides about an offered version without changing anything.
    pub fn order(&self, iat: i64, identity: &Identity, via: Via, at: Option<Position>) -> Ordering {
        if let Some(deleted) = self.deleted
            && iat <= deleted
        {
            return Ordering::Refused(Refusal::Deleted { deleted, offered: iat });
        }
        let Some(held) = self.version else { return Ordering::Newer };
        if iat > held.iat {
            return Ordering::Newer;
        }
        if iat < held.iat {
            return Ordering::Refused(Refusal::Older { held: held.iat, offered: iat });
        }
        if *identity == held.identity {
            return Ordering::Same;
        }
        let tie = self.ties.iter().find(|tie| tie.identity == *identity);
        match via {
            Via::Post | Via::Update | Via::EditedFile | Via::Configured if tie.is_some() => {
                Ordering::Refused(Refusal::Replaced)
            }
            Via::Post | Via::Update | Via::EditedFile | Via::Configured => Ordering::Newer,
            Via::Hint if tie.is_some() => Ordering::Refused(Refusal::Replaced),
            Via::Hint => Ordering::Refetch,
            Via::Pack | Via::FirstScan => Ordering::Refused(Refusal::Tie(iat)),
            Via::Feed | Via::Upstream => follow(held.at, tie, via, at),
        }
    }

    /// Takes over a version that [`Held::order`] found newer, the same or behind.
    pub fn put(&mut self, iat: i64, identity: Identity, at: Option<Position>) {
        match &mut self.version {
            Some(held) if held.iat == iat && held.identity == identity => {
                if at.is_some() {
                    held.at = at;
                }
            }
            held => {
                match held {
                    Some(held) if held.iat == iat => {
                        let replaced = Tie { identity: held.identity, at: held.at };
                        self.ties.retain(|tie| tie.identity != identity);
                        self.ties.push(replaced);
                    }
                    _ => self.ties.clear(),
                }
                *held = Some(Version { iat, identity, at });
            }
        }
    }

    /// Remembers a version that is [`Ordering::Behind`] the head at the same `iat`, so that it cannot come back later.
    pub fn note_behind(&mut self, identity: Identity, at: Option<Position>) {
        if self.ties.iter().all(|tie| tie.identity != identity) {
            self.ties.push(Tie { identity, at });
        }
    }

    /// Whether a delete request may delete this account: not if its JWT is newer than the request.
    pub fn order_delete(&self, account: &AccountKey, request: i64) -> Result<(), Refusal> {
        match self.version {
            Some(held) if held.iat > request && self.is_live() => {
                Err(Refusal::DeleteOlder { account: *account, held: held.iat, request })
            }
            _ => Ok(()),
        }
    }

    /// Takes over a deletion. Returns whether it is news: later than every one before.
    pub fn delete(&mut self, request: i64) -> bool {
        let news = self.deleted.is_none_or(|deleted| deleted < request);
        if news {
            self.deleted = Some(request);
        }
        news
    }
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
        // What is held was heard over NATS, and this may be what it replaced.
        (None, Some(_)) if via == Via::Feed => Ordering::Refetch,
        _ => Ordering::Newer,
    }
}
