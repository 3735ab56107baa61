//! A replica that keeps everything, as far as there is room.
//!
//! It is a cache in which every account is wanted, and that knows the sums of what it has seen. What does not fit is let
//! go of as in any cache, which is said, and fetched when it is asked for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Replica;
use crate::clock;
use crate::config::ReplicaMode;
use crate::feed::digest::{Key, Toggle, Tree};
use crate::feed::wire::Item;
use crate::gate::{ActivationRefusal, Position, Refusal, SentFor, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::snapshot::{Proof, ProofKind, Seen, Walk};

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is kept, and was not before.
    Here,
    /// It is not kept.
    Not,
    /// It is not kept, because its account is not known here, or not yet.
    Orphan(HashId),
}

/// Accounts that are fetched at the same time because their JWT is missing.
const FILLING: usize = 16;

impl Replica {
    /// Whether everything is to be kept.
    pub fn is_mirror(&self) -> bool {
        self.setup.mode == ReplicaMode::Mirror
    }

    /// Whether something had to be let go of for want of room.
    pub fn is_full(&self) -> bool {
        self.keeping.is_full()
    }

    /// Accounts that are newer here than at the primary.
    pub fn ahead(&self) -> i64 {
        self.memory.ahead()
    }

    /// Whether what was seen before the start is still being counted.
    pub(super) fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Acquire)
    }

    /// Begins to count what was seen before the start.
    pub(super) fn count(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.is_mirror() {
            return Ok(());
        }
        // The view is of now: what changes from now on is counted as it changes.
        let Some(walk) = self.keeping.snapshot().walk() else {
            self.sums.begin_with(&Tree::default());
            return Ok(());
        };
        self.counting.store(true, Ordering::Release);
        let replica = self.clone();
        let counting = move || {
            match tree_of(&walk) {
                Ok(tree) if !replica.keeping.snapshot().is_damaged() => replica.sums.begin_with(&tree),
                Ok(_) => {}
                Err(error) => tracing::warn!("what was seen cannot be counted, and is compared one by one: {error}"),
            }
            replica.counting.store(false, Ordering::Release);
        };
        std::thread::Builder::new()
            .name("digests".into())
            .spawn(counting)
            .map(drop)
            .map_err(StoreError::io("start a thread for", Path::new("digests")))
    }

    /// Something of what was seen is lost.
    pub(super) fn lost_something(self: &Arc<Self>) {
        if self.is_mirror() {
            self.sums.break_off();
            if let Some(position) = self.keeping.stand().position {
                let stretch = self.keeping.stand().stretch;
                self.begin_resync(position, stretch);
            }
        }
    }

    /// Keeps a delete request, which proves what it deleted.
    pub(super) fn keep_request(&self, tombstone: &Tombstone, at: Option<Position>) {
        let id = (ProofKind::Delete, *tombstone.identity());
        if self.is_mirror() && self.shelf.get(&id).is_none() {
            self.shelf.put(id, Proof { identity: *tombstone.identity(), body: tombstone.request().clone(), at });
        }
    }

    /// Takes in what the primary says of an activation. Whether it is vouched for is judged when it is asked for; but a mirror
    /// keeps it only if its account is known here, because anybody can make an account and sign any number of them.
    pub(super) fn take_activation(&self, item: &Item, at: Position) -> Kept {
        let Some(id) = item.key.as_deref().and_then(HashId::parse) else { return Kept::Not };
        self.activations.forget(&id);
        if !self.is_mirror() {
            return Kept::Not;
        }
        let place = (ProofKind::Activation, *id.raw());
        let Some(jwt) = &item.jwt else {
            // Replaced ones are told without their text; their successor follows.
            if item.op == "remove" {
                self.shelf.remove(place);
            }
            return Kept::Not;
        };
        let read = |body: &[u8]| self.gate.read_activation(body, SentFor::id(&id), Via::Feed, clock::unix_seconds());
        let refused = |refusal: &Refusal| {
            self.metrics.refused(Via::Feed, refusal);
            if let Some(held_back) = self.refusals.turn(std::time::Instant::now()) {
                tracing::warn!("the primary's activation {id} is rejected: {refusal}{held_back}");
            }
        };
        match read(jwt.as_bytes()) {
            Ok(unproven) if !self.memory.peek(unproven.account(), Seen::is_known).unwrap_or(false) => {
                refused(&ActivationRefusal::UnknownAccount(*unproven.account()).into());
                Kept::Orphan(id)
            }
            Ok(unproven) => {
                let version = unproven.version();
                let held = self.shelf.get(&place).and_then(|held| Some(read(&held.body).ok()?.version()));
                if held.as_ref().is_some_and(|held| held.iat > version.iat || held.identity == version.identity) {
                    return Kept::Not;
                }
                let body = jwt.clone().into_bytes().into();
                self.shelf.put(place, Proof { identity: version.identity, body, at: Some(at) });
                Kept::Here
            }
            Err(refusal) => {
                refused(&refusal);
                Kept::Not
            }
        }
    }

    /// Fetches what a mirror should hold and does not, in the background.
    pub(super) fn fill_soon(self: &Arc<Self>) {
        if self.is_mirror() {
            let replica = self.clone();
            self.runtime.spawn(async move { replica.fill().await });
        }
    }

    /// Fetches what a mirror should hold and does not: what was damaged on disk, or was withheld.
    pub(super) async fn fill(self: &Arc<Self>) {
        let replica = self.clone();
        let missing = tokio::task::spawn_blocking(move || replica.missing()).await.unwrap_or_default();
        for keys in missing.chunks(FILLING) {
            if self.is_full() {
                return;
            }
            let flights: Vec<_> = keys.iter().map(|key| self.flight(*key)).collect();
            // What it brings is taken in by itself.
            let _ = futures_util::future::join_all(flights).await;
        }
    }

    fn missing(&self) -> Vec<AccountKey> {
        let mut missing = Vec::new();
        if self.is_full() || !self.keeping.is_warm() {
            return missing;
        }
        let standing = self.gate.standing();
        let Some(walk) = self.keeping.snapshot().walk() else { return missing };
        let walked = walk.seen(|key, seen| {
            let is_served = seen.is_served() && !seen.ahead;
            // Where what was heard is withheld, what upstream gave may be served.
            let is_vouched =
                seen.heard.iter().chain(seen.held.version()).any(|version| standing.vouches(&version.issuer));
            if is_served && is_vouched && !self.cache.contains_key(&key) {
                missing.push(key);
            }
        });
        if let Err(error) = walked {
            tracing::warn!("cannot look for what is missing: {error}");
        }
        missing
    }
}

fn tree_of(walk: &Walk) -> rusqlite::Result<Tree> {
    let mut tree = Tree::default();
    walk.seen(|key, seen| {
        tree.toggle(&Toggle::between(&Key::account(&key), None, super::memory::leaf(&key, &seen)));
    })?;
    walk.proofs(ProofKind::Activation, |id, proof| {
        if let Some((key, leaf)) = super::shelf::leaf_of(&id) {
            tree.toggle(&Toggle::between(&key, None, Some(leaf(&proof))));
        }
    })?;
    Ok(tree)
}
