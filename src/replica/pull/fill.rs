//! What a mirror should hold and does not, fetched in the background.
//!
//! A mirror is a cache in which every account is wanted, and that knows the sums of what it has seen. It lets go of what does
//! not fit, as any cache, says so, and fetches that when it is asked for.

use std::sync::Arc;

use super::Pull;
use crate::key::AccountKey;

/// Accounts that are fetched at the same time because their JWT is missing.
const FILLING: usize = 16;

impl Pull {
    /// Fetches what a mirror should hold and does not, in the background.
    pub(in crate::replica) fn fill_soon(self: &Arc<Self>) {
        if self.env.is_mirror() {
            let pull = self.clone();
            self.env.runtime.spawn(async move { pull.fill().await });
        }
    }

    /// Fetches what a mirror should hold and does not: what was damaged on disk, or was withheld.
    pub(in crate::replica) async fn fill(self: &Arc<Self>) {
        let pull = self.clone();
        let missing = tokio::task::spawn_blocking(move || pull.missing()).await.unwrap_or_default();
        for keys in missing.chunks(FILLING) {
            if self.held.disk.is_full() {
                return;
            }
            let flights: Vec<_> = keys.iter().map(|key| self.flight(*key)).collect();
            // What it brings is taken in by itself.
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
            // Where what was heard is withheld, what upstream gave may be served.
            let is_vouched =
                seen.heard.iter().chain(seen.held.version()).any(|version| standing.vouches(&version.issuer));
            if is_served && is_vouched && !self.held.has_copy(&key) {
                missing.push(key);
            }
        });
        if let Err(error) = walked {
            tracing::warn!("cannot look for what is missing: {error}");
        }
        missing
    }
}
