//! The digests of a mirror, for replicas that follow it.
//!
//! A mirror answers only if it holds everything: it follows its primary, was compared with it, and its cache has room.
//! The primary answers all other questions.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use super::held::Held;
use crate::feed::digest::{Ask, Comparison, Difference, Leaf, Prefix, Sum, View, ViewParts};
use crate::feed::{Change, Content, Head, Link as _, Subject};
use crate::gate::{Activation, Position, Tombstone, Via};
use crate::key::AccountKey;
use crate::store::snapshot::{ProofKind, Seen};

/// The text after which a piece ends, in bytes.
const TEXT: usize = 1 << 20;
/// The size of a difference without its text, in bytes, about.
const AROUND: usize = 300;

/// A place of the digest tree. `None`: only the primary can answer. Blocks for queries.
pub(super) fn view(held: &Held, prefix: Option<Prefix>) -> Option<View> {
    let head = held.knows_all()?;
    if let Some(prefix @ Prefix::Bucket(_)) = prefix {
        let leaves = held.known.leaves(prefix);
        let mut sum = Sum::default();
        leaves.iter().for_each(|(_, leaf)| sum.toggle(&leaf.0));
        return Some(View { head, sum, below: ViewParts::Leaves(leaves) });
    }
    let (sum, below) = held.known.sums.look(prefix, &held.known.operator_toggles())?;
    Some(View { head, sum, below: ViewParts::Sums(below) })
}

/// A piece of what differs here from what is asked about. `None`: only the primary can answer. Blocks for queries.
pub(super) fn compare(held: &Held, ask: &Ask) -> Option<Comparison> {
    // The answer is as of this position, or later.
    let head = held.knows_all()?;
    let after = ask.after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut theirs: Vec<(Subject, Option<Leaf>)> = Vec::new();
    match ask.prefix {
        None => {
            theirs.extend(ask.have.range((after, Bound::Unbounded)).map(|(key, _)| (*key, held.known.leaf_of(key))));
        }
        Some(prefix) => {
            let mine = held.known.leaves(prefix);
            let known: HashSet<Subject> = mine.iter().map(|(key, _)| *key).collect();
            theirs.extend(mine.into_iter().map(|(key, leaf)| (key, Some(leaf))));
            theirs.extend(ask.have.keys().filter(|key| !known.contains(key)).map(|key| (*key, None)));
            theirs.retain(|(key, _)| ask.after.is_none_or(|after| *key > after));
            theirs.sort_unstable_by_key(|(key, _)| *key);
        }
    }
    let mut piece = DigestPiece { held, head, found: Vec::new(), told: HashSet::new(), text: 0 };
    for (key, mine) in theirs {
        piece.compare(&key, mine, ask)?;
        if piece.text >= TEXT {
            return Some(Comparison { head, differences: piece.found, next: Some(key) });
        }
    }
    Some(Comparison { head, differences: piece.found, next: None })
}

struct DigestPiece<'h> {
    held: &'h Held,
    head: Head,
    found: Vec<Difference>,
    /// The delete requests in it. Each is included once.
    told: HashSet<[u8; 32]>,
    text: usize,
}

impl DigestPiece<'_> {
    /// `None`: something differs whose text is not here.
    fn compare(&mut self, key: &Subject, mine: Option<Leaf>, ask: &Ask) -> Option<()> {
        let theirs = ask.have.get(key);
        let Some(leaf) = mine else {
            if theirs.is_some() {
                self.text += AROUND;
                self.found.push(Difference::Nothing(*key));
            }
            return Some(());
        };
        if theirs == Some(&leaf.short()) {
            return Some(());
        }
        let (content, at) = match key {
            Subject::Account(account) => match self.account(account)? {
                (Content::Delete(tombstone), _) if !self.told.insert(*tombstone.identity()) => return Some(()),
                found => found,
            },
            Subject::Operator(_) => (Content::Operator(self.held.known.operator_chain()?), None),
            Subject::Activation(id) => {
                let proof = self.held.known.proofs.get(&(ProofKind::Activation, *id.raw()))?;
                let digest = <[u8; 32] as From<_>>::from(<sha2::Sha256 as sha2::Digest>::digest(&proof.body));
                (Content::Activation(Arc::new(Activation::reopen(&proof.body, &digest)?)), proof.at)
            }
        };
        // The position of a commit is of use only in the history that is followed.
        let serial = at.filter(|at| at.session == self.head.session.0).map_or(self.head.serial, |at| at.serial);
        let change = Change { serial, chain: self.head.chain, at: 0, via: Via::Feed, content };
        self.text += AROUND + change.weight();
        let deleted = match &change.content {
            Content::Delete(tombstone) => Some(self.deleted_by(tombstone)),
            _ => None,
        };
        self.found.push(match deleted {
            Some(stands) => Difference::Deletion(change, stands),
            None => Difference::Change(change),
        });
        Some(())
    }

    /// The accounts that a request keeps deleted.
    fn deleted_by(&self, tombstone: &Tombstone) -> Vec<AccountKey> {
        let stands = |seen: &Seen| !seen.is_live() && seen.deleted_by == Some(*tombstone.identity());
        let keys = tombstone.keys().iter();
        keys.filter(|key| self.held.known.versions.peek(key, stands).unwrap_or(false)).copied().collect()
    }

    fn account(&self, key: &AccountKey) -> Option<(Content, Option<Position>)> {
        let held = self.held;
        let (is_live, removed, deleted_by) =
            held.known.versions.peek(key, |seen| (seen.is_live(), seen.removed, seen.deleted_by))?;
        if removed {
            return None;
        }
        if is_live {
            let copy = held.at_hand(key)?;
            return Some((Content::Put(copy.entry().clone()), copy.position()));
        }
        let proof = held.known.proofs.get(&(ProofKind::Delete, deleted_by?))?;
        Some((Content::Delete(Arc::new(Tombstone::reopen(proof.body)?)), proof.at))
    }
}
