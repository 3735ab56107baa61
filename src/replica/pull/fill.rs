//! Fetches what a mirror should hold and does not, in the background.
//!
//! A mirror is a cache that wants every account, and has a digest tree. Like a cache, it evicts what does not fit. It
//! reports that, and fetches evicted JWTs on demand.

use std::sync::Arc;

use super::Pull;
use crate::key::AccountKey;

/// The number of requests under way.
const FILLING: usize = 16;

impl Pull {
    /// Fetches the missing JWTs of a mirror, in the background.
    pub(in crate::replica) fn fill_soon(self: &Arc<Self>) {
        if self.env.is_mirror() {
            let pull = self.clone();
            self.env.runtime.spawn(async move { pull.fill().await });
        }
    }

    /// Fetches the missing JWTs of a mirror: those that were damaged on disk, or withheld.
    pub(in crate::replica) async fn fill(self: &Arc<Self>) {
        let pull = self.clone();
        let missing = tokio::task::spawn_blocking(move || pull.missing()).await.unwrap_or_default();
        for keys in missing.chunks(FILLING) {
            if self.held.disk.is_full() {
                return;
            }
            let flights: Vec<_> = keys.iter().map(|key| self.flight(*key)).collect();
            // Each request applies its own answer.
            let _ = futures_util::future::join_all(flights).await;
        }
    }

    fn missing(&self) -> Vec<AccountKey> {
        let mut missing = Vec::new();
        if self.held.disk.is_full() || !self.held.disk.is_warm() {
            return missing;
        }
        let standing = self.env.gate.standing();
        let Some(walk) = self.held.disk.snapshot().walk() else { return missing };
        let walked = walk.seen(|key, seen| {
            let is_served = seen.is_served() && !seen.ahead;
            // If the hint is withheld, the version of upstream may be served.
            let is_vouched =
                seen.heard.iter().chain(seen.held.version()).any(|version| standing.vouches(&version.issuer));
            if is_served && is_vouched && !self.held.has_copy(&key) {
                missing.push(key);
            }
        });
        if let Err(error) = walked {
            tracing::warn!("cannot search the snapshot for missing JWTs: {error}");
        }
        missing
    }
}
