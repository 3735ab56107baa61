//! The change of each live account, in memory: 16 bytes for each account and some room.
//!
//! The database needs two look-ups for a JWT: the account's head, and the change that it points to. The first is most of
//! the cost of a GET whose body is not in memory, and this index saves it. An entry is a hint: the reader checks that it
//! leads to the right account, and otherwise asks the database. Once the index is whole, a key that is not in it does not
//! exist, so invented keys never reach the database.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::super::error::StoreError;
use super::checkpoint::Closing;
use super::open;
use super::schema::Role;
use crate::feed::{Change, Content};
use crate::key::AccountKey;

/// Parts of the index. Readers and the writer wait for each other only within one part.
const SHARDS: usize = 64;

/// Changes by a part of the account's key.
#[derive(Debug)]
pub(super) struct Index {
    shards: [Mutex<IndexShard>; SHARDS],
    /// Whether all live accounts are in it.
    is_whole: AtomicBool,
}

/// What an index knows about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexed {
    /// The id of the change that brought its JWT.
    At(i64),
    /// It has none.
    Absent,
    /// Only the database knows.
    Unknown,
}

type IndexShard = HashMap<u64, i64, BuildHasherDefault<AsItIs>>;

impl Default for Index {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), is_whole: AtomicBool::new(false) }
    }
}

impl Index {
    /// What is known about an account.
    pub(super) fn get(&self, key: &AccountKey) -> Indexed {
        // Read before the look-up: an index that is whole by then has every live account.
        let is_whole = self.is_whole.load(Ordering::Acquire);
        let (shard, part) = place(key);
        match self.shards[shard].lock().get(&part) {
            Some(0) => Indexed::Unknown,
            Some(id) => Indexed::At(*id),
            None if is_whole => Indexed::Absent,
            None => Indexed::Unknown,
        }
    }

    /// Whether a key that is not in it does not exist.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
    }

    /// Marks it as whole: all live accounts are in it.
    pub(super) fn has_all(&self) {
        self.is_whole.store(true, Ordering::Release);
    }

    /// Adds a committed change of a primary. `id`: its id.
    pub(super) fn follow(&self, change: &Change, id: i64) {
        let id = if let Content::Put(_) = &change.content { id } else { 0 };
        change.keys().iter().for_each(|key| self.set(key, id));
    }

    /// Notes where an account's JWT is; 0: the database knows.
    pub(super) fn set(&self, key: &AccountKey, id: i64) {
        let (shard, part) = place(key);
        self.shards[shard].lock().insert(part, id);
    }

    /// Adds what the database held when it was opened, or later. Entries from commits since then are newer and stay.
    pub(super) fn load(&self, key: &AccountKey, id: i64) {
        let (shard, part) = place(key);
        self.shards[shard].lock().entry(part).or_insert(id);
    }
}

/// Starts to fill an index from the database at `path`, in the background.
pub(super) fn spawn(
    path: PathBuf,
    index: Arc<Index>,
    role: Role,
    closing: Arc<Closing>,
) -> Result<JoinHandle<()>, StoreError> {
    let connection = open::open_reader(&path)?;
    let started = path.clone();
    std::thread::Builder::new()
        .name("journal-index".into())
        .spawn(move || {
            if let Err(error) = fill(&connection, &index, role, &closing) {
                // Without the index, answers take a little longer.
                tracing::warn!("journal {}: accounts are looked up without an index: {error}", path.display());
            }
        })
        .map_err(StoreError::io("start the index of", &started))
}

/// Reads in pieces, because a long read keeps the log from being written back.
fn fill(connection: &Connection, index: &Index, role: Role, closing: &Closing) -> rusqlite::Result<()> {
    const PIECE: usize = 10_000;
    let mut statement = connection.prepare(match role {
        Role::Primary => "SELECT key, row FROM live WHERE key > ?1 ORDER BY key LIMIT ?2",
        // It knows keys whose text is not here.
        Role::Mirror | Role::Cache => {
            "SELECT key, iif(removed = 0 AND (deleted IS NULL OR iat > deleted), row, 0) FROM head
             WHERE kind = 1 AND key > ?1 ORDER BY key LIMIT ?2"
        }
    })?;
    let mut after: Vec<u8> = Vec::new();
    while !closing.is_closed() {
        let mut count = 0;
        let mut rows = statement.query(params![after, PIECE])?;
        while let Some(row) = rows.next()? {
            let key: [u8; 32] = row.get(0)?;
            index.load(&AccountKey::from_raw(key), row.get(1)?);
            after = key.to_vec();
            count += 1;
        }
        if count < PIECE {
            index.has_all();
            return Ok(());
        }
    }
    Ok(())
}

/// 64 bits of a key tell accounts apart. A reader notices a collision.
fn place(key: &AccountKey) -> (usize, u64) {
    let raw = key.raw();
    let part = u64::from_le_bytes([raw[8], raw[9], raw[10], raw[11], raw[12], raw[13], raw[14], raw[15]]);
    (usize::from(raw[16]) % SHARDS, part)
}

/// Keys are random already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_not_undone_by_what_was_read_before() {
        let index = Index::default();
        let (held, gone) = (AccountKey::from_raw([1; 32]), AccountKey::from_raw([2; 32]));
        let removed = Content::Removed { key: gone, digest: [0; 32], identity: None };
        index.load(&held, 3);
        index.follow(
            &Change {
                serial: 9,
                chain: crate::feed::Chain::default(),
                at: 0,
                via: crate::gate::Via::EditedFile,
                actor: None,
                content: removed,
            },
            9,
        );
        index.load(&gone, 4);
        assert_eq!((index.get(&held), index.get(&gone)), (Indexed::At(3), Indexed::Unknown));
        let other = AccountKey::from_raw([3; 32]);
        assert_eq!(index.get(&other), Indexed::Unknown);
        index.has_all();
        assert_eq!([index.get(&held), index.get(&gone)], [Indexed::At(3), Indexed::Unknown]);
        assert_eq!(index.get(&other), Indexed::Absent);
    }
}
