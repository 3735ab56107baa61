//! Accounts as nats-servers ask for them over NATS: an answer that is sure, or none.

use bytes::Bytes;

use super::{LookupNow, Node};
use crate::key::AccountKey;

impl Node {
    /// The JWT of an account, if that can be told without waiting. One that has expired is none.
    pub fn lookup_now(&self, key: &AccountKey) -> LookupNow {
        self.backend.lookup_now(key)
    }

    /// The JWT of an account. `None`: there is none, or it cannot be told for certain. A replica asks its primary, and
    /// answers only with what its feed confirms.
    pub async fn lookup(&self, key: &AccountKey) -> Option<Bytes> {
        self.backend.lookup(key).await
    }
}
