//! The digest tree shows two servers where they differ, without a transfer of what they share.
//!
//! Every key with a current state has a [`Leaf`], a digest of the key and its state: a JWT, a deletion, or that it left
//! a read-only folder. The first two bytes of the key choose one of 65 536 buckets. A bucket's sum is the XOR of its
//! leaves, each of the 256 nodes above is the XOR of its buckets, and the root is the XOR of all. XOR is commutative,
//! so a change costs three sums, and two servers with the same changes have the same root.
//!
//! Specified in `docs/replication.md`. This module is independent of the store: [`Ask`] is the question of a
//! comparison, and [`Comparison`] its answer.

mod leaves;
mod prefix;

use std::collections::BTreeMap;
use std::fmt;

pub use leaves::{LeafPage, ListedLeaf};
pub use prefix::{Prefix, PrefixError};
use sha2::{Digest as _, Sha256};

use super::{Change, Head, Subject, SubjectKind};
use crate::gate::{Deletion, Held, Identity};
use crate::key::AccountKey;

/// Nodes above the buckets, one for each value of a key's first byte.
const NODES: usize = 1 << 8;
/// Bytes of a toggle: the bucket, big endian, and the digest to toggle in it.
const TOGGLE: usize = 2 + 32;

/// XOR of digests; 32 zero bytes if there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(pub [u8; 32]);

impl Sum {
    /// Adds a digest, or removes one that is included; both are the same operation.
    pub fn toggle(&mut self, digest: &[u8; 32]) {
        for (byte, other) in self.0.iter_mut().zip(digest) {
            *byte ^= other;
        }
    }

    /// As it is written in a comparison.
    pub const fn short(&self) -> Short {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        Short([a, b, c, d, e, f, g, h])
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 32]
    }
}

/// The first 8 bytes of a sum or a leaf, written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Short([u8; 8]);

impl Short {
    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Parses the hexadecimal form.
    pub fn parse(text: &str) -> Option<Self> {
        super::parse_hex(text).map(Self)
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

/// The current state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafState {
    /// It has this version of its JWT, even if withheld or expired.
    Held(Identity),
    /// It is deleted.
    Deleted(Deletion),
    /// It left the read-only folder that the primary serves, with this version.
    Left(Identity),
}

/// The digest of one key and its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf(pub [u8; 32]);

impl Leaf {
    /// SHA-256 of the byte of the kind, the 32 bytes of the key, and the state: `p` and the identity of a version; `d`,
    /// the `iat` of the deletion (8 bytes, big endian) and the 32 bytes of the key that signed it; or `r` and the
    /// identity of the version that left.
    pub fn of(key: &Subject, state: &LeafState) -> Self {
        let mut hash = Sha256::new();
        hash.update([key.kind().code()]);
        hash.update(key.raw());
        match state {
            LeafState::Held(identity) => {
                hash.update(b"p");
                hash.update(identity);
            }
            LeafState::Deleted(deletion) => {
                hash.update(b"d");
                hash.update(deletion.iat.to_be_bytes());
                hash.update(deletion.issuer.raw());
            }
            LeafState::Left(identity) => {
                hash.update(b"r");
                hash.update(identity);
            }
        }
        Self(hash.finalize().into())
    }

    /// The leaf of a key by its head. `removed`: it left a read-only folder.
    pub fn standing(key: &Subject, held: &Held, removed: bool) -> Option<Self> {
        let state = match (held.deleted(), held.identity()) {
            (Some(deletion), _) if !held.is_live() => LeafState::Deleted(*deletion),
            // An expired activation is forgotten, so it has no leaf.
            (_, Some(_)) if removed && key.kind() == SubjectKind::Activation => return None,
            (_, Some(identity)) if removed => LeafState::Left(*identity),
            (_, Some(identity)) => LeafState::Held(*identity),
            (_, None) => return None,
        };
        Some(Self::of(key, &state))
    }

    /// As it is written in a comparison.
    pub const fn short(&self) -> Short {
        Sum(self.0).short()
    }
}

/// The effect of a change on one bucket: removed and added leaves in one sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toggle {
    bucket: u16,
    sum: Sum,
}

impl Toggle {
    /// A key had one leaf, and now has another; `None`: no leaf.
    pub fn between(key: &Subject, before: Option<Leaf>, after: Option<Leaf>) -> Self {
        let mut sum = Sum::default();
        before.iter().chain(&after).for_each(|leaf| sum.toggle(&leaf.0));
        Self { bucket: key.bucket(), sum }
    }

    /// The bytes of some toggles, as they are kept: of each the bucket (2 bytes, big endian) and the sum.
    pub fn encode<'t>(toggles: impl IntoIterator<Item = &'t Self>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for toggle in toggles {
            bytes.extend_from_slice(&toggle.bucket.to_be_bytes());
            bytes.extend_from_slice(&toggle.sum.0);
        }
        bytes
    }

    /// Reads them back. `None`: these are no toggles.
    pub fn decode(bytes: &[u8]) -> Option<impl Iterator<Item = Self>> {
        let (toggles, rest) = bytes.as_chunks::<TOGGLE>();
        rest.is_empty().then(|| {
            toggles
                .iter()
                .map(|[high, low, sum @ ..]| Self { bucket: u16::from_be_bytes([*high, *low]), sum: Sum(*sum) })
        })
    }
}

/// All sums. Most places of a small tree are empty, and take no memory.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Sum,
    nodes: Vec<Node>,
}

/// The sums under one byte.
#[derive(Debug, Clone, Default)]
struct Node {
    sum: Sum,
    /// One for each byte, once one was toggled.
    buckets: Vec<Sum>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: Sum::default(), nodes: vec![Node::default(); NODES] }
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.toggles() == other.toggles()
    }
}

impl Tree {
    /// Applies a toggle. The same toggle again undoes it.
    pub fn toggle(&mut self, toggle: &Toggle) {
        let [node, bucket] = toggle.bucket.to_be_bytes();
        let node = &mut self.nodes[usize::from(node)];
        if node.buckets.is_empty() {
            node.buckets = vec![Sum::default(); NODES];
        }
        for sum in [&mut self.root, &mut node.sum, &mut node.buckets[usize::from(bucket)]] {
            sum.toggle(&toggle.sum.0);
        }
    }

    /// The sum of everything under a prefix, or of all.
    pub fn sum(&self, prefix: Option<Prefix>) -> Sum {
        match prefix {
            None => self.root,
            Some(Prefix::Node(node)) => self.nodes[usize::from(node)].sum,
            Some(Prefix::Bucket(bucket)) => {
                let [node, bucket] = bucket.to_be_bytes();
                self.nodes[usize::from(node)].buckets.get(usize::from(bucket)).copied().unwrap_or_default()
            }
        }
    }

    /// The sums of a node's buckets, or of all nodes, each by the byte that leads to it. Empty ones are left out.
    pub fn children(&self, node: Option<u8>) -> Vec<(u8, Sum)> {
        let filled = |(_, sum): &(u8, Sum)| !sum.is_empty();
        match node {
            None => (0..=u8::MAX).zip(self.nodes.iter().map(|node| node.sum)).filter(filled).collect(),
            Some(node) => self.nodes[usize::from(node)].filled().collect(),
        }
    }

    /// The toggles that make this tree from an empty one: one for each bucket that is not empty.
    pub fn toggles(&self) -> Vec<Toggle> {
        let nodes = (0..=u8::MAX).zip(&self.nodes);
        let toggle = |byte, (bucket, sum)| Toggle { bucket: u16::from_be_bytes([byte, bucket]), sum };
        nodes.flat_map(|(byte, node)| node.filled().map(move |place| toggle(byte, place))).collect()
    }
}

impl Node {
    /// The buckets that are not empty, each by the byte that leads to it.
    fn filled(&self) -> impl Iterator<Item = (u8, Sum)> {
        (0..=u8::MAX).zip(self.buckets.iter().copied()).filter(|(_, sum)| !sum.is_empty())
    }
}

/// One place of a tree, as of a position in the order of changes.
#[derive(Debug, Clone)]
pub struct View {
    /// The position.
    pub head: Head,
    /// The sum of the place.
    pub sum: Sum,
    /// The parts of the sum.
    pub below: ViewParts,
}

/// The children of a place in a tree.
#[derive(Debug, Clone)]
pub enum ViewParts {
    /// Other sums, each by the byte that leads to it. Empty ones are left out.
    Sums(Vec<(u8, Sum)>),
    /// The leaves of a bucket, in the order of kinds and keys.
    Leaves(Vec<(Subject, Leaf)>),
}

/// What a client has, to be compared with the server.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The keys and leaves that the client names.
    pub have: BTreeMap<Subject, Short>,
    /// Compare everything under this prefix; the client names all that it has there. `None`: compare only the named
    /// keys.
    pub prefix: Option<Prefix>,
    /// Go on after this key.
    pub after: Option<Subject>,
}

/// A piece of what a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The position for which it holds.
    pub head: Head,
    /// The differences, ordered by kind and key.
    pub differences: Vec<Difference>,
    /// The key after which the next piece begins; `None`: this was the last one.
    pub next: Option<Subject>,
}

/// A key whose state differs from the client's.
#[derive(Debug, Clone)]
pub enum Difference {
    /// The change that made the current state.
    Change(Change),
    /// The current delete request of these accounts, once for all of them.
    Deletion(Change, Vec<AccountKey>),
    /// The key has no state.
    Nothing(Subject),
}

#[cfg(test)]
mod tests;
