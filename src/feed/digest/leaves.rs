//! The leaves of a place, page by page.

use super::{Leaf, Short};
use crate::feed::{Head, Subject};

/// A leaf as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedLeaf {
    /// The key.
    pub key: Subject,
    /// The first 8 bytes of its leaf.
    pub leaf: Short,
}

impl ListedLeaf {
    /// The leaf of a key.
    pub const fn of(key: Subject, leaf: &Leaf) -> Self {
        Self { key, leaf: leaf.short() }
    }
}

/// A page of the leaves under a place of the tree.
#[derive(Debug, Clone)]
pub struct LeafPage {
    /// The position for which it holds.
    pub head: Head,
    /// The sum of the whole place.
    pub sum: Short,
    /// The leaves, ordered by kind and key.
    pub leaves: Vec<ListedLeaf>,
    /// The key after which the next page begins; `None`: this is the last one.
    pub next: Option<Subject>,
}
