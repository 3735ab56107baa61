//! Puts a copy of a journal in the place of a folder's journal.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::feed::{Session, SubjectKind};
use crate::folder;
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};
use crate::store::StoreError;
use crate::store::journal::{MIRROR, open};

/// Brings a copy to this version's format, and makes it the beginning of a session of its own. Durable when this returns.
///
/// A follower of the copied journal may have seen changes that the copy lacks: the session tells it. How far the token
/// folder had followed, and when it was scanned, is forgotten, because it may be another folder.
pub fn renew(path: &Path) -> Result<Session, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let session = Session::random();
    let connection = open::open_as_it_is(path)?;
    let renew = || {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute("UPDATE meta SET session = ?1", [session.0])?;
        transaction.execute("DELETE FROM cursor WHERE name = ?1 OR name LIKE 'looked%'", [MIRROR])?;
        // They were compared with another history.
        transaction.execute("DELETE FROM nats_server", [])?;
        transaction.commit()?;
        connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
    };
    renew().map_err(sqlite)?;
    connection.close().map_err(|(_, source)| sqlite(source))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))?;
    Ok(session)
}

/// What is newer in the journal at `held` than in the copy `than`, one line each. No process may write either of them, and the
/// copy must have this version's format.
pub fn newer(held: &Path, than: &Path) -> Result<Vec<String>, StoreError> {
    let sqlite = StoreError::sqlite(held);
    let connection = open::open_foreign(held)?;
    find_newer(&connection, than).map_err(sqlite)
}

fn find_newer(connection: &Connection, than: &Path) -> rusqlite::Result<Vec<String>> {
    connection.execute("ATTACH ?1 AS copy", [than.to_string_lossy()])?;
    // Of two versions of the same second, the newer one is the one that replaced the other.
    let mut statement = connection.prepare(
        "SELECT h.kind, h.key, h.iat, h.deleted, ifnull(h.deleted, 0) > ifnull(c.deleted, 0) AND h.deleted >= h.iat
         FROM main.head h LEFT JOIN copy.head c ON c.kind = h.kind AND c.key = h.key
         WHERE c.key IS NULL OR h.iat > c.iat OR ifnull(h.deleted, 0) > ifnull(c.deleted, 0)
            OR (h.iat = c.iat AND h.row <> 0 AND h.identity <> c.identity AND instr(c.ties, h.identity) = 0)
         ORDER BY h.kind, h.key",
    )?;
    let lines = statement.query_map([], |row| {
        let what = named(SubjectKind::from_code(row.get(0)?), row.get(1)?);
        Ok(if row.get::<_, Option<bool>>(4)?.unwrap_or(false) {
            format!("{what}: deleted by a request of {}", row.get::<_, i64>(3)?)
        } else {
            format!("{what}: a JWT issued at {}", row.get::<_, i64>(2)?)
        })
    })?;
    lines.collect()
}

/// The subject of a row, for people.
pub(super) fn named(kind: Option<SubjectKind>, key: [u8; 32]) -> String {
    match kind {
        Some(SubjectKind::Account) => format!("account {}", AccountKey::from_raw(key)),
        Some(SubjectKind::Operator) => format!("operator {}", PublicKey::from_raw(Kind::Operator, key)),
        _ => format!("activation {}", HashId::from_raw(key)),
    }
}

/// Moves the copy at `made` to its place at `journal`, whose lock is held. What was there is kept in the same folder;
/// returns where, if there was anything.
pub fn replace(made: &Path, journal: &Path, now: i64) -> Result<Option<PathBuf>, StoreError> {
    fold(journal);
    let kept = folder::move_aside(journal, &format!(".replaced-{now}"))?;
    folder::put_in_place(made, journal)?;
    Ok(kept)
}

/// Writes the log back, so that one file is all there is. One that is damaged is kept as it is.
fn fold(journal: &Path) {
    if journal.exists()
        && let Ok(connection) = Connection::open(journal)
    {
        // Otherwise it stays in the log, which is kept as well.
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}
