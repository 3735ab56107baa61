//! Queries.

use std::path::Path;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::StoreError;
use super::Journal;
use super::index::Indexed;
use super::open;
use super::schema::{self, KIND_ACCOUNT, KIND_ACTIVATION, KIND_OPERATOR};
use crate::clock;
use crate::feed::{Catchup, Chain, Change, Content, Operation};
use crate::gate::{Activation, Damaged, Entry, OperatorChain, Origin, Record, Tombstone, Trust, Via};
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};

/// Connections of their own for queries that read much. However many of these there are, a query for one account waits for
/// none of them.
const BULK: usize = 2;
/// A piece of the history with this much text is full, in bytes.
const TEXT: usize = 1 << 20;

/// Connections for readers.
#[derive(Debug)]
pub(super) enum Readers {
    /// Some for what is about one account, and some for what reads much.
    Pools { single: Pool, bulk: Pool },
    /// A journal in memory has one connection, for all.
    Shared(Arc<Mutex<Connection>>),
}

/// Connections that are handed out and taken back. A query that finds none waits: to open one costs more than a query.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Pool {
    fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let open = |_| {
            let connection = open::open_reader(path)?;
            // It opens the log that is there now, and not another one that is there later.
            schema::head(&connection).map_err(StoreError::sqlite(path))?;
            Ok(connection)
        };
        let idle = (0..count.max(1)).map(open).collect::<Result<_, StoreError>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut waiting = self.idle.lock();
        let connection = loop {
            match waiting.pop() {
                Some(connection) => break connection,
                None => self.returned.wait(&mut waiting),
            }
        };
        drop(waiting);
        let result = query(&connection);
        self.idle.lock().push(connection);
        self.returned.notify_one();
        result
    }
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        Ok(Self::Pools { single: Pool::open(path, count)?, bulk: Pool::open(path, BULK)? })
    }

    pub(super) const fn shared(connection: Arc<Mutex<Connection>>) -> Self {
        Self::Shared(connection)
    }

    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(connection) => query(&connection.lock()),
            Self::Pools { single, .. } => single.with(query),
        }
    }

    /// For a query that reads much.
    pub(super) fn with_bulk<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match self {
            Self::Shared(_) => self.with(query),
            Self::Pools { bulk, .. } => bulk.with(query),
        }
    }
}

/// A JWT as the journal holds it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The JWT.
    pub entry: Arc<Entry>,
    /// The serial of the change that brought it.
    pub serial: u64,
}

impl Stored {
    /// Appends its line of a pack, `<key>|<JWT>` without an end, as nats-servers and account servers write it.
    pub fn write_line(&self, line: &mut BytesMut) {
        let (key, token) = (self.entry.key().text(), self.entry.token());
        line.reserve(key.len() + 1 + token.len());
        line.put_slice(key.as_bytes());
        line.put_u8(b'|');
        line.put_slice(token);
    }
}

impl Journal {
    /// The live JWT of an account. Blocks for a query, about 5 µs when the pages are in memory.
    pub fn get(&self, key: &AccountKey) -> Result<Option<Stored>, StoreError> {
        match self.index.get(key) {
            Indexed::Absent => return Ok(None),
            Indexed::At(serial) => {
                if let Some(stored) = self.get_at(key, serial)? {
                    return Ok(Some(stored));
                }
            }
            Indexed::Unknown => {}
        }
        self.look_up(key)
    }

    /// The JWT that a change brought, if the change is about this account and its text is kept.
    fn get_at(&self, key: &AccountKey, serial: u64) -> Result<Option<Stored>, StoreError> {
        let record = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT key, iat, exp, identity, issuer, digest, body FROM change
                     WHERE serial = ?1 AND key = ?2 AND kind = ?3 AND op = ?4 AND body IS NOT NULL",
                )?
                .query_row(params![serial, key.raw(), KIND_ACCOUNT, Operation::Put.tag()], record)
                .optional()
        })?;
        let Some(record) = record else { return Ok(None) };
        let entry = Arc::new(Entry::reopen(record).map_err(|damaged| self.damaged(&damaged))?);
        Ok(Some(Stored { entry, serial }))
    }

    fn look_up(&self, key: &AccountKey) -> Result<Option<Stored>, StoreError> {
        let record = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT h.key, h.iat, h.exp, h.identity, h.issuer, h.digest, c.body, h.serial
                     FROM live h JOIN change c ON c.serial = h.serial WHERE h.key = ?1",
                )?
                .query_row([key.raw()], |row| Ok((record(row)?, row.get(7)?)))
                .optional()
        })?;
        let Some((record, serial)) = record else { return Ok(None) };
        let entry = Arc::new(Entry::reopen(record).map_err(|damaged| self.damaged(&damaged))?);
        Ok(Some(Stored { entry, serial }))
    }

    /// The changes after `serial`, in order, at most `limit` of them and about 1 MiB of token text.
    ///
    /// From memory if the follower keeps up, else from the database.
    pub fn changes_after(&self, serial: u64, limit: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        self.some_after(serial, limit, TEXT)
    }

    /// The same with about `bytes` bytes of token text.
    pub fn some_after(&self, serial: u64, limit: usize, bytes: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        match self.ring.after(serial, limit, bytes) {
            Catchup::Changes(changes) => Ok(changes),
            Catchup::TooOld => self.read_some(serial, limit, bytes),
        }
    }

    /// The chain value after the change with this serial; `None` if there is no such change.
    pub fn chain_at(&self, serial: u64) -> Result<Option<Chain>, StoreError> {
        if serial == 0 {
            return Ok(Some(Chain::default()));
        }
        let head = self.head();
        if serial == head.serial {
            return Ok(Some(head.chain));
        }
        self.read(|connection| {
            connection
                .prepare_cached("SELECT chain FROM change WHERE serial = ?1")?
                .query_row([serial], |row| Ok(Chain(row.get(0)?)))
                .optional()
        })
    }

    /// How far a follower of the journal came, as it was last remembered.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT serial FROM cursor WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()
        })
    }

    /// Changes as the database has them, not as the ring remembers them.
    #[cfg(test)]
    pub(crate) fn read_from_disk(&self, serial: u64) -> Result<Vec<Arc<Change>>, StoreError> {
        self.read_changes(serial, usize::MAX >> 1)
    }

    #[cfg(test)]
    pub(super) fn read_changes(&self, serial: u64, limit: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        self.read_some(serial, limit, TEXT)
    }

    fn read_some(&self, serial: u64, limit: usize, most: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        let rows = self.read_bulk(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {CHANGE} FROM change WHERE serial > ?1 ORDER BY serial LIMIT ?2"))?;
            let mut rows = statement.query(params![serial, limit])?;
            let mut found = Vec::new();
            let mut bytes = 0;
            while bytes < most
                && let Some(row) = rows.next()?
            {
                let read = RawChange::read(row)?;
                bytes += read.body_len();
                found.push(read);
            }
            Ok(found)
        })?;
        rows.into_iter().map(|row| self.open_change(row).map(Arc::new)).collect()
    }

    pub(super) fn open_change(&self, row: RawChange) -> Result<Change, StoreError> {
        row.open().ok_or_else(|| self.unusable("a change in it cannot be read back"))
    }

    pub(super) fn damaged(&self, damaged: &Damaged) -> StoreError {
        self.unusable(&damaged.to_string())
    }

    pub(super) fn unusable(&self, what: &str) -> StoreError {
        StoreError::Unusable {
            path: self.path.clone(),
            reason: format!("{what}; restore the journal from a backup, or push the JWT again"),
        }
    }
}

/// What [`RawChange::read`] reads.
pub(super) const CHANGE: &str =
    "key, iat, exp, identity, issuer, digest, body, serial, at, op, chain, via, kind, links";

/// A change as the database has it.
pub(super) struct RawChange {
    serial: u64,
    at: i64,
    chain: Chain,
    via: Via,
    body: RawBody,
}

enum RawBody {
    Put(Record),
    Superseded { key: [u8; 32], digest: [u8; 32] },
    Removed { key: [u8; 32], digest: [u8; 32] },
    Delete(Vec<u8>),
    Operator { jwt: String, links: Option<String> },
    Activation { key: [u8; 32], digest: [u8; 32], token: Option<Vec<u8>> },
    Forgotten { key: [u8; 32], digest: [u8; 32] },
}

impl RawChange {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let op: u8 = row.get(9)?;
        let kind: i64 = row.get(12)?;
        let body = if kind == KIND_OPERATOR {
            let jwt = String::from_utf8_lossy(row.get_ref(6)?.as_blob()?).into_owned();
            RawBody::Operator { jwt, links: row.get(13)? }
        } else if kind == KIND_ACTIVATION && op == Operation::Remove.tag() {
            RawBody::Forgotten { key: row.get(0)?, digest: row.get(5)? }
        } else if kind == KIND_ACTIVATION {
            RawBody::Activation { key: row.get(0)?, digest: row.get(5)?, token: row.get(6)? }
        } else if op == Operation::Delete.tag() {
            RawBody::Delete(row.get(6)?)
        } else if op == Operation::Remove.tag() {
            RawBody::Removed { key: row.get(0)?, digest: row.get(5)? }
        } else if row.get_ref(6)? == rusqlite::types::ValueRef::Null {
            RawBody::Superseded { key: row.get(0)?, digest: row.get(5)? }
        } else {
            RawBody::Put(record(row)?)
        };
        // A path of a later version is as good as a push.
        let via = Via::from_label(row.get_ref(11)?.as_str()?).unwrap_or(Via::Post);
        Ok(Self { serial: row.get(7)?, at: row.get(8)?, chain: Chain(row.get(10)?), via, body })
    }

    pub(super) fn body_len(&self) -> usize {
        match &self.body {
            RawBody::Put(record) => record.token.len(),
            RawBody::Delete(request) => request.len(),
            RawBody::Superseded { .. } | RawBody::Removed { .. } | RawBody::Forgotten { .. } => 64,
            RawBody::Operator { jwt, links } => jwt.len() + links.as_ref().map_or(0, String::len),
            RawBody::Activation { token, .. } => token.as_ref().map_or(64, Vec::len),
        }
    }

    fn open(self) -> Option<Change> {
        let content = match self.body {
            RawBody::Put(record) => {
                let (key, digest) = (record.key, record.digest);
                match Entry::reopen(record) {
                    Ok(entry) => Content::Put(Arc::new(entry)),
                    // One damaged body must not end the feed for everybody: followers ask for it when they want it.
                    Err(damaged) => {
                        tracing::error!("change {}: {damaged}", self.serial);
                        Content::Superseded { key, digest }
                    }
                }
            }
            RawBody::Superseded { key, digest } => Content::Superseded { key: AccountKey::from_raw(key), digest },
            RawBody::Removed { key, digest } => Content::Removed { key: AccountKey::from_raw(key), digest },
            RawBody::Delete(request) => Content::Delete(Arc::new(Tombstone::reopen(request.into())?)),
            RawBody::Activation { key, digest, token } => {
                match token.and_then(|token| Activation::reopen(&token, &digest)) {
                    Some(activation) => Content::Activation(Arc::new(activation)),
                    None => Content::PastActivation { id: HashId::from_raw(key), digest },
                }
            }
            RawBody::Forgotten { key, digest } => Content::Forgotten { id: HashId::from_raw(key), digest },
            RawBody::Operator { jwt, links } => {
                let read = |jwt: &str| Trust::from_operator_jwt(jwt, clock::unix_seconds()).ok().map(Arc::new);
                let links = links.iter().flat_map(|links| links.lines()).chain([&*jwt]);
                // What a follower makes of it does not depend on how the anchor came to be trusted here.
                let chain =
                    OperatorChain::restore(Origin::Configured, links.map(read).collect::<Option<_>>()?, Vec::new())?;
                Content::Operator(Arc::new(chain))
            }
        };
        Some(Change { serial: self.serial, chain: self.chain, at: self.at, via: self.via, content })
    }
}

/// The first seven columns of a query: key, iat, exp, identity, issuer, digest, body.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        key: AccountKey::from_raw(row.get(0)?),
        iat: row.get(1)?,
        exp: row.get(2)?,
        identity: row.get(3)?,
        issuer: PublicKey::from_raw(Kind::Operator, row.get(4)?),
        digest: row.get(5)?,
        token: row.get::<_, Vec<u8>>(6)?.into(),
    })
}
