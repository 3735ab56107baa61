//! What a change takes away from users, so that it can be proven at each nats-server that it is gone.

use std::collections::BTreeMap;

use crate::jwt::Account;
use crate::jwt::claims::Revocations;

/// What an account's users lose by a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Public keys of users, or `*` for all, each with a time (Unix seconds): what was issued to them up to and
    /// including that time is revoked. Without what was revoked before.
    pub revoked: Revocations,
    /// The limit of connections, if it is lower now. It counts at each nats-server.
    pub connections: Option<i64>,
    /// Signing keys that are gone: what they signed is no longer accepted.
    pub signing_keys: Vec<String>,
    /// Signing keys with another scope. nats-servers close the connections of their users, who log in again under the
    /// new one.
    pub rescoped_keys: Vec<String>,
}

impl Withdrawn {
    /// What `after` takes away from what `before` granted.
    pub fn between(before: &Account, after: &Account) -> Self {
        let old: BTreeMap<_, _> = before.signing_keys.iter().collect();
        let new: BTreeMap<_, _> = after.signing_keys.iter().collect();
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        let rescoped = new.iter().filter(|(key, scope)| old.get(*key).is_some_and(|was| was != *scope));
        Self {
            revoked: revoked(before, after),
            connections: is_lowered(before.limits.conn, after.limits.conn).then_some(after.limits.conn),
            signing_keys: gone.map(|&key| key.to_owned()).collect(),
            rescoped_keys: rescoped.map(|(&key, _)| key.to_owned()).collect(),
        }
    }

    /// Whether nothing is taken away.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Revocations that go further than those before.
pub(super) fn revoked(before: &Account, after: &Account) -> Revocations {
    let already = |key: &str| ["*", key].iter().filter_map(|key| before.revocations.get(*key)).max();
    let further = after.revocations.iter().filter(|(key, until)| already(key) < Some(until));
    further.map(|(key, &until)| (key.clone(), until)).collect()
}

/// Whether the limit `after` grants less than `before`; -1 is unlimited.
pub(super) fn is_lowered(before: i64, after: i64) -> bool {
    let granted = |limit| if limit == -1 { i64::MAX } else { limit };
    granted(after) < granted(before)
}
