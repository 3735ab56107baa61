//! What a node has shown of an account, which it must not go back behind.

use std::collections::HashSet;

use super::ledger::World;

/// What was seen of one account at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The JWT that was served last, and its time of issue.
    version: Option<(usize, i64)>,
    /// The earliest time of issue that may be served from now on.
    pub(super) at_least: i64,
    /// Whether the account was found deleted, or may be.
    gone: bool,
    /// What was served and then replaced.
    replaced: HashSet<usize>,
}

impl Seen {
    /// Whether the node has to answer with a JWT, unless it hears of a deletion.
    pub(super) const fn is_known(&self) -> bool {
        self.version.is_some() && !self.gone
    }

    /// The earliest deletion that was asked for and covers what was served last.
    pub(super) fn deletion(&self, world: &World, subject: usize) -> Option<i64> {
        self.version.and_then(|(_, iat)| world.ledger().deletion_of(subject, iat))
    }

    /// A JWT was served to who asked when `before` was what had been seen. Returns what is wrong with that.
    pub(super) fn served(&mut self, world: &World, before: &Self, number: usize) -> Option<String> {
        let iat = world.ledger().minted(number).iat;
        if iat < before.at_least {
            return Some(format!("JWT {number} of {iat} is served after {before:?}"));
        }
        if before.replaced.contains(&number) {
            return Some(format!("JWT {number} of {iat} is served, which was replaced before: {before:?}"));
        }
        // Of two answers that were under way at the same time nobody knows which is the later one.
        if self == before || iat > self.at_least {
            if let Some((old, _)) = self.version.filter(|(old, at)| *old != number && *at == iat) {
                self.replaced.insert(old);
            }
            (self.version, self.gone) = (Some((number, iat)), false);
        }
        self.at_least = self.at_least.max(iat);
        None
    }

    /// The account was said not to be there. Returns what is wrong with that.
    pub(super) fn absent(&mut self, world: &World, subject: usize, before: &Self) -> Option<String> {
        if !before.is_known() {
            return None;
        }
        let Some(deletion) = before.deletion(world, subject) else {
            return Some(format!("404, and nobody has deleted it since {before:?}"));
        };
        if self == before {
            self.buried(deletion);
        }
        None
    }

    /// The log of the primary has this version.
    pub(super) fn ordered(&mut self, number: usize, iat: i64) {
        if iat < self.at_least {
            return;
        }
        if let Some((old, _)) = self.version.filter(|(old, at)| *old != number && *at == iat) {
            self.replaced.insert(old);
        }
        (self.version, self.gone, self.at_least) = (Some((number, iat)), false, iat);
    }

    /// One store has what both say. Of two versions of one second, the one that replaced the other counts.
    pub(super) fn and(mut self, other: &Self) -> Self {
        let is_other = match (self.version, other.version) {
            (_, None) => false,
            (None, _) => true,
            (Some((mine, iat)), Some((theirs, at))) => {
                at > iat || at == iat && mine != theirs && other.replaced.contains(&mine)
            }
        };
        if is_other {
            (self.version, self.gone) = (other.version, other.gone);
        } else if self.version == other.version {
            self.gone |= other.gone;
        }
        self.replaced.extend(&other.replaced);
        self.at_least = self.at_least.max(other.at_least);
        self.gone |= self.version.is_some_and(|(_, iat)| iat < self.at_least);
        self
    }

    /// The account may have been deleted.
    pub(super) const fn doubt(&mut self) {
        self.gone = true;
    }

    /// The account was deleted.
    pub(super) fn buried(&mut self, deletion: i64) {
        self.gone |= self.version.is_some_and(|(_, iat)| deletion >= iat);
        self.at_least = self.at_least.max(deletion + 1);
    }
}
