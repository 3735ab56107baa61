//! Who may do what, at start.

use std::sync::Arc;

use super::error::StartError;
use crate::access::{AccessControl, Policy};
use crate::config::Settings;

/// Access as the settings say. The log says what anybody may do.
pub(super) fn of(settings: &Settings) -> Result<Arc<AccessControl>, StartError> {
    let policy = Policy::of(&settings.access).map_err(|error| StartError::Other(error.to_string()))?;
    tell(&policy);
    Ok(Arc::new(AccessControl::new(policy)))
}

/// Logs what anybody may do, who shows nothing.
pub(super) fn tell(policy: &Policy) {
    let anonymous = policy.anonymous();
    if anonymous.is_empty() {
        tracing::info!("access: clients without credentials may do nothing but ask whether this server lives");
    } else {
        tracing::info!("access: every client may, without credentials: {anonymous}");
    }
}
