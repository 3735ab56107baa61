//! What was seen of every key, apart from the cached copies, and its digest tree.

mod proofs;
mod sums;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) use proofs::Proofs;
pub(super) use versions::{KnownVersions, leaf};

use super::setup::Env;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState, Prefix, Toggle, Tree};
use crate::gate::{OperatorChain, Position, Tombstone};
use crate::key::{AccountKey, PublicKey};
use crate::store::StoreError;
use crate::store::snapshot::{Proof, ProofKind, Snapshot, Walk};
use sums::Sums;

/// The known versions of accounts, the proofs of a mirror, and their digest tree.
#[derive(Debug)]
pub(super) struct Known {
    env: Env,
    snapshot: Arc<Snapshot>,
    /// The versions that were seen of each account.
    pub(super) versions: KnownVersions,
    /// The delete requests and activations of a mirror.
    pub(super) proofs: Proofs,
    /// Their digest tree.
    pub(super) sums: Arc<Sums>,
    /// Whether the tree still lacks versions from before the start.
    counting: AtomicBool,
}

impl Known {
    pub(super) fn new(env: &Env, snapshot: &Arc<Snapshot>) -> Self {
        let sums = Arc::new(Sums::new(env.is_mirror()));
        Self {
            env: env.clone(),
            snapshot: snapshot.clone(),
            versions: KnownVersions::new(snapshot.clone(), sums.clone()),
            proofs: Proofs::new(snapshot.clone(), sums.clone()),
            sums,
            counting: AtomicBool::new(false),
        }
    }

    pub(super) fn is_deleted(&self, key: &AccountKey) -> bool {
        self.versions.peek(key, |seen| seen.held.deleted().is_some() && !seen.is_live()).unwrap_or(false)
    }

    /// The key that signed an account's JWT, if that is withheld.
    pub(super) fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        let issuer =
            self.versions.peek(key, |seen| seen.newest().filter(|_| seen.is_live()).map(|newest| newest.issuer))??;
        (!self.env.gate.vouches(&issuer)).then_some(issuer)
    }

    /// Whether the tree still lacks versions from before the start.
    pub(super) fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Acquire)
    }

    /// Starts to add versions from before the start to the tree.
    pub(super) fn count(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.env.is_mirror() {
            return Ok(());
        }
        // The walk has a fixed view. Later changes are added as they come.
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
                Err(error) => tracing::warn!("cannot build the digest tree, so comparisons list every key: {error}"),
            }
            known.counting.store(false, Ordering::Release);
        };
        let failed = StoreError::io("start a thread for", Path::new("digests"));
        std::thread::Builder::new().name("digests".into()).spawn(counting).map(drop).map_err(failed)
    }

    /// Stores a delete request, which proves its deletions.
    pub(super) fn store_request(&self, tombstone: &Tombstone, at: Option<Position>) {
        let id = (ProofKind::Delete, *tombstone.identity());
        if self.env.is_mirror() && self.proofs.get(&id).is_none() {
            let proof = Proof { identity: *tombstone.identity(), body: tombstone.request().clone(), at };
            self.proofs.set(id, Some(proof));
        }
    }

    /// The leaves of everything under a prefix.
    pub(super) fn leaves(&self, prefix: Prefix) -> Vec<(Subject, Leaf)> {
        let mut leaves = BTreeMap::new();
        for (key, seen) in self.versions.under(prefix) {
            if let Some(leaf) = leaf(&key, &seen) {
                leaves.insert(Subject::Account(key), leaf);
            }
        }
        self.proofs.leaves(prefix, &mut leaves);
        leaves.extend(self.operator_leaf().filter(|(key, _)| prefix.contains(key)));
        leaves.into_iter().collect()
    }

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
            Subject::Account(account) => self.versions.peek(account, |seen| leaf(account, seen))?,
            Subject::Operator(_) => self.operator_leaf().filter(|(own, _)| own == key).map(|(_, leaf)| leaf),
            Subject::Activation(id) => {
                let id = (ProofKind::Activation, *id.raw());
                let (_, leaf) = proofs::leaf_of(&id)?;
                self.proofs.get(&id).map(|proof| leaf(&proof))
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
        if let Some((key, leaf)) = proofs::leaf_of(&id) {
            tree.toggle(&Toggle::between(&key, None, Some(leaf(&proof))));
        }
    })?;
    Ok(tree)
}
