//! The proofs of a mirror: delete requests and activations.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::sums::Sums;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState, Prefix};
use crate::jwt::HashId;
use crate::store::snapshot::{Proof, ProofId, ProofKind, Snapshot};

/// Delete requests and activations: in the snapshot, and those that are not written yet.
#[derive(Debug)]
pub(in crate::replica) struct Proofs {
    snapshot: Arc<Snapshot>,
    sums: Arc<Sums>,
    unwritten: Mutex<HashMap<ProofId, Option<Proof>>>,
}

impl Proofs {
    pub(in crate::replica) fn new(snapshot: Arc<Snapshot>, sums: Arc<Sums>) -> Self {
        Self { snapshot, sums, unwritten: Mutex::default() }
    }

    pub(in crate::replica) fn get(&self, id: &ProofId) -> Option<Proof> {
        let unwritten = self.unwritten.lock().get(id).cloned();
        unwritten.unwrap_or_else(|| self.snapshot.proof(id))
    }

    /// Stores or removes a proof, on a mirror.
    pub(in crate::replica) fn set(&self, id: ProofId, proof: Option<Proof>) {
        if !self.sums.are_kept() {
            return;
        }
        let mut unwritten = self.unwritten.lock();
        let before = unwritten.get(&id).cloned().unwrap_or_else(|| self.snapshot.proof(&id));
        if before.is_none() && proof.is_none() {
            // Anyone can name a key that does not exist.
            return;
        }
        if let Some((key, leaf)) = leaf_of(&id) {
            self.sums.change(&key, before.as_ref().map(&leaf), proof.as_ref().map(&leaf));
        }
        unwritten.insert(id, proof);
    }

    /// The leaves of the activations under a prefix.
    pub(in crate::replica) fn leaves(&self, prefix: Prefix, leaves: &mut BTreeMap<Subject, Leaf>) {
        // The snapshot first: what is written between the two reads is in both.
        for (id, proof) in self.snapshot.proofs_under(ProofKind::Activation, prefix) {
            if let Some((key, leaf)) = leaf_of(&id) {
                leaves.insert(key, leaf(&proof));
            }
        }
        for (id, proof) in &*self.unwritten.lock() {
            let Some((key, leaf)) = leaf_of(id).filter(|(key, _)| prefix.contains(key)) else { continue };
            match proof {
                Some(proof) => leaves.insert(key, leaf(proof)),
                None => leaves.remove(&key),
            };
        }
    }

    /// What must be written. It stays here until [`Proofs::is_written`].
    pub(in crate::replica) fn unwritten_now(&self) -> Vec<(ProofId, Option<Proof>)> {
        self.unwritten.lock().iter().map(|(id, proof)| (*id, proof.clone())).collect()
    }

    /// Drops what was written, unless it has changed since.
    pub(in crate::replica) fn is_written(&self, written: &[(ProofId, Option<Proof>)]) {
        let mut unwritten = self.unwritten.lock();
        for (id, proof) in written {
            if unwritten.get(id) == Some(proof) {
                unwritten.remove(id);
            }
        }
    }
}

/// The place of an activation in the tree, and the way to its leaf. A delete request has none, but its accounts have.
pub(in crate::replica) fn leaf_of(id: &ProofId) -> Option<(Subject, impl Fn(&Proof) -> Leaf + use<>)> {
    let (ProofKind::Activation, raw) = id else { return None };
    let key = Subject::Activation(HashId::from_raw(*raw));
    Some((key, move |proof: &Proof| Leaf::of(&key, &LeafState::Held(proof.identity))))
}
