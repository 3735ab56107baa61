//! The digest tree of a mirror, by which it finds out where it differs from its primary, and those behind it from it.
//!
//! It is kept while what is seen changes. What was seen before the start is added in the background.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::feed::Subject;
use crate::feed::digest::{Leaf, Prefix, Sum, Toggle, Tree};

/// The tree of what a replica has seen; none on a cache.
#[derive(Debug, Default)]
pub(in crate::replica) struct Sums {
    tree: Option<Mutex<Tree>>,
    is_whole: AtomicBool,
}

impl Sums {
    pub(in crate::replica) fn new(is_mirror: bool) -> Self {
        Self { tree: is_mirror.then(Mutex::default), is_whole: AtomicBool::new(false) }
    }

    /// Whether sums are kept.
    pub(in crate::replica) const fn are_kept(&self) -> bool {
        self.tree.is_some()
    }

    /// What stands for a key changed.
    pub(in crate::replica) fn change(&self, key: &Subject, before: Option<Leaf>, after: Option<Leaf>) {
        if let Some(tree) = &self.tree
            && before != after
        {
            tree.lock().toggle(&Toggle::between(key, before, after));
        }
    }

    /// Adds what was there before the first change, which makes the tree whole.
    pub(in crate::replica) fn begin_with(&self, earlier: &Tree) {
        if let Some(tree) = &self.tree {
            let mut tree = tree.lock();
            earlier.toggles().iter().for_each(|toggle| tree.toggle(toggle));
        }
        self.is_whole.store(true, Ordering::Release);
    }

    /// Whether all that was seen is in the tree.
    pub(in crate::replica) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
    }

    /// Something of what is in the tree is lost: it says nothing any more.
    pub(in crate::replica) fn break_off(&self) {
        self.is_whole.store(false, Ordering::Release);
    }

    /// The sum of a place, and the sums below it, as if what `besides` says stood as well. `None`: nothing is known.
    pub(in crate::replica) fn look(&self, prefix: Option<Prefix>, besides: &[Toggle]) -> Option<(Sum, Vec<(u8, Sum)>)> {
        if !self.is_whole() {
            return None;
        }
        let mut tree = self.tree.as_ref()?.lock();
        // The same again undoes it.
        besides.iter().for_each(|toggle| tree.toggle(toggle));
        let below = match prefix {
            None => tree.children(None),
            Some(Prefix::Node(node)) => tree.children(Some(node)),
            Some(Prefix::Bucket(_)) => Vec::new(),
        };
        let found = (tree.sum(prefix), below);
        besides.iter().for_each(|toggle| tree.toggle(toggle));
        Some(found)
    }
}
