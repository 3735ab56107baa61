//! Accounts as nats-servers ask for them over NATS: an answer that is sure, or none.

use bytes::Bytes;

use super::{Answer, Node, Role};
use crate::clock;
use crate::gate::Entry;
use crate::key::AccountKey;
use crate::primary::{Lookup, Primary};

/// What can be said at once.
#[derive(Debug)]
pub enum Found {
    /// This JWT.
    Served(Bytes),
    /// There is none that may be served.
    Absent,
    /// [`Node::lookup`] finds out.
    Unsure,
}

impl Node {
    /// The JWT of an account, as far as it can be told without waiting. One that has expired is none.
    pub fn lookup_now(&self, key: &AccountKey) -> Found {
        match self.role() {
            Role::Primary(primary) => match primary.cached(key) {
                Some(stored) => served(&stored.entry),
                None => owned(primary, key),
            },
            Role::Replica(replica) => match replica.confirmed(key) {
                Some(slot) => served(slot.entry()),
                None if replica.may_find(key) => Found::Unsure,
                None => Found::Absent,
            },
        }
    }

    /// The JWT of an account. `None`: there is none, or nobody can say for certain. A replica asks its primary, and
    /// answers only with what its feed confirms.
    pub async fn lookup(&self, key: &AccountKey) -> Option<Bytes> {
        let found = self.get(key).await;
        let entry = match (self.role(), found) {
            (Role::Primary(_), Ok(Some(Answer::Owned(stored, _)))) => stored.entry.clone(),
            (Role::Replica(replica), Ok(_)) => replica.confirmed(key)?.entry().clone(),
            _ => return None,
        };
        (!entry.is_expired(clock::unix_seconds())).then(|| entry.token().clone())
    }
}

fn owned(primary: &Primary, key: &AccountKey) -> Found {
    match primary.lookup_now(key) {
        Some(Lookup::Served(stored)) => served(&stored.entry),
        Some(Lookup::Withheld(_) | Lookup::Absent) => Found::Absent,
        None => Found::Unsure,
    }
}

fn served(entry: &Entry) -> Found {
    if entry.is_expired(clock::unix_seconds()) { Found::Absent } else { Found::Served(entry.token().clone()) }
}
