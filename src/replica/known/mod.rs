//! What was seen of every key, apart from the copies that are served, and the digest tree of it.

mod memory;
mod shelf;
mod sums;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) use memory::{Memory, leaf};
pub(super) use shelf::Shelf;

use super::setup::Env;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState, Prefix, Sum, Toggle, Tree};
use crate::gate::{OperatorChain, Position, Tombstone};
use crate::key::{AccountKey, PublicKey};
use crate::store::StoreError;
use crate::store::snapshot::{Proof, ProofKind, Snapshot, Walk};
use sums::Sums;

/// What was seen of accounts, the proofs that a mirror keeps, and their digest tree.
#[derive(Debug)]
pub(super) struct Known {
    env: Env,
    snapshot: Arc<Snapshot>,
    /// What was seen of each account.
    pub(super) memory: Memory,
    /// Delete requests and activations that a mirror keeps.
    pub(super) shelf: Shelf,
    sums: Arc<Sums>,
    /// Whether what was seen before the start is still being counted.
    counting: AtomicBool,
}

impl Known {
    pub(super) fn new(env: &Env, snapshot: &Arc<Snapshot>) -> Self {
        let sums = Arc::new(Sums::new(env.is_mirror()));
        Self {
            env: env.clone(),
            snapshot: snapshot.clone(),
            memory: Memory::new(snapshot.clone(), sums.clone()),
            shelf: Shelf::new(snapshot.clone(), sums.clone()),
            sums,
            counting: AtomicBool::new(false),
        }
    }

    /// Whether the tree has everything that was seen.
    pub(super) fn is_whole(&self) -> bool {
        self.sums.is_whole()
    }

    /// Something of what was seen is lost: the tree says nothing any more.
    pub(super) fn break_off(&self) {
        self.sums.break_off();
    }

    /// The sum of a place of the tree, and the sums below it, as if what `besides` says were there as well. `None`: nothing is
    /// known.
    pub(super) fn look(&self, prefix: Option<Prefix>, besides: &[Toggle]) -> Option<(Sum, Vec<(u8, Sum)>)> {
        self.sums.look(prefix, besides)
    }

    pub(super) fn is_deleted(&self, key: &AccountKey) -> bool {
        self.memory.peek(key, |seen| seen.held.deleted().is_some() && !seen.is_live()).unwrap_or(false)
    }

    /// The key that signed an account's JWT, if it is known here to be withheld.
    pub(super) fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        let issuer =
            self.memory.peek(key, |seen| seen.newest().filter(|_| seen.is_live()).map(|newest| newest.issuer))??;
        (!self.env.gate.vouches(&issuer)).then_some(issuer)
    }

    /// Whether what was seen before the start is still being counted.
    pub(super) fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Acquire)
    }

    /// Begins to count what was seen before the start.
    pub(super) fn count(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.env.is_mirror() {
            return Ok(());
        }
        // The view is of now: what changes from now on is counted as it changes.
        let Some(walk) = self.snapshot.walk() else {
            self.sums.begin_with(&Tree::default());
            return Ok(());
        };
        self.counting.store(true, Ordering::Release);
        let known = self.clone();
        let counting = move || {
            match tree_of(&walk) {
                Ok(tree) if !known.snapshot.is_damaged() => known.sums.begin_with(&tree),
                Ok(_) => {}
                Err(error) => tracing::warn!("what was seen cannot be counted, and is compared one by one: {error}"),
            }
            known.counting.store(false, Ordering::Release);
        };
        let failed = StoreError::io("start a thread for", Path::new("digests"));
        std::thread::Builder::new().name("digests".into()).spawn(counting).map(drop).map_err(failed)
    }

    /// Keeps a delete request, which proves what it deleted.
    pub(super) fn keep_request(&self, tombstone: &Tombstone, at: Option<Position>) {
        let id = (ProofKind::Delete, *tombstone.identity());
        if self.env.is_mirror() && self.shelf.get(&id).is_none() {
            self.shelf.put(id, Proof { identity: *tombstone.identity(), body: tombstone.request().clone(), at });
        }
    }

    /// The leaves of everything under a prefix.
    pub(super) fn leaves(&self, prefix: Prefix) -> Vec<(Subject, Leaf)> {
        let mut leaves = BTreeMap::new();
        for (key, seen) in self.memory.under(prefix) {
            if let Some(leaf) = leaf(&key, &seen) {
                leaves.insert(Subject::Account(key), leaf);
            }
        }
        self.shelf.leaves(prefix, &mut leaves);
        leaves.extend(self.operator_leaf().filter(|(key, _)| prefix.contains(key)));
        leaves.into_iter().collect()
    }

    /// The operator JWTs in force.
    pub(super) fn operator_chain(&self) -> Option<Arc<OperatorChain>> {
        self.env.gate.standing().chain().cloned()
    }

    /// The operator's place in the tree.
    pub(super) fn operator_leaf(&self) -> Option<(Subject, Leaf)> {
        let trust = self.env.gate.trust()?;
        let key = Subject::Operator(*trust.identity());
        Some((key, Leaf::of(&key, &LeafState::Held(*trust.version()))))
    }

    /// What the operator adds to the sums.
    pub(super) fn operator_toggles(&self) -> Vec<Toggle> {
        self.operator_leaf().iter().map(|(key, leaf)| Toggle::between(key, None, Some(*leaf))).collect()
    }

    pub(super) fn leaf_of(&self, key: &Subject) -> Option<Leaf> {
        match key {
            Subject::Account(account) => self.memory.peek(account, |seen| leaf(account, seen))?,
            Subject::Operator(_) => self.operator_leaf().filter(|(own, _)| own == key).map(|(_, leaf)| leaf),
            Subject::Activation(id) => {
                let id = (ProofKind::Activation, *id.raw());
                let (_, leaf) = shelf::leaf_of(&id)?;
                self.shelf.get(&id).map(|proof| leaf(&proof))
            }
        }
    }
}

fn tree_of(walk: &Walk) -> rusqlite::Result<Tree> {
    let mut tree = Tree::default();
    walk.seen(|key, seen| {
        tree.toggle(&Toggle::between(&Subject::Account(key), None, leaf(&key, &seen)));
    })?;
    walk.proofs(ProofKind::Activation, |id, proof| {
        if let Some((key, leaf)) = shelf::leaf_of(&id) {
            tree.toggle(&Toggle::between(&key, None, Some(leaf(&proof))));
        }
    })?;
    Ok(tree)
}
