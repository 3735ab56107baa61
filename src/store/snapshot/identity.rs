//! The id of this replica, and the replicas that follow it.

use rusqlite::{Connection, OptionalExtension as _};

use super::super::followers::{self, Follower, FollowerChange, FollowerId};
use super::{Snapshot, StoreError};

impl Snapshot {
    /// The id by which this replica is known upstream; `None`: it has none yet.
    pub fn identity(&self) -> Option<FollowerId> {
        self.read(|connection| connection.query_row("SELECT replica FROM identity", [], |row| row.get(0)).optional())
    }

    /// Takes another id.
    pub fn set_identity(&self, id: &FollowerId) -> Result<(), StoreError> {
        let connection = self.writer.lock();
        save_identity(&connection, id).map_err(|source| self.failed(source))
    }

    /// The replicas that follow this one.
    pub fn followers(&self) -> Vec<Follower> {
        self.read(|connection| followers::load(connection).map(Some)).unwrap_or_default()
    }

    /// Remembers and forgets replicas that follow this one.
    pub fn set_followers(&self, changes: &[FollowerChange]) -> Result<(), StoreError> {
        let connection = self.writer.lock();
        let save = || {
            let transaction = connection.unchecked_transaction()?;
            followers::save(&transaction, changes)?;
            transaction.commit()
        };
        save().map_err(|source| self.failed(source))
    }

    /// Brings to another file what can be read of it: what is lost is heard again.
    pub(super) fn rescue_identity(&self, new: &Connection) -> rusqlite::Result<()> {
        if let Some(id) = self.identity() {
            save_identity(new, &id)?;
        }
        let changes: Vec<FollowerChange> =
            self.followers().into_iter().map(|follower| (follower.id, Some(follower))).collect();
        followers::save(new, &changes)
    }
}

fn save_identity(connection: &Connection, id: &FollowerId) -> rusqlite::Result<()> {
    connection.execute("INSERT OR REPLACE INTO identity (id, replica) VALUES (1, ?1)", [id]).map(drop)
}
