//! Reads some facts of a journal that this process does not own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc;

use super::super::error::StoreError;
use super::change;
use super::digests::Digests;
use super::files::Files;
use super::index::Index;
use super::lacking::Lacking;
use super::open::{load_meta, open_foreign};
use super::pool::Readers;
use super::read::JournalReader;
use super::schema::{self, Role};
use super::signers::{Signers, Stats};
use super::state::JournalState;
use super::tail::Tail;
use super::write::Request;
use crate::feed::SubjectKind;
use crate::gate::{Entry, Gate, OperatorChain};
use crate::key::{AccountKey, PublicKey};

impl JournalReader {
    /// Reads the journal at `path`, which a server may be writing. Accounts and their histories are read as they are then. Its
    /// position, counts and log are those of this moment, and it has no digests. `gate`: who is trusted.
    pub fn of_foreign(path: &Path, gate: Arc<Gate>) -> Result<Self, StoreError> {
        let sqlite = StoreError::sqlite(path);
        let connection = open_foreign(path)?;
        // A server may commit between two of these questions.
        connection.execute_batch("BEGIN").map_err(sqlite)?;
        let meta = load_meta(&connection, path)?;
        let tail = Tail::load(&connection, &meta, None).map_err(sqlite)?;
        let signers = Signers::load(&connection).map_err(sqlite)?;
        connection.execute_batch("COMMIT").map_err(sqlite)?;
        Ok(Self {
            path: path.to_owned(),
            gate,
            connections: Arc::new(Readers::shared(Arc::new(Mutex::new(connection)))),
            state: Arc::new(JournalState::new(&meta, &tail)),
            index: Arc::new(Index::default()),
            digests: Arc::new(Digests::none(meta.head)),
            stats: Arc::new(Stats::new(meta.count, signers)),
            // Whoever writes it watches them.
            files: Arc::new(Files::none()),
            writer: mpsc::channel::<Request>(1).0.downgrade(),
        })
    }

    /// The role of the journal.
    pub fn role(&self) -> Role {
        self.state.role()
    }

    /// Why it may lack something that its primary has, as it was opened. `None`: it does not.
    pub fn lacks(&self) -> Option<&'static str> {
        self.state.meta().lacks()
    }
}

/// What a journal stores of an account.
#[derive(Debug)]
pub enum StoredAccount {
    /// This JWT, whether or not the operator vouches for its signer now.
    Live(Box<Entry>),
    /// It was deleted, by a request of this time, unix seconds.
    Deleted(i64),
    /// Nothing.
    None,
    /// A JWT whose text is damaged, or not there.
    Unreadable,
    /// Nothing, and it is the journal of a replica that may lack accounts.
    MayLack,
}

/// What the journal at `path`, which a server may be writing, stores of an account.
pub fn account_in(path: &Path, key: &AccountKey) -> Result<StoredAccount, StoreError> {
    let connection = open_foreign(path)?;
    let read = || {
        connection.execute_batch("BEGIN")?;
        stored(&connection, key)
    };
    read().map_err(StoreError::sqlite(path))
}

fn stored(connection: &Connection, key: &AccountKey) -> rusqlite::Result<StoredAccount> {
    let live = connection
        .query_row(
            "SELECT l.key, l.iat, l.exp, l.identity, l.issuer, l.digest, coalesce(c.body, x'')
             FROM live l LEFT JOIN change c ON c.id = l.row WHERE l.key = ?1",
            [key.raw()],
            change::record,
        )
        .optional()?;
    if let Some(record) = live {
        return Ok(
            Entry::reopen(record).map_or(StoredAccount::Unreadable, |entry| StoredAccount::Live(Box::new(entry)))
        );
    }
    let deleted = connection
        .query_row(
            "SELECT deleted FROM head WHERE kind = ?1 AND key = ?2 AND deleted IS NOT NULL AND (issuer = x'' OR iat <= deleted)",
            params![SubjectKind::Account, key.raw()],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(at) = deleted {
        return Ok(StoredAccount::Deleted(at));
    }
    let meta = schema::meta(connection)?;
    let may_lack = meta.role != Role::Primary && Lacking::find(connection, &meta)?.accounts().is_some();
    Ok(if may_lack { StoredAccount::MayLack } else { StoredAccount::None })
}

/// The operator JWTs in force in the journal at `path`, which a server may be writing.
pub fn operator_in(path: &Path) -> Result<Option<OperatorChain>, StoreError> {
    let connection = open_foreign(path)?;
    super::super::operator::load(&connection).map_err(StoreError::sqlite(path))
}

/// The role of the journal at `path`.
pub fn role_of(path: &Path) -> Result<Role, StoreError> {
    let connection = open_foreign(path)?;
    schema::meta(&connection).map(|meta| meta.role).map_err(StoreError::sqlite(path))
}

/// The operator JWTs in force and the withdrawn keys, as the journal at `path` has them.
pub fn trust_in(path: &Path) -> Result<(Option<OperatorChain>, HashMap<PublicKey, i64>), StoreError> {
    let connection = open_foreign(path)?;
    let read = || Ok((super::super::operator::load(&connection)?, super::operator::withdrawn(&connection)?));
    read().map_err(StoreError::sqlite(path))
}
