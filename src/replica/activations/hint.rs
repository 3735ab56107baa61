//! Activations that a replica hears of over NATS.
//!
//! Each carries its own proof, and yet little is believed: that it is newer than a copy at hand, not that it is the
//! newest. And it makes nobody ask the primary for an activation: that is for who wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::{Activations, Cached};
use crate::clock;
use crate::gate::{Judged, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::replica::Replica;

impl Activations {
    /// Whether something is remembered of an activation, or will be when an answer has come.
    fn is_wanted(&self, id: &HashId) -> bool {
        self.cache.contains_key(id) || self.unknown.contains(id) || *self.lane(id).asked() == Some(*id)
    }
}

impl Cached {
    /// There is something newer: the primary is asked at the next request.
    fn doubt(&self) {
        self.stretch.store(0, Ordering::Release);
        self.checked.store(0, Ordering::Release);
    }
}

impl Replica {
    /// Takes in an activation that was heard over NATS. Returns whether it is now the copy at hand.
    ///
    /// What is newer than a copy takes its place, if the account vouches for it, and the primary is asked about it no
    /// later than it would have been about the copy. Without a copy, who asks next is answered by the primary.
    pub async fn hint_activation(self: &Arc<Self>, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        let unproven = self.gate.read_activation(token, sent_for, Via::Hint, clock::unix_seconds())?;
        let (id, version) = (*unproven.id(), unproven.version());
        if !self.activations.is_wanted(&id) {
            return Ok(false);
        }
        let Some(copy) = self.activations.cache.get(&id) else {
            // Known to be unknown, or an answer is under way that may be of before.
            self.activations.forget(&id);
            return Ok(false);
        };
        let held = copy.judged.activation().version();
        if version.identity == held.identity {
            return Ok(false);
        }
        if version.iat < held.iat {
            return Err(Refusal::Older { held: held.iat, offered: version.iat });
        }
        let Ok(proven) = self.prove(unproven).await else {
            // Its account has left the cache, and the primary cannot be asked for it.
            copy.doubt();
            return Ok(false);
        };
        let judged = Arc::new(Judged::new(Arc::new(proven?)));
        let checked = copy.checked.load(Ordering::Acquire);
        let heard = self.activations.heard.fetch_add(1, Ordering::SeqCst) + 1;
        copy.doubt();
        // Of two of the same second only the primary knows which came later.
        if version.iat == held.iat {
            return Ok(false);
        }
        let (stretch, checked) = (AtomicU64::new(0), AtomicI64::new(checked));
        self.keep_activation(&id, Arc::new(Cached { judged, stretch, checked }), heard);
        Ok(true)
    }
}
