//! What was seen of each account, apart from the cache.
//!
//! An evicted JWT, or one that was never wanted here, still says what the account must not go back behind. About 200
//! bytes per account ever heard of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::gate::Held;
use crate::key::AccountKey;

const SHARDS: usize = 64;

/// The newest version and deletion seen of every account.
#[derive(Debug)]
pub(super) struct Memory([Mutex<HashMap<AccountKey, Held>>; SHARDS]);

impl Default for Memory {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Memory {
    /// Looks at, or changes, what is known of one account. Nobody else does meanwhile.
    pub(super) fn with<T>(&self, key: &AccountKey, act: impl FnOnce(&mut Held) -> T) -> T {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        act(shard.entry(*key).or_default())
    }

    /// Looks at what is known of one account. `None`: it was never heard of, and nothing is remembered for having asked.
    pub(super) fn peek<T>(&self, key: &AccountKey, look: impl FnOnce(&Held) -> T) -> Option<T> {
        self.shard(key).lock().unwrap_or_else(PoisonError::into_inner).get(key).map(look)
    }

    fn shard(&self, key: &AccountKey) -> &Mutex<HashMap<AccountKey, Held>> {
        &self.0[usize::from(key.raw()[31]) % SHARDS]
    }
}
