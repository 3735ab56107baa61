//! By what servers of this kind know each other, and notice that they ask in a circle.

use super::{Node, Role};
use crate::feed::wire::MAX_HOPS;

impl Node {
    /// The name of this process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The servers on the way upstream, the nearest first, as far as they say so. `None`: this is a primary.
    pub fn route(&self) -> Option<Vec<String>> {
        match &self.role {
            Role::Primary(_) => None,
            Role::Replica(replica) => {
                let mut route = replica.route();
                route.truncate(MAX_HOPS);
                Some(route)
            }
        }
    }

    /// Whether a server that asks this one would be asked itself if this one asked upstream.
    pub fn leads_back_to(&self, asker: &str) -> bool {
        self.route().is_some_and(|route| asker == self.name || route.iter().any(|name| name == asker))
    }
}
