//! `restore`: the state of a backup in the place of that of a stopped server.
//!
//! The backup of a mirror becomes the journal of a primary, as by `promote`.
//!
//! A restored journal is the beginning of a new session, so whoever followed the old one compares all that he holds
//! instead of going on as if nothing had happened. What replicas hold newer than a backup had, they hand back
//! ([`hand_back`]).

mod hand_back;
mod no_backup;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::backup::{Unfinished, describe, verify};
use super::findings::Findings;
use super::operator;
use super::promote;
use super::{Exit, journal_of, runtime, say};
use crate::backup;
use crate::clock;
use crate::config::Settings;
use crate::folder::private;
use crate::primary;
use crate::store::StoreError;
use crate::store::journal::Role;
use hand_back::HandBackArgs;

const AFTER_HELP: &str = "\
The server must be stopped. The present state is kept under another name. A
backup of a mirror becomes the state of a primary. When
the server starts, it imports JWTs in the token folder that are newer than the
backup. Newer deletions are not in the folder: send them again.

With --from, the primary must run. The command pushes to it what a replica has
newer: accounts, and the delete requests that a mirror stores.
Exit status 1: the primary rejected something, or lacks something.

Examples:
  nats-account-server restore -dir /var/lib/nas /backup/accounts.backup
  nats-account-server restore --from http://mirror:9090 \\
      --to http://primary:9090";

/// What `restore` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RestoreArgs {
    /// Restore even if the present state is newer in part, or unreadable; list what is lost
    #[arg(long, conflicts_with = "from")]
    replace: bool,
    #[command(flatten)]
    back: HandBackArgs,
    /// File that `backup` wrote
    #[arg(value_name = "FILE", conflicts_with = "from")]
    file: Option<PathBuf>,
}

/// Restores. 0: done; 1: nothing was changed.
pub(super) fn run(settings: &Settings, args: &RestoreArgs) -> Result<(), Exit> {
    match (&args.back.from, &args.file) {
        (Some(from), _) => runtime()?.block_on(hand_back::run(settings, from, &args.back)),
        (None, Some(file)) => restore(settings, file, args.replace),
        (None, None) => Err("give FILE, which `backup` wrote, or --from with the URL of a replica".into()),
    }
}

fn restore(settings: &Settings, file: &Path, replace: bool) -> Result<(), Exit> {
    let (journal, failed) = (journal_of(settings)?, |error: StoreError| format!("cannot restore: {error}"));
    if let Some(what) = no_backup::what_it_is(file) {
        return Err(format!("cannot restore: {what}").into());
    }
    let verified = verify(file).map_err(failed)?;
    if let Some(why) = verified.lacks {
        return Err(format!(
            "cannot restore {}: {why}; use the backup of a primary, or of a mirror in sync",
            file.display()
        )
        .into());
    }
    let _locks = primary::Setup::of(settings).lock().map_err(failed)?;
    let made = Unfinished::beside(&journal);
    copy(file, &made.0).map_err(failed)?;
    if journal.exists() {
        operator::carry(&journal, &made.0)?;
    }
    if verified.role != Role::Primary {
        promote::promote_copy(settings, &made.0)?;
    }
    let session = backup::renew(&made.0).map_err(failed)?;
    if journal.exists() {
        weigh(&journal, &made.0, replace)?;
    }
    let kept = backup::replace(&made.0, &journal, clock::unix_seconds()).map_err(failed)?;
    say(&format!("restored {} to {}: {}", file.display(), journal.display(), describe(&verified)));
    say(&format!("it begins session {session}: replicas will compare everything that they hold"));
    if let Some(kept) = kept {
        say(&format!("the former state is kept as {}", kept.display()));
    }
    if let Some(dir) = &settings.store.dir {
        say(&format!("start the server: it imports the JWTs in {} that are newer than the backup", dir.display()));
    }
    Ok(())
}

/// Copies the bytes alone: who owns a backup, and who may write to it, is its own affair.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(StoreError::io("open", from))?;
    let mut target = private::create(to).map_err(StoreError::io("create", to))?;
    io::copy(&mut source, &mut target).map(drop).map_err(StoreError::io("write", to))
}

/// Compares what is there with the copy that is to take its place.
fn weigh(held: &Path, copy: &Path, replace: bool) -> Result<(), String> {
    let newer = match backup::newer(held, copy) {
        Ok(newer) => newer,
        Err(error) if replace => {
            say(&format!("cannot compare the present state with the backup: {error}"));
            return Ok(());
        }
        Err(error) => {
            return Err(format!(
                "cannot restore: the present state cannot be compared with the backup, and may be newer: {error}. To \
                 restore nevertheless, give --replace"
            ));
        }
    };
    if newer.is_empty() {
        return Ok(());
    }
    if replace {
        say(&format!("{} things that are newer than in the backup are replaced:", newer.len()));
        for line in newer {
            say(&format!("           {line}"));
        }
        return Ok(());
    }
    let mut findings = Findings::of("are newer there than in the backup");
    newer.into_iter().for_each(|line| findings.add(line));
    // Nobody to tell, if standard output is closed.
    let _ = findings.write(&mut io::stdout());
    Err("cannot restore: the present state is newer in part, as listed. To restore nevertheless, give \
         --replace"
        .to_owned())
}
