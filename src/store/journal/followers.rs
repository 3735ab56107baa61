//! The replicas that follow a primary, remembered beside its changes.

use super::super::StoreError;
use super::super::followers::{self, Follower, FollowerChange};
use super::{Journal, writer};

impl Journal {
    /// The replicas that are remembered. Blocks for a query.
    pub fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        self.read(followers::load)
    }

    /// Remembers and forgets replicas. Not waited for: who is lost in a crash says so himself when he is heard again.
    pub async fn set_followers(&self, changes: Vec<FollowerChange>) {
        // A closed journal has nobody left who would count them.
        let _ = self.queue.send(writer::Request::Followers(changes)).await;
    }
}
