//! The snapshot of a replica: what it keeps on disk, so that it can start with its primary gone, goes on where it stopped,
//! and never goes back behind what it has seen.
//!
//! It is a SQLite database beside nothing else of value: all of it can be had again from the primary, but for what was
//! seen. It is written in the background, a position always together with what had been taken in up to there. Every row
//! carries a sum, so a damaged one is noticed when it is read; then the sound rest is written to a new file ([`mend`]).
//!
//! A replica that has no folder keeps what was seen in a temporary file, so that its memory stays small.

mod identity;
mod mend;
mod proof;
mod row;
mod schema;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::StoreError;
use super::operator;
use crate::feed::{Chain, Head, Session};
use crate::gate::OperatorChain;
use crate::key::{AccountKey, Kind, PublicKey};
pub use proof::{Proof, ProofKind};
use row::RowRead;
pub use row::{Copy, Seen};
pub use schema::FoundSnapshot;
pub use walk::Walk;

/// The name of the file in the state folder.
pub use crate::folder::private::SNAPSHOT as FILE;
/// A temporary snapshot has one connection for all; who reads does not wait for longer than it takes to write so many
/// rows.
const CHUNK: usize = 256;

/// An open snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// `None`: temporary.
    path: Option<PathBuf>,
    /// `None`: the writer's connection is used. Dropped before the writer, because the last connection brings the log into
    /// the file, and this one cannot.
    reader: Option<Mutex<Connection>>,
    writer: Mutex<Connection>,
    damaged: AtomicBool,
    mended: AtomicU64,
    lost: AtomicU64,
}

/// The position of the follower, and how it got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// The position up to which everything was applied; `None`: it does not follow the feed yet.
    pub position: Option<Head>,
    /// The number of the unbroken stretch of feed that this is in.
    pub stretch: u64,
    /// What was confirmed in this stretch, or a later one, is current at the position.
    pub joined: u64,
    /// Up to where all copies were current, in the session of the position; `None`: unknown.
    pub confirmed: Option<Head>,
    /// When the primary was last heard, unix milliseconds; 0: never.
    pub heard: i64,
    /// Whether everything is kept, or what was asked for.
    pub is_mirror: bool,
}

/// The operator as it was trusted.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The operator JWTs in force.
    pub chain: Arc<OperatorChain>,
    /// Keys that are no longer listed, each with the `iat` of the operator JWT that left it out.
    pub withdrawn: Vec<(PublicKey, i64)>,
}

/// What is written at once.
#[derive(Debug)]
pub struct Batch {
    /// The follower's position, read before the rest.
    pub stand: Stand,
    /// The operator, if it changed.
    pub operator: Option<Operator>,
    /// What was seen.
    pub seen: Vec<(AccountKey, Seen)>,
    /// What is kept, and no longer kept.
    pub copies: Vec<(AccountKey, Option<Copy>)>,
    /// Delete requests and activations that are kept, and no longer kept.
    pub proofs: Vec<(ProofId, Option<Proof>)>,
}

/// Which delete request or activation.
pub type ProofId = (ProofKind, [u8; 32]);

impl Snapshot {
    /// Opens or creates the snapshot in a state folder, and says what was found there. Without a folder, a temporary one.
    pub fn open(folder: Option<&Path>) -> Result<(Self, FoundSnapshot), StoreError> {
        let path = folder.map(|folder| folder.join(FILE));
        let (writer, found) = match &path {
            Some(path) => schema::open(path)?,
            None => (schema::open_temporary()?, FoundSnapshot::Nothing),
        };
        let reader = match &path {
            Some(path) => {
                let failed = StoreError::snapshot(path);
                Some(Mutex::new(schema::open_reader(path).map_err(failed)?))
            }
            None => None,
        };
        let snapshot = Self {
            path,
            writer: Mutex::new(writer),
            reader,
            damaged: AtomicBool::new(found == FoundSnapshot::CutOff),
            mended: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        Ok((snapshot, found))
    }

    /// Ends its use, and moves it to where no server looks for it: the journal that was made from it counts from now on.
    /// Returns where it is. `None`: it is temporary.
    pub fn retire(self) -> Result<Option<PathBuf>, StoreError> {
        let Some(path) = self.path.clone() else { return Ok(None) };
        // The last connection brings the log into the file.
        drop(self);
        schema::move_to(&path, ".promoted").map(Some)
    }

    /// Whether it outlives the process, and so keeps copies.
    pub const fn is_lasting(&self) -> bool {
        self.path.is_some()
    }

    /// Whether it was found damaged, and is mended with the next writing.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire) && self.is_lasting()
    }

    /// How often it was mended: what could not be read before may be readable now.
    pub fn mended(&self) -> u64 {
        self.mended.load(Ordering::Acquire)
    }

    /// Rows that were damaged and are lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The follower's position.
    pub fn stand(&self) -> Option<Stand> {
        let read = |row: &rusqlite::Row| {
            let (session, chain): (Option<[u8; 16]>, Option<[u8; 32]>) = (row.get(1)?, row.get(3)?);
            let at = |serial, chain: Option<[u8; 32]>| {
                session.zip(chain).map(|(session, chain)| Head {
                    session: Session(session),
                    serial,
                    chain: Chain(chain),
                })
            };
            Ok(Stand {
                is_mirror: row.get::<_, String>(0)? == "mirror",
                position: at(row.get(2)?, chain),
                stretch: row.get(4)?,
                joined: row.get(5)?,
                heard: row.get(6)?,
                confirmed: at(row.get(7)?, row.get(8)?),
            })
        };
        self.read(|connection| {
            connection
                .query_row(
                    "SELECT mode, session, serial, chain, stretch, joined, heard, confirmed, confirmed_chain FROM meta",
                    [],
                    read,
                )
                .optional()
        })
    }

    /// The operator that was trusted.
    pub fn operator(&self) -> Option<Operator> {
        self.read(|connection| {
            let Some(chain) = operator::load(connection)? else { return Ok(None) };
            let mut statement = connection.prepare("SELECT issuer, at FROM withdrawn")?;
            let withdrawn = statement
                .query_map([], |row| Ok((PublicKey::from_raw(Kind::Operator, row.get(0)?), row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Some(Operator { chain: Arc::new(chain), withdrawn }))
        })
    }

    /// Replaces the operator that was trusted. Durable when this returns.
    pub fn set_operator(&self, operator: &Operator) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let save = |writer: &mut Connection| {
            let transaction = writer.transaction()?;
            save_operator(&transaction, operator)?;
            transaction.commit()?;
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        save(&mut writer).map_err(|source| self.failed(source))
    }

    /// What was seen of an account. Blocks for a query, about 10 µs when the pages are in memory.
    pub fn seen(&self, key: &AccountKey) -> Option<Seen> {
        self.read(|connection| row::load_seen(connection, key)).and_then(|read| self.sound(read))
    }

    /// The JWT that is kept of an account.
    pub fn copy(&self, key: &AccountKey) -> Option<Copy> {
        self.read(|connection| row::load_copy(connection, key)).and_then(|read| self.sound(read))
    }

    /// A delete request or an activation that is kept.
    pub fn proof(&self, (kind, key): &ProofId) -> Option<Proof> {
        self.read(|connection| proof::load_proof(connection, *kind, key)).and_then(|read| self.sound(read))
    }

    /// Some of the JWTs that are kept, after a place, and the place up to where that was. `None`: there are no more.
    pub fn copies(&self, after: i64, limit: u32) -> Option<(Vec<Copy>, i64)> {
        let (rows, last) = self.read(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {}, id FROM copy WHERE id > ?1 ORDER BY id LIMIT ?2", row::COPY))?;
            let mut rows = statement.query(params![after, limit])?;
            let (mut copies, mut last) = (Vec::new(), None);
            // A row that cannot be read does not hide the ones before it.
            while let Some(row) = rows.next()? {
                last = Some(row.get(7)?);
                copies.push(row::read_copy(row)?);
            }
            Ok(last.map(|last| (copies, last)))
        })?;
        Some((rows.into_iter().filter_map(|read| self.sound(read)).collect(), last))
    }

    /// Writes a batch. If the file is found damaged, the sound part of it is brought to a new one first.
    pub fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.damaged.load(Ordering::Acquire) {
            self.mend()?;
        }
        let mut written = self.try_write(batch);
        if written.as_ref().is_err_and(is_damage) {
            self.mend()?;
            written = self.try_write(batch);
        }
        written.map_err(|source| self.failed(source))
    }

    fn try_write(&self, batch: &Batch) -> rusqlite::Result<()> {
        if self.path.is_none() {
            // Nobody reads a position of it, and who reads what was seen does not wait for all of it.
            for chunk in batch.seen.chunks(CHUNK) {
                let mut writer = self.writer.lock();
                let transaction = writer.transaction()?;
                chunk.iter().try_for_each(|(key, seen)| row::save_seen(&transaction, key, seen))?;
                transaction.commit()?;
            }
            let writer = self.writer.lock();
            return save_proofs(&writer, &batch.proofs);
        }
        let mut writer = self.writer.lock();
        let transaction = writer.transaction()?;
        save_stand(&transaction, &batch.stand)?;
        if let Some(operator) = &batch.operator {
            save_operator(&transaction, operator)?;
        }
        batch.seen.iter().try_for_each(|(key, seen)| row::save_seen(&transaction, key, seen))?;
        for (key, copy) in &batch.copies {
            match copy {
                Some(copy) => row::save_copy(&transaction, copy)?,
                None => row::drop_copy(&transaction, key)?,
            }
        }
        save_proofs(&transaction, &batch.proofs)?;
        transaction.commit()
    }

    /// What a query finds. A failure is noted and finds nothing: whoever asks goes on with less.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<Option<T>>) -> Option<T> {
        let connection = self.reader.as_ref().unwrap_or(&self.writer);
        let result = query(&connection.lock());
        result.unwrap_or_else(|error| {
            self.note(&error);
            None
        })
    }

    fn sound<T>(&self, read: RowRead<T>) -> Option<T> {
        match read {
            RowRead::Sound(value) => Some(value),
            RowRead::Damaged => {
                self.found_damaged("the sum of a row does not fit it");
                None
            }
        }
    }

    fn note(&self, error: &rusqlite::Error) {
        if is_damage(error) {
            self.found_damaged(&error.to_string());
        } else {
            tracing::warn!("{}", self.failed_text(error));
        }
    }

    fn found_damaged(&self, how: &str) {
        if !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!("{}: it is damaged ({how}); the sound part of it is used", self.shown());
        }
    }

    fn shown(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "the temporary snapshot".into(), |path| format!("snapshot {}", path.display()))
    }

    fn failed_text(&self, error: &rusqlite::Error) -> String {
        format!("{} cannot be read: {error}", self.shown())
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Snapshot { path: self.path.clone().unwrap_or_else(|| "(temporary)".into()), source }
    }
}

fn save_proofs(connection: &Connection, proofs: &[(ProofId, Option<Proof>)]) -> rusqlite::Result<()> {
    for ((kind, key), proof) in proofs {
        match proof {
            Some(proof) => proof::save_proof(connection, *kind, key, proof)?,
            None => proof::drop_proof(connection, *kind, key)?,
        }
    }
    Ok(())
}

fn save_stand(connection: &Connection, stand: &Stand) -> rusqlite::Result<()> {
    let session = |head: Head| head.session;
    let confirmed = stand.confirmed.filter(|confirmed| stand.position.map(session) == Some(confirmed.session));
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO meta
             (id, mode, session, serial, chain, stretch, joined, heard, confirmed, confirmed_chain)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            if stand.is_mirror { "mirror" } else { "cache" },
            stand.position.map(|position| position.session.0),
            stand.position.map_or(0, |position| position.serial),
            stand.position.map(|position| position.chain.0),
            stand.stretch,
            stand.joined,
            stand.heard,
            confirmed.map_or(0, |confirmed| confirmed.serial),
            confirmed.map(|confirmed| confirmed.chain.0),
        ])
        .map(drop)
}

fn save_operator(connection: &Connection, operator: &Operator) -> rusqlite::Result<()> {
    operator::save(connection, &operator.chain)?;
    connection.execute("DELETE FROM withdrawn", [])?;
    for (issuer, at) in &operator.withdrawn {
        connection.execute("INSERT INTO withdrawn (issuer, at) VALUES (?1, ?2)", params![issuer.raw(), at])?;
    }
    Ok(())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
        || matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..))
}

#[cfg(test)]
mod tests;
