//! What is written into the journal next to its changes: how far others have come. No JWT and no position depends on it.

use super::Primary;
use crate::store::FollowerChange;
use crate::store::journal::NatsServerChange;

impl Primary {
    /// Remembers up to which change something has followed the journal. Not waited for: after a crash it repeats a little.
    pub async fn set_cursor(&self, name: &'static str, serial: u64) {
        self.journal.set_cursor(name, serial).await;
    }

    /// Remembers and forgets replicas. Not waited for: a replica that is lost in a crash reports again.
    pub async fn set_followers(&self, changes: Vec<FollowerChange>) {
        self.journal.set_followers(changes).await;
    }

    /// Remembers and forgets nats-servers. Not waited for: after a crash they are compared a little further back.
    pub async fn set_nats_servers(&self, changes: Vec<NatsServerChange>) {
        self.journal.set_nats_servers(changes).await;
    }

    /// Ends the journal after what is queued is committed. Later writes fail.
    pub async fn close(&self) {
        self.journal.close().await;
    }
}
