//! The digest tree, and comparisons with it, as followers ask for them.
//!
//! Like the lists ([`super::listing`]), they are of a server that knows all there is: what others leave out would be taken
//! for absent.

use super::{Node, Role};
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
        let view = self.list(move |primary| primary.journal().digests(prefix)).await?;
        Ok(self.digested(view))
    }

    /// A piece of what stands here and differs from what somebody holds.
    pub async fn compare(&self, ask: Ask) -> Result<Digested<Comparison>, StoreError> {
        let comparison = self.list(move |primary| primary.journal().compare(&ask)).await?;
        Ok(self.digested(comparison))
    }

    fn digested<T>(&self, found: Option<T>) -> Digested<T> {
        match (found, self.role()) {
            (Some(found), _) => Digested::Known(found),
            (None, Role::Primary(_)) => Digested::Incomplete,
            (None, Role::Replica(_)) => Digested::Unknown,
        }
    }
}
