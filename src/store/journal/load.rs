//! A journal that is made at once from a mirror of another journal.
//!
//! First come the heads: what is remembered of each account ([`Load::remember`]), in the order of keys. Then come the
//! changes, in an order of their own. So every head knows the newest version of its account, even if the text of that
//! version is missing. Older versions are rejected, and the text can still be pushed.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::super::error::StoreError;
use super::schema;
use super::signers::{Live, Signers, Tally};
use super::transaction::{Record, Transaction};
use super::{digests, head, open};
use crate::clock;
use crate::feed::digest::{Leaf, Toggle};
use crate::feed::{Content, Head, Subject, SubjectKind};
use crate::gate::{Activation, Digest, Entry, Held, OperatorChain, Standing, Tombstone, Via};
use crate::key::{AccountKey, PublicKey};

/// The digest of a text that is missing.
const UNKNOWN: Digest = [0; 32];
/// The path that the changes record.
const VIA: Via = Via::Snapshot;

/// A journal that is complete, but not in its place yet. It is removed unless [`Loaded::keep`] is called.
#[derive(Debug)]
pub struct Loaded {
    made: PathBuf,
    path: PathBuf,
    head: Head,
    accounts: u64,
}

impl Loaded {
    /// Its position.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The number of accounts with a JWT.
    pub const fn accounts(&self) -> u64 {
        self.accounts
    }

    /// Moves it to its place, where no journal may be. Durable when this returns.
    pub fn keep(self) -> Result<(), StoreError> {
        open::put_in_place(&self.made, &self.path)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // After `keep` there is nothing to remove. The next load replaces a file that cannot be removed.
        let _ = std::fs::remove_file(&self.made);
    }
}

/// A journal that is being made. What goes into it has passed the gate.
#[allow(missing_debug_implementations)] // it lives in a transaction
pub struct Load<'c> {
    transaction: Transaction<'c>,
    at: i64,
}

/// Makes a journal for the place `path` and fills it. Returns it with the result of `fill`.
pub fn load<T>(
    path: &Path,
    fill: impl FnOnce(&mut Load<'_>) -> rusqlite::Result<T>,
) -> Result<(Loaded, T), StoreError> {
    let (made, (meta, said)) = open::make_beside(path, |connection| {
        connection.set_prepared_statement_cache_capacity(schema::STATEMENTS);
        let transaction = connection.unchecked_transaction()?;
        let mut load = Load::begin(connection)?;
        let said = fill(&mut load)?;
        let meta = load.finish()?;
        transaction.commit()?;
        Ok((meta, said))
    })?;
    Ok((Loaded { made, path: path.to_owned(), head: meta.head, accounts: meta.count }, said))
}

impl<'c> Load<'c> {
    fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        let meta = schema::Meta { head: schema::head(connection)?, count: 0 };
        let transaction = Transaction {
            connection,
            meta,
            history: 0,
            standing: Arc::new(Standing::default()),
            tally: Tally::new(0),
            changes: Vec::new(),
            toggles: Vec::new(),
            repaired: Cell::new(false),
        };
        Ok(Self { transaction, at: clock::unix_millis() })
    }

    fn finish(self) -> rusqlite::Result<schema::Meta> {
        self.transaction.write_meta(&Signers::default().after(&self.transaction.tally))?;
        digests::recompute(self.transaction.connection)?;
        Ok(self.transaction.meta)
    }

    /// Writes the head of an account, without a change yet.
    pub fn remember(&self, key: &AccountKey, held: &Held) -> rusqlite::Result<()> {
        let (version, deleted) = (held.version(), held.deleted());
        self.transaction
            .connection
            .prepare_cached(
                "INSERT INTO head (kind, key, serial, iat, exp, identity, issuer, digest, ties, history, deleted,
                                   deleted_issuer, marks)
                 VALUES (?1, ?2, 0, ?3, 0, ?4, ?5, x'', ?6, x'', ?7, ?8, ?9)",
            )?
            .execute(params![
                SubjectKind::Account,
                key.raw(),
                version.map_or(0, |version| version.iat),
                version.map_or(&[][..], |version| &version.identity[..]),
                version.map_or(&[][..], |version| &version.issuer.raw()[..]),
                head::ties(held),
                deleted.map(|deleted| deleted.iat),
                deleted.map(|deleted| *deleted.issuer.raw()),
                head::marks(held),
            ])
            .map(drop)
    }

    /// The JWT of an account that was remembered. `false`: it is not the version that is remembered, or that one was deleted.
    pub fn account(&mut self, entry: &Arc<Entry>) -> rusqlite::Result<bool> {
        let (connection, key) = (self.transaction.connection, entry.key());
        let place = Subject::Account(*key);
        let row = head::load(connection, &place)?;
        let is_it = |row: &head::Row| row.held.is_live() && row.held.version() == Some(&entry.version());
        let Some(row) = row.filter(|row| is_it(row) && row.serial == 0) else { return Ok(false) };
        let toggle = Toggle::between(&place, None, Leaf::standing(&place, &row.held, false));
        let serial = self.append(Content::Put(entry.clone()), Record::of_entry(entry, VIA, self.at, &[toggle]))?;
        connection
            .prepare_cached("UPDATE head SET serial = ?3, exp = ?4, digest = ?5 WHERE kind = ?1 AND key = ?2")?
            .execute(params![SubjectKind::Account, key.raw(), serial, entry.exp(), entry.digest()])?;
        let live = Live { issuer: *entry.issuer(), digest: *entry.digest(), exp: entry.exp() };
        self.transaction.count(None, Some(live));
        Ok(true)
    }

    /// A remembered account left the read-only folder of the primary.
    pub fn removed(&mut self, key: &AccountKey) -> rusqlite::Result<()> {
        let connection = self.transaction.connection;
        let place = Subject::Account(*key);
        let Some(row) = head::load(connection, &place)? else { return Ok(()) };
        let Some(version) = row.held.version().filter(|_| row.held.is_live()).copied() else { return Ok(()) };
        let toggle = Toggle::between(&place, None, Leaf::standing(&place, &row.held, true));
        let serial = self.append(
            Content::Removed { key: *key, digest: UNKNOWN },
            Record::of_removal(&place, &version, &UNKNOWN, VIA, self.at, &[toggle]),
        )?;
        connection
            .prepare_cached("UPDATE head SET removed = ?3 WHERE kind = ?1 AND key = ?2")?
            .execute(params![SubjectKind::Account, key.raw(), serial])
            .map(drop)
    }

    /// The request that deleted some of the remembered accounts.
    pub fn delete(&mut self, tombstone: &Arc<Tombstone>) -> rusqlite::Result<()> {
        let connection = self.transaction.connection;
        let (mut keys, mut toggles) = (Vec::new(), Vec::new());
        for key in tombstone.keys() {
            let place = Subject::Account(*key);
            let Some(row) = head::load(connection, &place)? else { continue };
            if row.held.deleted() == Some(&tombstone.deletion()) && row.deleted_serial.is_none() {
                keys.push(key);
                let leaf = Leaf::standing(&place, &row.held, false).filter(|_| !row.held.is_live());
                toggles.push(Toggle::between(&place, None, leaf));
            }
        }
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        let serial = self.append(
            Content::Delete(tombstone.clone()),
            Record::of_delete(tombstone, VIA, self.at, &toggles, &digest),
        )?;
        let mut statement =
            connection.prepare_cached("UPDATE head SET deleted_serial = ?3 WHERE kind = ?1 AND key = ?2")?;
        for key in keys {
            statement.execute(params![SubjectKind::Account, key.raw(), serial])?;
        }
        Ok(())
    }

    /// An activation, however many its account has.
    pub fn activation(&mut self, activation: &Arc<Activation>) -> rusqlite::Result<()> {
        let at = self.at;
        // A mirror has one version of it, so the order accepts it.
        let _ = self.transaction.activation(activation, VIA, u64::MAX >> 1, at)?;
        self.forget_changes();
        Ok(())
    }

    /// The operator JWTs in force.
    pub fn operator(&mut self, chain: &Arc<OperatorChain>) -> rusqlite::Result<()> {
        let at = self.at;
        self.transaction.set_operator(chain, VIA, at)?;
        self.forget_changes();
        Ok(())
    }

    /// Operator keys that are no longer listed, each with the `iat` of the operator JWT that left it out.
    pub fn withdrawn(&self, keys: &[(PublicKey, i64)]) -> rusqlite::Result<()> {
        let mut statement =
            self.transaction.connection.prepare("INSERT OR REPLACE INTO withdrawn (issuer, at) VALUES (?1, ?2)")?;
        keys.iter().try_for_each(|(key, at)| statement.execute(params![key.raw(), at]).map(drop))
    }

    /// Sets the cursor of something that follows the journal to `but` changes before the end.
    pub fn passed(&self, name: &str, but: u64) -> rusqlite::Result<()> {
        let serial = self.transaction.meta.head.serial.saturating_sub(but);
        self.transaction
            .connection
            .execute("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)", params![name, serial])
            .map(drop)
    }

    /// Whether anything is remembered of an account.
    pub fn knows(&self, key: &AccountKey) -> rusqlite::Result<bool> {
        head::load(self.transaction.connection, &Subject::Account(*key)).map(|row| row.is_some())
    }

    /// Whether the request that deleted an account is among the changes.
    pub fn is_proven(&self, key: &AccountKey) -> rusqlite::Result<bool> {
        let row = head::load(self.transaction.connection, &Subject::Account(*key))?;
        Ok(row.is_some_and(|row| row.deleted_serial.is_some()))
    }

    fn append(&mut self, content: Content, record: Record<'_>) -> rusqlite::Result<u64> {
        let serial = self.transaction.append(content, record)?;
        self.forget_changes();
        Ok(serial)
    }

    /// The journal has no followers yet.
    fn forget_changes(&mut self) {
        self.transaction.changes.clear();
        self.transaction.toggles.clear();
    }
}
