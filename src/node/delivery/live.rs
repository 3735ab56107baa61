//! Which claims connected clients do not feel, by release.

use crate::jwt::Account;

/// The claims of a change that connected clients of a nats-server of this release do not feel.
pub fn not_live(_before: &Account, _after: &Account, _version: &str) -> Vec<&'static str> {
    Vec::new()
}
