//! The digest tree of a mirror. It shows where the mirror differs from its primary, and its followers from the mirror.
//!
//! Each change updates it. Versions from before the start are added in the background.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::feed::Subject;
use crate::feed::digest::{Leaf, Prefix, Sum, Toggle, Tree};

/// The tree of what a replica has seen. A cache has none.
#[derive(Debug, Default)]
pub(in crate::replica) struct Sums {
    tree: Option<Mutex<Tree>>,
    is_whole: AtomicBool,
}

impl Sums {
    pub(in crate::replica) fn new(is_mirror: bool) -> Self {
        Self { tree: is_mirror.then(Mutex::default), is_whole: AtomicBool::new(false) }
    }

    pub(in crate::replica) const fn are_kept(&self) -> bool {
        self.tree.is_some()
    }

    /// Updates the leaf of a key.
    pub(in crate::replica) fn change(&self, key: &Subject, before: Option<Leaf>, after: Option<Leaf>) {
        if let Some(tree) = &self.tree
            && before != after
        {
            tree.lock().toggle(&Toggle::between(key, before, after));
        }
    }

    /// Adds what was there before the first change. Then the tree is complete.
    pub(in crate::replica) fn begin_with(&self, earlier: &Tree) {
        if let Some(tree) = &self.tree {
            let mut tree = tree.lock();
            earlier.toggles().iter().for_each(|toggle| tree.toggle(toggle));
        }
        self.is_whole.store(true, Ordering::Release);
    }

    pub(in crate::replica) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
    }

    /// Invalidates the tree, because something is lost.
    pub(in crate::replica) fn break_off(&self) {
        self.is_whole.store(false, Ordering::Release);
    }

    /// The sum of a place, and the sums below it, as if `besides` were in the tree. `None`: the tree is incomplete.
    pub(in crate::replica) fn look(&self, prefix: Option<Prefix>, besides: &[Toggle]) -> Option<(Sum, Vec<(u8, Sum)>)> {
        if !self.is_whole() {
            return None;
        }
        let mut tree = self.tree.as_ref()?.lock();
        // A second toggle undoes the first.
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
