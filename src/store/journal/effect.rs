//! What a write did to an account, for the caches of a replica.

use std::sync::Arc;

use crate::gate::{Entry, Position};
use crate::key::AccountKey;

/// What became of an account.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The account.
    pub key: AccountKey,
    /// What is served of it now.
    pub now: AccountNow,
    /// The id of the change with its JWT; 0: only the database knows.
    pub(super) row: i64,
}

/// What is served of an account.
#[derive(Debug, Clone)]
pub enum AccountNow {
    /// This JWT.
    Served(Arc<Entry>, Currency),
    /// What was served before.
    Unchanged(Currency),
    /// Nothing: it is deleted, or left a read-only folder.
    Gone,
    /// Only upstream has its current JWT.
    Elsewhere,
}

/// How current a stored JWT is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Currency {
    /// Its place in its primary's order, if that is known.
    pub at: Option<Position>,
    /// The order in which upstream was last known to hold it; 0: it is an overlay, or upstream may have something newer.
    pub era: u64,
    /// When it came, unix milliseconds.
    pub came: i64,
}
