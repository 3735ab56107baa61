//! Opens the journal's file: creates it, migrates it, and rejects a file that is no journal.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::super::error::StoreError;
use super::digests;
use super::schema::{self, APPLICATION_ID, FIRST, MIGRATIONS, Meta, STATEMENTS, TABLES, VERSION};
use crate::feed::{Chain, Session};
use crate::folder::{self, beside, private};

/// Bytes that every SQLite database begins with.
const HEADER: u64 = 100;

/// Opens the one connection that writes, creating or migrating the file.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(path);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
        _ => check_length(path)?,
    }
    let connection = Connection::open(path).map_err(sqlite)?;
    // Nothing that changes the file comes before the check of whose it is.
    check_ours(&connection, path)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;")
        .map_err(sqlite)?;
    create(&connection).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Rejects a file that is too short for a journal: SQLite would treat it as a new database, and discard its log.
pub(crate) fn check_length(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() < HEADER => Err(StoreError::unusable(
            path,
            "it is empty, or was cut off; restore it from a backup, or move it away to start from the folder's JWT files",
        )),
        _ => Ok(()),
    }
}

/// Makes an empty journal. It gets its name when it is complete, so an incomplete file under that name is damage.
fn make(path: &Path) -> Result<(), StoreError> {
    let (made, ()) = make_beside(path, |_| Ok(()))?;
    put_in_place(&made, path)
}

/// Makes a journal next to its place, with what `fill` puts into it. Returns where it is, and what `fill` returned.
pub(super) fn make_beside<T>(
    path: &Path,
    fill: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<(PathBuf, T), StoreError> {
    let made = beside(path, ".new");
    let sqlite = StoreError::sqlite(&made);
    match fs::remove_file(&made) {
        // Left by an interrupted start.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io("remove", &made)(error)),
    }
    // SQLite gives its other files the same mode.
    private::create(&made).map_err(StoreError::io("create", &made))?;
    let connection = Connection::open(&made).map_err(sqlite)?;
    // A half-made file is of no use, so nothing has to be undone.
    connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL").map_err(sqlite)?;
    create(&connection).map_err(sqlite)?;
    let filled = fill(&connection).map_err(sqlite)?;
    connection.close().map_err(|(_, source)| sqlite(source))?;
    Ok((made, filled))
}

/// Moves a journal that was made next to its place to that place.
pub(super) fn put_in_place(made: &Path, path: &Path) -> Result<(), StoreError> {
    // SQLite would read the log of an earlier journal into this one.
    for ending in ["-wal", "-shm", "-journal"] {
        let (log, old) = (beside(path, ending), beside(path, format!("{ending}.old")));
        if log.exists() {
            fs::rename(&log, &old).map_err(StoreError::io("move away", &log))?;
        }
    }
    Ok(folder::put_in_place(made, path)?)
}

/// A journal that lives as long as its process.
pub(super) fn open_memory() -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(Path::new(":memory:"));
    let connection = Connection::open_in_memory().map_err(sqlite)?;
    create(&connection).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens a connection that only reads, on the journal of another process or of none.
pub(crate) fn open_foreign(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_reader(path)?;
    check_ours(&connection, path)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(sqlite)?;
    // 8 MiB hold the inner pages of a journal with millions of accounts, so that a look-up reads the leaves only.
    connection.execute_batch("PRAGMA cache_size = -8192").map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

pub(crate) fn check_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sqlite = StoreError::sqlite(path);
    let unusable = |reason: String| Err(StoreError::unusable(path, reason));
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    if pragma("application_id").map_err(sqlite)? != APPLICATION_ID {
        return unusable("this is a SQLite database of another program; move it away".into());
    }
    let version = pragma("user_version").map_err(sqlite)?;
    if version > VERSION {
        return unusable(format!(
            "its format {version} was written by a newer version of this program, which knows format {VERSION}; \
             run that version"
        ));
    }
    if (1..FIRST).contains(&version) {
        return unusable(format!(
            "its format {version} is that of a build before the first release: `export` with that build, move the file \
             away, and `import` with this one; if no such build wrote it, it is damaged: restore it from a backup"
        ));
    }
    Ok(())
}

/// Brings a new or older journal to this version's format, in one transaction.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    if version == 0 {
        connection.execute_batch(TABLES)?;
        connection.execute(
            "INSERT INTO meta (id, session, serial, chain, count) VALUES (1, ?1, 0, ?2, 0)",
            (Session::random().0, Chain::default().0),
        )?;
        digests::recompute(connection)?;
        connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    }
    let done = usize::try_from(version - FIRST).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        connection.execute_batch(migration.tables)?;
        (migration.fill)(connection)?;
    }
    connection.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?;
    transaction.commit()
}

/// Reads the journal's position, and checks it against the last change.
pub(crate) fn load_meta(connection: &Connection, path: &Path) -> Result<Meta, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let unusable = |reason| StoreError::unusable(path, reason);
    let count = |row: &rusqlite::Row<'_>| row.get(0);
    let meta = schema::head(connection)
        .and_then(|head| {
            let count = connection.query_row("SELECT count FROM meta WHERE id = 1", [], count)?;
            Ok(Meta { head, count })
        })
        .optional()
        .map_err(sqlite)?
        .ok_or_else(|| unusable("its state row is missing; restore it from a backup"))?;
    let last: Option<(u64, [u8; 32])> = connection
        .query_row("SELECT serial, chain FROM change ORDER BY serial DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(sqlite)?;
    match last {
        None if meta.head.serial == 0 => Ok(meta),
        Some((serial, chain)) if serial == meta.head.serial && chain == meta.head.chain.0 => Ok(meta),
        _ => Err(unusable(
            "its last change does not match its state row: it was damaged or edited; restore it from a backup",
        )),
    }
}
