//! The tables of a snapshot, and how its file is opened.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::super::error::StoreError;
use super::super::{followers, operator};
use crate::clock;
use crate::folder::{beside, private, sync_folder};
use crate::gate::{OperatorChain, Origin, Replaced, Trust};

/// The version that this program writes. It only moves forward: an older snapshot is migrated, a newer one rejected.
const VERSION: i64 = 2;
/// Marks the file as ours.
const APPLICATION_ID: i64 = 0x4e41_5332;
/// Bytes that every SQLite database begins with.
const HEADER: usize = 100;
/// No snapshot is as large as this, in bytes; one that says so is not what it says.
const LARGEST: u64 = 1 << 40;
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 32;

/// Format 1, from which every snapshot starts.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    mode    TEXT    NOT NULL,   -- 'cache' or 'mirror'
    session BLOB,               -- 16 bytes: the journal that is followed; null if none was yet
    serial  INTEGER NOT NULL,   -- up to where it was followed
    chain   BLOB,               -- 32 bytes, after that change
    stretch INTEGER NOT NULL,   -- the number of the unbroken stretch of feed that this is in
    joined  INTEGER NOT NULL,   -- what was confirmed in this stretch or a later one is current at that serial
    heard   INTEGER NOT NULL    -- when the primary was last heard, unix milliseconds; 0: never
);
CREATE TABLE withdrawn (
    issuer BLOB PRIMARY KEY,    -- 32 bytes of an operator key that is no longer listed
    at     INTEGER NOT NULL     -- iat of the operator JWT that left it out
) WITHOUT ROWID;
CREATE TABLE seen (             -- every account ever heard of, whether or not its JWT is kept
    key            BLOB PRIMARY KEY,  -- 32 bytes
    iat            INTEGER,           -- of the newest JWT that upstream gave; null if there was none
    identity       BLOB,              -- SHA-256 of its signing input
    issuer         BLOB,              -- 32 bytes of the operator key that signed it
    session        BLOB,              -- 16 bytes: where its primary committed it, if known
    serial         INTEGER,
    ties           BLOB NOT NULL,     -- replaced at the same iat: 56 bytes each, identity, session, serial (0: unknown)
    marks          BLOB NOT NULL,     -- of each other key that signed: 48 bytes, key, iat, reach
    deleted        INTEGER,           -- iat of the newest delete request
    deleted_issuer BLOB,              -- 32 bytes of the operator key that signed it
    deleted_by     BLOB,              -- 32 bytes: SHA-256 of its signing input, if known
    removed        INTEGER NOT NULL,  -- 1: it left the primary's read-only folder
    ahead          INTEGER NOT NULL,  -- 1: the primary was found to hold something older, or nothing
    sum            BLOB NOT NULL,     -- 8 bytes: see docs/replication.md
    heard          INTEGER,           -- iat of a later JWT that upstream did not give: it was heard over NATS
    heard_identity BLOB,
    heard_issuer   BLOB
) WITHOUT ROWID;
CREATE INDEX ahead ON seen (key) WHERE ahead = 1;
CREATE TABLE proof (            -- on a mirror: what proves deletions, and activations
    kind     TEXT NOT NULL,      -- 'delete' or 'activation'
    key      BLOB NOT NULL,      -- 32 bytes: SHA-256 of the request's signing input, or the activation's hash
    identity BLOB NOT NULL,      -- SHA-256 of the signing input
    body     BLOB NOT NULL,      -- the request, or the activation
    session  BLOB,
    serial   INTEGER,
    sum      BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE copy (             -- the JWTs that are kept
    id        INTEGER PRIMARY KEY,
    key       BLOB    NOT NULL UNIQUE,
    jwt       BLOB    NOT NULL,
    session   BLOB,
    serial    INTEGER,
    stretch   INTEGER NOT NULL,  -- the stretch in which it was confirmed; 0: none
    confirmed INTEGER NOT NULL,  -- when the primary last confirmed it, unix milliseconds
    sum       BLOB    NOT NULL
);
";

/// From format 1 to 2, the table of [`followers`] aside.
const FORMAT_2: &str = "
ALTER TABLE meta ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0; -- up to where all copies were current
ALTER TABLE meta ADD COLUMN confirmed_chain BLOB;                 -- 32 bytes, after that change; null: unknown
CREATE TABLE identity (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    replica BLOB    NOT NULL    -- 16 bytes: the id by which this replica is known upstream
);
";

/// What format 2 adds to what a snapshot of format 1 has seen.
const SEEN_2: &str = "
ALTER TABLE seen ADD COLUMN heard INTEGER;
ALTER TABLE seen ADD COLUMN heard_identity BLOB;
ALTER TABLE seen ADD COLUMN heard_issuer BLOB;
";

/// What was found in the place of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundSnapshot {
    /// A usable snapshot.
    Whole,
    /// No file: the snapshot begins empty.
    Nothing,
    /// An unusable file, which is now at this path. A new snapshot begins empty.
    MovedAway(PathBuf),
    /// A file that was cut off. The rest of it is used.
    CutOff,
}

/// Opens the connection that writes, and says what was found.
pub(super) fn open(path: &Path) -> Result<(Connection, FoundSnapshot), StoreError> {
    let mut found = look(path)?;
    if let FoundSnapshot::Whole | FoundSnapshot::CutOff = found
        && !is_ours(path)?
    {
        found = FoundSnapshot::MovedAway(move_away(path)?);
    }
    let failed = StoreError::snapshot(path);
    // SQLite gives its other files the same mode.
    private::create_if_missing(path).map_err(StoreError::io("create", path))?;
    let connection = Connection::open(path).map_err(failed)?;
    prepare(&connection, true).map_err(failed)?;
    Ok((connection, found))
}

/// A snapshot for a process that keeps none: what does not fit into little memory goes to a temporary file, which the
/// system removes. If there is no place for one, it is all in memory.
pub(super) fn open_temporary() -> Result<Connection, StoreError> {
    let failed = StoreError::snapshot(Path::new("(temporary)"));
    let connection = Connection::open("").map_err(failed)?;
    connection
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA cache_size = -2048")
        .map_err(failed)?;
    prepare(&connection, false).map_err(failed)?;
    Ok(connection)
}

/// Opens a snapshot that is sound, or makes one with nothing in it.
pub(super) fn make(path: &Path) -> Result<Connection, StoreError> {
    private::create_if_missing(path).map_err(StoreError::io("create", path))?;
    let made = Connection::open(path).and_then(|connection| prepare(&connection, true).map(|()| connection));
    made.map_err(StoreError::snapshot(path))
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA cache_size = -4096")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn prepare(connection: &Connection, on_disk: bool) -> rusqlite::Result<()> {
    if on_disk {
        // A power failure may lose the last moments, but never data behind a position that is kept.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -4096",
        )?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    match version {
        0 => connection.execute_batch(TABLES).and_then(|()| connection.execute_batch(operator::TABLES))?,
        _ => connection.execute_batch(SEEN_2).and_then(|()| fill_2(connection))?,
    }
    connection.execute_batch(FORMAT_2)?;
    connection.execute_batch(followers::TABLE)?;
    connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"))?;
    transaction.commit()
}

/// From format 1 to 2: the operator JWTs in force are a chain. Before, there was one.
fn fill_2(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(operator::TABLES)?;
    let kept: Option<(String, Vec<u8>)> = connection
        .query_row("SELECT jwt, replaced FROM operator", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((jwt, replaced)) = kept
        && let Ok(trust) = Trust::from_operator_jwt(&jwt, clock::unix_seconds())
    {
        let at = |identity: &[u8; 32]| Replaced { iat: trust.iat(), identity: *identity };
        let replaced = replaced.as_chunks::<32>().0.iter().map(at).collect();
        // It is never empty: there is one link.
        if let Some(chain) = OperatorChain::restore(Origin::of(&trust), vec![Arc::new(trust)], replaced) {
            operator::save(connection, &chain)?;
        }
    }
    connection.execute_batch("DROP TABLE operator")
}

/// Checks the file without SQLite, and makes a cut-off one usable. Its missing pages become empty, and a read finds them
/// damaged.
fn look(path: &Path) -> Result<FoundSnapshot, StoreError> {
    let io = |action| StoreError::io(action, path);
    let mut file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(FoundSnapshot::Nothing),
        Err(error) => return Err(io("open")(error)),
    };
    let length = file.metadata().map_err(io("look at"))?.len();
    let mut header = [0; HEADER];
    if length == 0 {
        // It was about to be made.
        return Ok(FoundSnapshot::Nothing);
    }
    if length < HEADER as u64 || file.read_exact(&mut header).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Ok(FoundSnapshot::MovedAway(move_away(path)?));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The count of pages is only kept up to date where these two agree.
    let whole = u64::from(number(28)) * page;
    let is_sound = page.is_power_of_two() && page >= 512 && whole < LARGEST;
    if !is_sound || number(24) != number(92) || length >= whole {
        return Ok(FoundSnapshot::Whole);
    }
    file.set_len(whole).map_err(io("mend"))?;
    file.seek(SeekFrom::Start(0)).map_err(io("mend"))?;
    Ok(FoundSnapshot::CutOff)
}

/// Whether the file is a snapshot of a format that this version knows. `Ok(false)`: it is none at all.
fn is_ours(path: &Path) -> Result<bool, StoreError> {
    let pragma = |connection: &Connection, name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
    };
    let read = || -> rusqlite::Result<(i64, i64)> {
        let connection = Connection::open(path)?;
        Ok((pragma(&connection, "application_id")?, pragma(&connection, "user_version")?))
    };
    match read() {
        Ok((APPLICATION_ID, version)) if version > VERSION => Err(StoreError::unusable(
            path,
            format!(
                "its format {version} was written by a newer version of this program, which knows format {VERSION}; run \
                 that version, or move the file away: then what was seen is forgotten"
            ),
        )),
        Ok((application, version)) => Ok(application == APPLICATION_ID && (1..=VERSION).contains(&version)),
        Err(_) => Ok(false),
    }
}

/// Moves an unusable file out of the way, and removes its logs.
pub(super) fn move_away(path: &Path) -> Result<PathBuf, StoreError> {
    for log in ["-wal", "-shm"] {
        // They are of no use without it.
        let _ = fs::remove_file(beside(path, log));
    }
    let numbered = format!(".damaged-{}", clock::unix_seconds());
    move_to(path, &numbered)
}

/// Moves a file that no process has open to another ending, with a number if that name is taken.
pub(super) fn move_to(path: &Path, ending: &str) -> Result<PathBuf, StoreError> {
    // Files that were moved away earlier stay.
    let free =
        std::iter::once(beside(path, ending)).chain((1..).map(|number| beside(path, format!("{ending}.{number}"))));
    let away = free.into_iter().find(|away| !away.exists()).unwrap_or_else(|| beside(path, ending));
    fs::rename(path, &away).map_err(StoreError::io("move away", path))?;
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(away)
}
