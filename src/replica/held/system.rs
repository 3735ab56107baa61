//! The system account's JWT from the settings of a replica.
//!
//! nats-servers need it to start, so the replica serves it if the primary has none or is unreachable.

use std::sync::Arc;

use super::Held;
use crate::clock;
use crate::gate::{Ordering, Refusal, Via};
use crate::key::AccountKey;
use crate::replica::cached_copy::CachedCopy;

impl Held {
    /// Sets the configured JWT of the system account. The first one stays. Fails if the gate rejects it.
    pub(in crate::replica) fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        let entry = self.env.gate.admit(token, None, Via::Configured, clock::unix_seconds())?;
        // Every request asks the primary.
        let copy = CachedCopy::configured(Arc::new(entry));
        // Called once, at start.
        let _ = self.system.set(Arc::new(copy));
        Ok(())
    }

    /// Whether this account's JWT is configured.
    pub(in crate::replica) fn is_configured(&self, key: &AccountKey) -> bool {
        self.system.get().is_some_and(|copy| copy.entry().key() == key)
    }

    /// The configured JWT, if it is this account's, and no newer version is known.
    pub(in crate::replica) fn configured(&self, key: &AccountKey) -> Option<Arc<CachedCopy>> {
        let copy = self.system.get().filter(|copy| copy.entry().key() == key)?;
        let (version, standing) = (copy.entry().version(), self.env.gate.standing());
        let order = self.order(key).order(&version, Via::Configured, None, &standing);
        let is_newest = matches!(order, Ordering::Newer | Ordering::Same);
        (standing.vouches(copy.entry().issuer()) && is_newest).then(|| copy.clone())
    }
}
