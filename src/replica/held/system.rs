//! The system account's JWT that the configuration of a replica carries.
//!
//! nats-servers need it to start at all, so it is served where the primary has none, or cannot be asked.

use std::sync::Arc;

use super::Held;
use crate::clock;
use crate::gate::{Ordering, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;

impl Held {
    /// Takes the configured JWT of the system account. The first one stays.
    pub(in crate::replica) fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        let entry = self.env.gate.admit(token, None, Via::Configured, clock::unix_seconds())?;
        let copy = CachedCopy::new(Arc::new(entry), None, None, clock::uptime_millis());
        // The primary is asked every time.
        copy.mark_stale();
        // Called once, at start.
        let _ = self.system.set(Arc::new(copy));
        Ok(())
    }

    /// Whether this account's JWT is configured.
    pub(in crate::replica) fn is_configured(&self, key: &AccountKey) -> bool {
        self.system.get().is_some_and(|copy| copy.entry().key() == key)
    }

    /// The configured JWT, if it is this account's, and nothing was seen that it must not go back behind.
    pub(in crate::replica) fn configured(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        let copy = self.system.get().filter(|copy| copy.entry().key() == key)?;
        let (version, standing) = (copy.entry().version(), self.env.gate.standing());
        let is_newest = self.known.versions.peek(key, |seen| {
            matches!(seen.order(&version, Via::Configured, &standing), Ordering::Newer | Ordering::Same)
        });
        (standing.vouches(copy.entry().issuer()) && is_newest.unwrap_or(true)).then(|| copy.clone())
    }
}
