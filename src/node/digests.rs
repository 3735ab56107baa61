//! The digest tree, and comparisons with it, as followers ask for them.
//!
//! Like the lists ([`super::listing`]), they are of a server that knows all there is, a primary or a mirror: what others leave
//! out would be taken for absent.

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
        if let Role::Replica(replica) = self.role() {
            let replica = replica.clone();
            return of_mirror(move || replica.digests(prefix)).await;
        }
        let view = self.list(move |primary| primary.journal().digests(prefix)).await?;
        Ok(view.map_or(Digested::Incomplete, Digested::Known))
    }

    /// A piece of what stands here and differs from what somebody holds.
    pub async fn compare(&self, ask: Ask) -> Result<Digested<Comparison>, StoreError> {
        if let Role::Replica(replica) = self.role() {
            let replica = replica.clone();
            return of_mirror(move || replica.compare(&ask)).await;
        }
        let comparison = self.list(move |primary| primary.journal().compare(&ask)).await?;
        Ok(comparison.map_or(Digested::Incomplete, Digested::Known))
    }
}

/// What a mirror knows; a cache never does.
async fn of_mirror<T: Send + 'static>(
    find: impl FnOnce() -> Option<T> + Send + 'static,
) -> Result<Digested<T>, StoreError> {
    let found = tokio::task::spawn_blocking(find).await.map_err(|_| StoreError::Closed)?;
    Ok(found.map_or(Digested::Unknown, Digested::Known))
}
