//! The digest tree, and comparisons with it, as followers ask for them.
//!
//! Like the lists ([`super::listing`]), they are of a server that knows all there is, a primary or a mirror: what others leave
//! out would be taken for absent.

use super::Node;
use crate::feed::digest::{Ask, Comparison, Prefix, View};
use crate::store::StoreError;

/// What a server can say of its digests.
#[derive(Debug, Clone)]
pub enum Digested<T> {
    /// This.
    Known(T),
    /// Nothing yet: it still takes in what its folder holds.
    Incomplete,
    /// Nothing: it does not hold everything.
    Unknown,
}

impl Node {
    /// A place of the digest tree, its root without a prefix.
    pub async fn digests(&self, prefix: Option<Prefix>) -> Result<Digested<View>, StoreError> {
        self.backend.digests(prefix).await
    }

    /// A piece of what is stored here and differs from what the asker holds.
    pub async fn compare(&self, ask: Ask) -> Result<Digested<Comparison>, StoreError> {
        self.backend.compare(ask).await
    }
}
