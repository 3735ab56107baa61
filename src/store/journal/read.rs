//! Reads an open journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc::WeakSender;
use tokio::sync::oneshot;

use super::super::error::StoreError;
use super::super::followers::{self, Follower};
use super::change::{CHANGE, RawChange, record};
use super::digests::Digests;
use super::effect::Currency;
use super::files::Files;
use super::index::{Index, Indexed};
use super::mend;
use super::nats_servers::{self, NatsServer};
use super::pool::Readers;
use super::schema::{self, Role};
use super::signers::Stats;
use super::state::JournalState;
use super::write::Request;
use crate::feed::{Catchup, Chain, Change, Head, Operation, Ring, SubjectKind};
use crate::gate::{Damaged, Entry, Gate, Position, Record};
use crate::key::AccountKey;

/// A piece of the history with this much text is full, in bytes.
const TEXT: usize = 1 << 20;

/// A JWT as the journal holds it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The JWT.
    pub entry: Arc<Entry>,
    /// Its place in the order in which it came; 0: unknown.
    pub serial: u64,
    /// How current it is, on a replica.
    pub currency: Currency,
}

impl Stored {
    /// What a change of a primary brought.
    pub fn of(change: &Change, entry: &Arc<Entry>) -> Self {
        Self { entry: entry.clone(), serial: change.serial, currency: Currency::default() }
    }

    /// Appends its line of a pack, `<key>|<JWT>` without an end, as nats-servers and account servers write it.
    pub fn write_line(&self, line: &mut BytesMut) {
        let (key, token) = (self.entry.key().text(), self.entry.token());
        line.reserve(key.len() + 1 + token.len());
        line.put_slice(key.as_bytes());
        line.put_u8(b'|');
        line.put_slice(token);
    }
}

/// The reader of an open journal. It never writes.
#[derive(Debug)]
pub struct JournalReader {
    pub(super) path: PathBuf,
    pub(super) gate: Arc<Gate>,
    pub(super) connections: Arc<Readers>,
    pub(super) state: Arc<JournalState>,
    pub(super) index: Arc<Index>,
    pub(super) digests: Arc<Digests>,
    pub(super) stats: Arc<Stats>,
    pub(super) files: Arc<Files>,
    /// For the questions that only the writer can answer, and for whether it still writes.
    pub(super) writer: WeakSender<Request>,
}

impl JournalReader {
    /// The database file, or `:memory:`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The latest changes, and the place to wait for more.
    pub fn ring(&self) -> Arc<Ring> {
        self.state.ring()
    }

    /// The journal's position.
    pub fn head(&self) -> Head {
        self.state.ring().head()
    }

    /// Whether writes can be committed: the writer has neither been closed nor failed.
    pub fn is_open(&self) -> bool {
        self.writer.upgrade().is_some_and(|writer| !writer.is_closed())
    }

    /// Waits until the writer answers, which it does after the commits before. A writer that is stuck does not answer; the error says
    /// that it has ended.
    pub async fn ping_writer(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let writer = self.writer.upgrade().ok_or(StoreError::Closed)?;
        writer.send(Request::Ping(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Whether a file of the journal was removed or replaced while it was open: what is stored can be read, nothing written.
    pub fn is_lost(&self) -> bool {
        self.files.is_lost()
    }

    /// How many accounts have a JWT that is not deleted.
    pub fn count(&self) -> u64 {
        self.stats.count()
    }

    /// Runs a query on a reader's connection. Blocks the calling thread for the time of the query.
    pub(super) fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.connections.with(query).map_err(|error| self.failed(error))
    }

    /// The same for a query of one statement about one account.
    fn read_one<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.connections.with_kept(query).map_err(|error| self.failed(error))
    }

    /// The same for a query that reads much, so that queries for single accounts do not wait for it.
    pub(super) fn read_bulk<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.connections.with_bulk(query).map_err(|error| self.failed(error))
    }

    /// A replica repairs at its next start what is damaged of its own file.
    fn failed(&self, error: rusqlite::Error) -> StoreError {
        let error = StoreError::sqlite(&self.path)(error);
        if error.is_damage() && self.state.role() != Role::Primary && self.files.is_on_disk() {
            mend::note(&self.path);
        }
        error
    }

    /// The live JWT of an account. Blocks for a query, about 5 µs when the pages are in memory.
    pub fn get(&self, key: &AccountKey) -> Result<Option<Stored>, StoreError> {
        match self.index.get(key) {
            Indexed::Absent => return Ok(None),
            // On a replica the head says how current it is.
            Indexed::At(id) if self.is_primary() => {
                if let Some(stored) = self.get_at(key, id)? {
                    return Ok(Some(stored));
                }
            }
            Indexed::At(_) | Indexed::Unknown => {}
        }
        self.look_up(key)
    }

    /// Whether nothing is known of an account: neither a JWT nor a deletion, nor that upstream has one. `None`: the database
    /// was not read yet.
    pub fn is_unknown(&self, key: &AccountKey) -> Option<bool> {
        match self.index.get(key) {
            Indexed::Absent => Some(true),
            Indexed::At(_) => Some(false),
            Indexed::Unknown if self.index.is_whole() => Some(false),
            Indexed::Unknown => None,
        }
    }

    fn is_primary(&self) -> bool {
        self.state.role() == Role::Primary
    }

    /// The JWT that a change brought, if the change is about this account and its text is kept.
    fn get_at(&self, key: &AccountKey, id: i64) -> Result<Option<Stored>, StoreError> {
        let record = self.read_one(|connection| {
            connection
                .prepare_cached(
                    "SELECT key, iat, exp, identity, issuer, digest, body, serial FROM change
                     WHERE id = ?1 AND key = ?2 AND kind = ?3 AND op = ?4 AND body IS NOT NULL",
                )?
                .query_row(params![id, key.raw(), SubjectKind::Account, Operation::Put.tag()], |row| {
                    Ok((record(row)?, row.get(7)?))
                })
                .optional()
        })?;
        record.map(|(record, serial)| self.stored(record, serial)).transpose()
    }

    fn look_up(&self, key: &AccountKey) -> Result<Option<Stored>, StoreError> {
        let found = self.read_one(|connection| {
            connection
                .prepare_cached(
                    "SELECT h.key, h.iat, h.exp, h.identity, h.issuer, h.digest, c.body, c.serial, h.serial, h.era,
                            h.leaf IS NULL AND NOT h.flags & 2, c.at
                     FROM head h JOIN change c ON c.id = h.row
                     WHERE h.kind = ?1 AND h.key = ?2 AND h.removed = 0 AND (h.deleted IS NULL OR h.iat > h.deleted)",
                )?
                .query_row(params![SubjectKind::Account, key.raw()], |row| {
                    let serial: u64 = row.get(7)?;
                    let currency: (i64, i64, bool, i64) = (row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?);
                    Ok((record(row)?, serial, currency))
                })
                .optional()
        })?;
        let Some((record, serial, currency)) = found else {
            return Ok(None);
        };
        let stored = self.stored(record, serial)?;
        if self.is_primary() {
            return Ok(Some(stored));
        }
        let ((serial, era, is_ordered, came), log) = (currency, self.state.log());
        // Followers would wait for a place that never comes.
        let is_known = log.has_place(era, serial) && (is_ordered || !log.may_be_lost(serial.unsigned_abs()));
        let currency = Currency {
            at: is_known.then_some(Position { session: log.session.0, serial: serial.unsigned_abs() }),
            era: if is_ordered { era.unsigned_abs() } else { 0 },
            came,
        };
        Ok(Some(Stored { currency, ..stored }))
    }

    /// What a change brought. `serial`: its place.
    pub(super) fn stored(&self, record: Record, serial: u64) -> Result<Stored, StoreError> {
        let entry = Arc::new(Entry::reopen(record).map_err(|damaged| self.damaged(&damaged))?);
        Ok(Stored { entry, serial, currency: Currency::default() })
    }

    /// The changes after `serial`, in order, at most `limit` of them and about 1 MiB of token text.
    ///
    /// From memory if the follower keeps up, else from the database.
    pub fn changes_after(&self, serial: u64, limit: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        self.some_after(serial, limit, TEXT)
    }

    /// The same with about `bytes` bytes of token text.
    pub fn some_after(&self, serial: u64, limit: usize, bytes: usize) -> Result<Vec<Arc<Change>>, StoreError> {
        match self.state.ring().after(serial, limit, bytes) {
            Catchup::Changes(changes) => Ok(changes),
            Catchup::TooOld => self.read_some(serial, limit, bytes),
        }
    }

    /// The chain value after the change with this serial; `None`: the log does not have it.
    pub fn chain_at(&self, serial: u64) -> Result<Option<Chain>, StoreError> {
        let meta = self.state.meta();
        let (floor, chain) = meta.log.floor;
        if serial == floor {
            return Ok(Some(chain));
        }
        if serial == meta.head.serial {
            return Ok(Some(meta.head.chain));
        }
        if serial < floor || serial > meta.head.serial {
            return Ok(None);
        }
        self.read(|connection| {
            connection
                .prepare_cached("SELECT chain FROM change WHERE id = ?1 AND serial = ?2")?
                .query_row(params![meta.log.id(serial), serial], |row| Ok(Chain(row.get(0)?)))
                .optional()
        })
    }

    /// The lowest serial from which a follower can continue.
    pub fn floor(&self) -> u64 {
        self.state.log().floor.0
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

    /// The replicas that are remembered. Blocks for a query.
    pub fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        self.read(followers::load)
    }

    /// The nats-servers that are remembered. Blocks for a query.
    pub fn nats_servers(&self) -> Result<Vec<NatsServer>, StoreError> {
        self.read(nats_servers::load)
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
        let session = self.head().session;
        let rows = self.read_bulk(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let log = schema::meta(&transaction)?.log;
            let mut statement = transaction
                .prepare_cached(&format!("SELECT {CHANGE} FROM change WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
            // Another order may have begun.
            let first = if log.session == session && serial >= log.floor.0 { log.id(serial) } else { i64::MAX };
            let mut rows = statement.query(params![first, limit])?;
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
        let remedy = if self.state.role() == Role::Primary {
            "restore the journal from a backup, or push the JWT again"
        } else {
            mend::note(&self.path);
            "this replica gets it again from upstream, and repairs its store at its next start"
        };
        StoreError::unusable(&self.path, format!("{what}; {remedy}"))
    }
}
