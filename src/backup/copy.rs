//! Copies a journal that another process may be writing.
//!
//! SQLite copies page by page, while a read transaction fixes the view. Writes that were acknowledged before the start are in
//! the copy; later ones are not. Writers do not wait. The log grows until the copy is done.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::folder::private;
use crate::store::StoreError;
use crate::store::journal::open::open_foreign;
use crate::store::journal::schema;

/// Pages that are copied in one go.
const PIECE: i32 = 4096;

/// Copies the journal at `from` to the new file `to`, durable when this returns. `progress` gets how many pages of how many
/// are done.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let reading = StoreError::sqlite(from);
    let writing = StoreError::sqlite(to);
    let source = open_foreign(from)?;
    source.execute_batch("BEGIN").map_err(reading)?;
    // The view is that of the first thing that is read.
    schema::head(&source).map_err(reading)?;
    private::create(to).map_err(StoreError::io("create", to))?;
    let mut target = Connection::open(to).map_err(writing)?;
    let backup = Backup::new(&source, &mut target).map_err(writing)?;
    loop {
        let step = backup.step(PIECE).map_err(writing)?;
        let pages = backup.progress();
        let number = |pages: i32| u64::try_from(pages).unwrap_or(0);
        progress(number(pages.pagecount - pages.remaining), number(pages.pagecount));
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // No other process has the new file, and readers do not wait for the writer, so this ends.
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    drop(backup);
    // One file, without a log.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(writing)?;
    target.close().map_err(|(_, source)| writing(source))?;
    File::open(to).and_then(|copy| copy.sync_all()).map_err(StoreError::io("sync", to))
}
