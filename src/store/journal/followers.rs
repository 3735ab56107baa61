//! The replicas that follow a primary.

use super::super::StoreError;
use super::super::followers::{self, Follower, FollowerChange};
use super::{Journal, writer};

impl Journal {
    /// The replicas that are remembered. Blocks for a query.
    pub fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        self.read(followers::load)
    }

    /// Remembers and forgets replicas. Not waited for: a replica that is lost in a crash reports again.
    pub async fn set_followers(&self, changes: Vec<FollowerChange>) {
        // A closed journal belongs to a server that stops.
        let _ = self.queue.send(writer::Request::Followers(changes)).await;
    }
}
