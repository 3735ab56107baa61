//! What is written down next to the changes: how far others have come. No JWT and no position depends on it.

use tokio::sync::mpsc::Sender;

use super::super::followers::{FollowerChange, FollowerId};
use super::nats_servers::NatsServerChange;
use super::write::Request;

/// The handle that notes how far others have come. Nothing is waited for, and a closed journal notes nothing.
#[derive(Debug)]
pub struct Notes(pub(super) Sender<Request>);

impl Notes {
    /// How far something has followed the journal. After a crash it repeats a little.
    pub async fn set_cursor(&self, name: &'static str, serial: u64) {
        self.note(Request::Cursor(name, serial)).await;
    }

    /// Remembers and forgets replicas. A replica that is lost in a crash reports again.
    pub async fn set_followers(&self, changes: Vec<FollowerChange>) {
        self.note(Request::Followers(changes)).await;
    }

    /// Remembers and forgets nats-servers. After a crash they are compared a little further back.
    pub async fn set_nats_servers(&self, changes: Vec<NatsServerChange>) {
        self.note(Request::NatsServers(changes)).await;
    }

    /// Sets the id of this replica upstream. If that fails, it has another one after a restart.
    pub fn set_replica_id(&self, id: &FollowerId) {
        // At a full queue it is better to have another id than to wait.
        let _ = self.0.try_send(Request::ReplicaId(*id));
    }

    async fn note(&self, request: Request) {
        // A closed journal belongs to a server that stops: nothing goes on from what it would note.
        let _ = self.0.send(request).await;
    }
}
