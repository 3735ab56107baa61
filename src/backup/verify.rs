//! Verifies a copy of a journal: every page, every link of the chain, every text, every head, every count.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::consistency::{self, Facts};
use super::restore::named;
use crate::feed::{Head, Operation, SubjectKind};
use crate::gate::Digest;
use crate::store::StoreError;
use crate::store::journal::lacking::Lacking;
use crate::store::journal::schema::Meta;
use crate::store::journal::{Role, head, open};

/// What a sound copy holds.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its position.
    pub head: Head,
    /// Accounts with a JWT.
    pub accounts: u64,
    /// Deleted accounts.
    pub deleted: u64,
    /// When its last change was committed, unix milliseconds; `None`: there is none.
    pub changed_at: Option<i64>,
    /// Texts of versions that were replaced since, which do not match their digests. They are never served.
    pub damaged_history: u64,
    /// Which server's it is.
    pub role: Role,
    /// Why it may lack something, as the copy of a replica; `None`: it does not.
    pub lacks: Option<String>,
}

/// Verifies a journal that no process writes. `progress` gets how many changes of how many are done.
///
/// The error says what is wrong with the journal.
pub fn verify(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Verified, StoreError> {
    let broken = |what: &str| StoreError::unusable(path, format!("{what}; use another copy"));
    let unreadable = |source: rusqlite::Error| broken(&format!("it is damaged, or no copy of a journal: {source}"));
    open::check_length(path)?;
    let connection = open::open_reader(path)?;
    open::check_ours(&connection, path).map_err(|error| match error {
        StoreError::Sqlite { source, .. } => unreadable(source),
        other => other,
    })?;
    let intact: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(unreadable)?;
    if intact != "ok" {
        return Err(broken(&format!("it is damaged: {intact}")));
    }
    let meta = open::load_meta(&connection, path)?;
    let damaged = chain(&connection, &meta, &mut progress).map_err(unreadable)?.map_err(|fault| broken(&fault))?;
    let mut damaged_history = 0;
    for (id, serial) in damaged {
        let stands = stands(&connection, id).map_err(unreadable)?;
        if stands {
            return Err(broken(&format!("the text of change {serial}, which is current, does not match its digest")));
        }
        damaged_history += 1;
    }
    if let Some((kind, key)) = head::find_damage(&connection, &meta.log).map_err(unreadable)? {
        let of = key.map_or_else(|| "a key".to_owned(), |key| named(Some(kind), key));
        return Err(broken(&format!("what it says of {of} does not agree with its sum: it was damaged or edited")));
    }
    if let Some(fault) = consistency::heads(&connection).map_err(unreadable)? {
        return Err(broken(&fault));
    }
    let (accounts, deleted) = count(&connection).map_err(unreadable)?;
    if accounts != meta.count {
        return Err(broken(&format!("it says that it has {} accounts, but has {accounts}", meta.count)));
    }
    let changed_at = connection
        .query_row("SELECT at FROM change WHERE id = ?1", [meta.log.id(meta.head.serial)], |row| row.get(0))
        .optional()
        .map_err(unreadable)?;
    let lacks = Lacking::find(&connection, &meta).map_err(unreadable)?.why();
    Ok(Verified { head: meta.head, accounts, deleted, changed_at, damaged_history, role: meta.role, lacks })
}

/// Verifies the chain. Returns id and serial of the changes whose texts do not match their digests. The inner error names the change that
/// breaks the chain, or whose text disagrees with its columns.
fn chain(
    connection: &Connection,
    meta: &Meta,
    progress: &mut impl FnMut(u64, u64),
) -> rusqlite::Result<Result<Vec<(i64, u64)>, String>> {
    let mut statement = connection.prepare(
        "SELECT serial, op, digest, chain, body, kind, key, iat, exp, identity, issuer, id FROM change ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let breaks = |serial: u64| format!("change {serial} does not follow from the one before it: it was edited");
    let (total, first) = (meta.head.serial, meta.log.id(meta.log.floor.0));
    let ((mut before, mut chain), mut damaged) = (meta.log.floor, Vec::new());
    while let Some(row) = rows.next()? {
        let (serial, digest): (u64, Digest) = (row.get(0)?, row.get(2)?);
        let Some(operation) = Operation::from_tag(row.get(1)?) else { return Ok(Err(breaks(serial))) };
        let id: i64 = row.get(11)?;
        // What is before the log of this order, or outside it, has no chain to follow.
        if id > first {
            chain = chain.next(serial, operation, &digest);
            if serial != before + 1 || row.get::<_, [u8; 32]>(3)? != chain.0 {
                return Ok(Err(breaks(serial)));
            }
            before = serial;
        }
        match row.get_ref(4)?.as_blob_or_null()? {
            None => {}
            // What is passed on has another form than what entered the chain.
            Some(_) if SubjectKind::from_code(row.get(5)?).is_none() => {}
            Some(body) if Sha256::digest(body)[..] != digest => damaged.push((id, serial)),
            Some(body) => {
                let kind = SubjectKind::from_code(row.get(5)?);
                let noted = Facts {
                    key: row.get(6)?,
                    iat: row.get(7)?,
                    exp: row.get(8)?,
                    identity: row.get(9)?,
                    issuer: row.get(10)?,
                };
                if consistency::facts(kind, operation, body, &digest).as_ref() != Some(&noted) {
                    let of = noted.key.map(|key| format!(" of {}", named(kind, key))).unwrap_or_default();
                    return Ok(Err(format!(
                        "change {serial}{of} does not agree with its text: it was damaged or edited"
                    )));
                }
            }
        }
        if serial % 1000 == 0 || serial == total {
            progress(serial, total);
        }
    }
    Ok(Ok(damaged))
}

/// Whether a change made the current state of an account.
fn stands(connection: &Connection, id: i64) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM head WHERE row = ?1 OR deleted_row = ?1 OR under = ?1)",
        [id],
        |row| row.get(0),
    )
}

/// Live and deleted accounts, counted one by one.
fn count(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let query = "SELECT ifnull(sum(row <> 0 AND NOT is_deleted AND removed = 0), 0), ifnull(sum(is_deleted), 0)
         FROM (SELECT *, deleted IS NOT NULL AND (issuer = x'' OR iat <= deleted) AS is_deleted FROM head WHERE kind = ?1)";
    connection.query_row(query, params![SubjectKind::Account], |row| Ok((row.get(0)?, row.get(1)?)))
}
