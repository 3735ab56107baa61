//! Writes the log back into the database, off the path of writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::super::error::StoreError;
use super::files::Files;
use super::pool::Readers;
use super::schema;
use crate::folder::beside;

/// A log larger than this is written back in the background, in bytes.
const WRITE_BACK: u64 = 4 << 20;
/// At this size, in bytes, the writer itself makes room. Otherwise the log would grow without end under steady load.
const BOUND: u64 = 64 << 20;
/// How long the writer waits for another one, such as a database tool that has the file open.
const BUSY: Duration = Duration::from_secs(5);
/// How often the background looks.
const PERIOD: Duration = Duration::from_millis(100);

/// Tells the background thread to end.
#[derive(Debug, Default)]
pub(super) struct Closing {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Closing {
    pub(super) fn close(&self) {
        *self.closed.lock() = true;
        self.changed.notify_all();
    }

    /// Whether it is time to end.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.lock()
    }

    /// Waits for one period. Returns whether it is time to end.
    fn wait(&self) -> bool {
        let mut closed = self.closed.lock();
        self.changed.wait_while_for(&mut closed, |closed| !*closed, PERIOD);
        *closed
    }
}

/// Starts the background thread for the journal at `path`.
pub(super) fn spawn(
    path: PathBuf,
    files: Arc<Files>,
    readers: Arc<Readers>,
    closing: Arc<Closing>,
) -> Result<std::thread::JoinHandle<()>, StoreError> {
    let sqlite = StoreError::sqlite(&path);
    let connection = Connection::open(&path).map_err(sqlite)?;
    // Opened now, so that it has this log and not a later one.
    schema::head(&connection).map_err(sqlite)?;
    let started = path.clone();
    std::thread::Builder::new()
        .name("journal-checkpoint".into())
        .spawn(move || {
            while !closing.wait() {
                readers.end_kept();
                if let Err(lost) = files.check() {
                    if lost.is_news && lost.can_be_saved() {
                        save(&connection, &path);
                    }
                } else if log_size(&path) > WRITE_BACK {
                    checkpoint(&connection, &path, "PASSIVE");
                }
            }
        })
        .map_err(StoreError::io("start the checkpoints of", &started))
}

/// Makes room if the log has passed its bound. Called by the writer between two transactions.
///
/// It does not wait for a reader that holds the log, such as a foreign backup program or a long query. The log grows until
/// that reader ends.
pub(super) fn bound_log(connection: &Connection, readers: &Readers, path: &Path) {
    if log_size(path) > BOUND {
        readers.end_kept();
        // Setting a time-out does not fail on an open connection.
        let _ = connection.busy_timeout(Duration::from_millis(20));
        checkpoint(connection, path, "RESTART");
        let _ = connection.busy_timeout(BUSY);
    }
}

/// Writes the whole log back and empties it. Called by the writer at its end: SQLite would do so when the last connection
/// closes, but the readers', which cannot write, stay open until the process is gone.
pub(super) fn fold_log(connection: &Connection, readers: &Readers, path: &Path) {
    readers.end_kept();
    checkpoint(connection, path, "TRUNCATE");
}

/// Writes back what is only in a log that was removed or replaced. A process that holds the file open can still read it.
pub(super) fn save(connection: &Connection, path: &Path) {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    match connection.query_row("PRAGMA wal_checkpoint(FULL)", [], read) {
        Ok((0, log, done)) if log == done => {
            tracing::warn!("journal {}: everything that was acknowledged is in the database itself", path.display());
        }
        Ok(_) => tracing::error!("journal {}: the log is not written back: the database is busy", path.display()),
        Err(error) => tracing::error!("journal {}: the log is not written back: {error}", path.display()),
    }
}

fn checkpoint(connection: &Connection, path: &Path, mode: &str) {
    // A failed checkpoint loses nothing: the log stays, and the next checkpoint tries again.
    if let Err(error) = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())) {
        tracing::debug!("journal {}: checkpoint: {error}", path.display());
    }
}

fn log_size(path: &Path) -> u64 {
    std::fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len())
}
