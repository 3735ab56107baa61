//! Opens the journal's file: creates it, and rejects a file that is none or of another format.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, ffi};

use super::super::error::StoreError;
use super::digests;
use super::schema::{self, APPLICATION_ID, Meta, Role, STATEMENTS, VERSION};
use crate::folder::{self, beside, private};

/// Bytes that every SQLite database begins with.
const HEADER: u64 = 100;

/// Opens the one connection that writes, and makes the file if there is none.
pub(crate) fn open_writer(path: &Path, role: Role) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(path);
    no_snapshot(path)?;
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, role)?,
        _ => check_length(path)?,
    }
    let connection = Connection::open(path).map_err(sqlite)?;
    // Nothing that changes the file comes before the check of whose it is.
    check_ours(&connection, path)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;",
            // What a replica loses with its machine, it gets again: it goes on from an earlier position.
            if role == Role::Primary { "FULL" } else { "NORMAL" }
        ))
        .map_err(sqlite)?;
    take_role(&connection, path, role)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Rejects a folder with what an earlier build of a replica left.
fn no_snapshot(path: &Path) -> Result<(), StoreError> {
    let snapshot = path.with_file_name(private::SNAPSHOT);
    if !snapshot.exists() {
        return Ok(());
    }
    Err(StoreError::unusable(
        &snapshot,
        "an earlier build of a replica left this, and this build cannot read it: move it away, and the replica gets \
         everything from its primary; first hand back what only this replica has, with `restore --from` of the earlier build",
    ))
}

/// Opens a connection that writes to the journal of a process that has ended, whatever its role.
pub(crate) fn open_as_it_is(path: &Path) -> Result<Connection, StoreError> {
    check_length(path)?;
    let connection = Connection::open(path).map_err(StoreError::sqlite(path))?;
    check_ours(&connection, path)?;
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(StoreError::sqlite(path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes the journal that of another role, if that is possible.
fn take_role(connection: &Connection, path: &Path, role: Role) -> Result<(), StoreError> {
    let sqlite = StoreError::sqlite(path);
    let mut meta = schema::meta(connection).map_err(sqlite)?;
    match (meta.role, role) {
        (was, is) if was == is => return Ok(()),
        (_, Role::Primary) => {
            return Err(StoreError::unusable(
                path,
                "this is the store of a replica: to make a mirror the primary, run `nats-account-server promote` with the \
                 same flags first; to serve a replica, name its primary; to begin with nothing but the folder's JWT files, \
                 move it away",
            ));
        }
        // It holds all that a cache holds.
        (Role::Mirror, _) => {}
        // It lacks texts, or what it holds was not compared with anybody.
        (Role::Primary | Role::Cache, _) => (meta.is_level, meta.is_whole) = (false, false),
    }
    if meta.role == Role::Primary {
        tracing::warn!(
            "{} is the journal of a primary, and becomes the store of a replica: what only it holds is served, and counts as \
             newer than at the primary; to make it a primary again, run `nats-account-server promote`",
            path.display()
        );
    }
    meta.role = role;
    meta.write(connection).map_err(sqlite)
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
fn make(path: &Path, role: Role) -> Result<(), StoreError> {
    let (made, ()) = make_beside(path, role, |_| Ok(()))?;
    put_in_place(&made, path)
}

/// Makes a journal next to its place, with what `fill` puts into it. Returns where it is, and what `fill` returned.
pub(super) fn make_beside<T>(
    path: &Path,
    role: Role,
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
    create(&connection, role).map_err(sqlite)?;
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

/// A journal that lives as long as its process. That of a replica is in a temporary file, because it remembers many keys.
pub(super) fn open_temporary(role: Role) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(Path::new(":memory:"));
    let connection = if role == Role::Primary { Connection::open_in_memory() } else { Connection::open("") };
    let connection = connection.map_err(sqlite)?;
    create(&connection, role).map_err(sqlite)?;
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
    if version < VERSION {
        return unusable(format!(
            "its format {version} is that of an earlier build: `export` with that build, move the file away, and `import` with \
             this one; deletions and the history do not go along. If no such build wrote it, it is damaged: restore it from \
             a backup"
        ));
    }
    let parts = schema::parts(connection).map_err(sqlite)?;
    if !schema::EXPECTED.iter().all(|expected| parts.contains(expected)) {
        let text = format!("its tables are not those of format {VERSION}");
        return Err(sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))));
    }
    Ok(())
}

/// Makes the tables of a new journal, in one transaction.
fn create(connection: &Connection, role: Role) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    schema::create(&transaction)?;
    schema::begin(&transaction, role)?;
    digests::recompute(&transaction, &schema::meta(&transaction)?)?;
    transaction.commit()
}

/// Reads the state row, and checks it against the last change.
pub(crate) fn load_meta(connection: &Connection, path: &Path) -> Result<Meta, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let unusable = |reason| StoreError::unusable(path, reason);
    let meta = schema::meta(connection)
        .optional()
        .map_err(sqlite)?
        .ok_or_else(|| unusable("its state row is missing; restore it from a backup"))?;
    let last: Option<(u64, [u8; 32])> = connection
        .query_row(
            "SELECT serial, chain FROM change WHERE id > ?1 ORDER BY id DESC LIMIT 1",
            [meta.log.id(meta.log.floor.0)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(sqlite)?;
    let (serial, chain) = last.unwrap_or((meta.log.floor.0, meta.log.floor.1.0));
    if (serial, chain) != (meta.head.serial, meta.head.chain.0) {
        return Err(unusable(
            "its last change does not match its state row: it was damaged or edited; restore it from a backup",
        ));
    }
    let (ahead, doubted) = schema::count_flagged(connection).map_err(sqlite)?;
    Ok(Meta { ahead, doubted, ..meta })
}
