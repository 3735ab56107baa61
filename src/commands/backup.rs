//! `backup`: a copy of the whole state in one file, while the server runs or after it.
//!
//! The state is the journal: every account, deletion and activation, the operator's JWT, and the history. The folder of
//! tokens follows from it. A mirror that is in sync has the same.

mod keep;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::{Exit, readable_journal_of, say};
use crate::backup::{self, Verified, incomplete};
use crate::calendar;
use crate::clock;
use crate::config::Settings;
use crate::folder::{self, FolderError, beside};
use crate::logging::Bar;
use crate::store::StoreError;
use crate::store::journal::note_backup;

const AFTER_HELP: &str = "\
The copy has everything that was acknowledged before it began. It gets its name
after it was verified, page by page and change by change. `restore` puts it
back. The folder may be that of a primary, or of a mirror that is in sync.

Examples:
  nats-account-server backup -dir /var/lib/nas /backup/accounts.backup

  Each night, and keep two weeks:
    nats-account-server backup -dir /var/lib/nas --keep 14 /backup";

/// What `backup` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct BackupArgs {
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
    /// Write to a file with the time in its name in the folder FILE, and then remove all but the newest N of these files
    #[arg(long, value_name = "N", conflicts_with = "overwrite")]
    keep: Option<NonZeroUsize>,
    /// File to write; with --keep, an existing folder
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Copies and verifies. 0: the file is there, whole.
pub(super) fn run(settings: &Settings, args: &BackupArgs) -> Result<(), Exit> {
    let journal = readable_journal_of(settings)?;
    let Some(keep) = args.keep else { return back_up(&journal, &args.file, args.overwrite) };
    if !args.file.is_dir() {
        return Err(format!("{} is no folder: --keep needs one that exists", args.file.display()).into());
    }
    let file = args.file.join(keep::file_name(clock::unix_seconds()));
    back_up(&journal, &file, false)?;
    let removed = keep::remove_older(&file, keep)
        .map_err(|error| format!("the backup was made, but older ones cannot be removed: {error}"))?;
    removed.iter().for_each(|old| say(&format!("removed {}", old.display())));
    Ok(())
}

fn back_up(journal: &Path, file: &Path, overwrite: bool) -> Result<(), Exit> {
    refuse_to_overwrite(file, overwrite)?;
    let made = Unfinished::beside(file);
    let verified = make(journal, &made.0).map_err(|error| format!("cannot back up: {error}"))?;
    if let Some(why) = verified.lacks {
        return Err(format!("cannot back up {}: {}", journal.display(), incomplete(&why)).into());
    }
    refuse_to_overwrite(file, overwrite)?;
    made.finish(file).map_err(|error| format!("cannot back up: {error}"))?;
    if let Err(error) = note_backup(journal, clock::unix_seconds()) {
        tracing::warn!("last_backup_timestamp_seconds of the server does not show this backup: {error}");
    }
    say(&format!("backed up {} to {}: {}", journal.display(), file.display(), describe(&verified)));
    Ok(())
}

fn refuse_to_overwrite(file: &Path, overwrite: bool) -> Result<(), String> {
    if !overwrite && file.symlink_metadata().is_ok() {
        return Err(format!("{} exists: choose another name, or give --overwrite", file.display()));
    }
    Ok(())
}

fn make(journal: &Path, to: &Path) -> Result<Verified, StoreError> {
    let bar = Bar::new("copying", 0);
    backup::copy(journal, to, |done, total| bar.show(done, total))?;
    drop(bar);
    verify(to)
}

/// Verifies a copy, with a bar on a terminal.
pub(super) fn verify(copy: &Path) -> Result<Verified, StoreError> {
    let bar = Bar::new("verifying", 0);
    backup::verify(copy, |done, total| bar.show(done, total))
}

/// What is in a copy, for people.
pub(super) fn describe(verified: &Verified) -> String {
    let changed = verified.changed_at.map_or_else(String::new, |at| format!(" of {}", date(at)));
    let damage = match verified.damaged_history {
        0 => String::new(),
        some => format!("; {some} texts of earlier versions are damaged, which nothing depends on"),
    };
    format!(
        "{} accounts, {} deleted, up to change {}{changed}, session {}{damage}",
        verified.accounts, verified.deleted, verified.head.serial, verified.head.session
    )
}

fn date(millis: i64) -> String {
    calendar::unix_date(UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// A file that is being made, and goes away if it is not finished.
pub(super) struct Unfinished(pub(super) PathBuf);

impl Unfinished {
    /// One beside the place where it is to be.
    pub(super) fn beside(file: &Path) -> Self {
        Self(beside(file, format!(".part-{}", std::process::id())))
    }

    /// Moves it to its place, durably.
    pub(super) fn finish(self, file: &Path) -> Result<(), FolderError> {
        folder::put_in_place(&self.0, file)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone if it was finished, or never begun.
        let _ = fs::remove_file(&self.0);
    }
}
