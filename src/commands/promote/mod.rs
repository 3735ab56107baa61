//! `promote`: the folder of a stopped mirror becomes that of a primary.
//!
//! A mirror holds all that its primary held, and remembers what the primary had replaced, refused and deleted. Both goes into
//! a new journal, so that nothing comes back by the promotion that was gone before. What the mirror does not hold is found
//! first, because no other server may have it.

mod gather;
mod trust;

use std::path::Path;

use super::{Exit, say};
use crate::config::Settings;
use crate::logging::Bar;
use crate::primary;
use crate::store::journal;
use crate::store::snapshot::{self, FoundSnapshot, Snapshot};
use gather::{Gathered, gather};

const AFTER_HELP: &str = "\
Give the flags or the configuration file of the mirror; a `primary` in them has
no effect. The mirror must be stopped, and must hold everything that its primary
held. The command lists what is missing. --incomplete promotes it nevertheless.

Afterwards, start it without `primary`, and point the replicas at it. Never
start the old primary as a primary again.

Examples:
  nats-account-server promote -c mirror.conf --dry-run
  nats-account-server promote -dir /var/lib/nas -operator operator.jwt";

/// What `promote` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct PromoteArgs {
    /// Promote an incomplete replica: a mirror that lacks something, or a cache
    #[arg(long)]
    incomplete: bool,
    /// Print what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Promotes. 0: done; 1: nothing was changed.
pub(super) fn run(settings: &Settings, args: &PromoteArgs) -> Result<(), Exit> {
    let setup = primary::Setup::of(settings);
    let journal = setup.journal().ok_or("there is no folder to promote: give that of the mirror, as in -dir FOLDER")?;
    let folder = journal.parent().unwrap_or(&journal);
    if !folder.join(snapshot::FILE).exists() {
        let is_primary = if journal.exists() { "; it is a primary's already" } else { "" };
        return Err(format!("there is no snapshot of a replica in {}{is_primary}", folder.display()).into());
    }
    let failed = |error: &dyn std::fmt::Display| Exit::from(format!("cannot promote: {error}"));
    let _locks = setup.lock().map_err(|error| failed(&error))?;
    if journal.exists() {
        return Err(failed(&format!(
            "there is a journal already, {}, which a primary left: if it is of no use, move it away",
            journal.display()
        )));
    }
    let (snapshot, found) = open(folder)?;
    let trusted = trust::trusted(settings, &snapshot)?;
    let bar = Bar::new("promoting", 0);
    let (loaded, mut gathered) =
        journal::load(&journal, |load| gather(load, &snapshot, &trusted, &bar)).map_err(|error| failed(&error))?;
    drop(bar);
    gathered.note(found, &snapshot);
    gathered.write(&mut std::io::stdout());
    let described = describe(loaded.accounts(), &gathered);
    if !gathered.is_whole() && !args.incomplete {
        return Err(failed(&format!(
            "it is incomplete, as listed: it has {described}. If the primary is lost, and no other mirror has more, \
             give --incomplete"
        )));
    }
    if args.dry_run {
        say(&format!("would promote {}: {described}", folder.display()));
        return Ok(());
    }
    let head = *loaded.head();
    loaded.keep().map_err(|error| failed(&error))?;
    // From here on it is a primary's folder.
    let kept = snapshot.retire().map_err(|error| format!("promoted, but the snapshot is still there: {error}"))?;
    say(&format!("promoted {}: {described}", folder.display()));
    say(&format!("it begins session {} with {} changes", head.session, head.serial));
    if let Some(kept) = kept {
        say(&format!("the former snapshot is kept as {}", kept.display()));
    }
    say("Next:");
    say("  1. Start this server without `primary`.");
    say(
        "  2. Point the replicas at it: `primary` in their settings. They compare what they hold, and fetch what differs.",
    );
    say("  3. Never start the old primary as a primary again. It may become a replica of this one.");
    Ok(())
}

/// Opens the snapshot as it is.
fn open(folder: &Path) -> Result<(Snapshot, FoundSnapshot), String> {
    let (snapshot, found) = Snapshot::open(Some(folder)).map_err(|error| format!("cannot promote: {error}"))?;
    match found {
        FoundSnapshot::MovedAway(away) => {
            Err(format!("cannot promote: the snapshot cannot be used, and was moved to {}", away.display()))
        }
        found => Ok((snapshot, found)),
    }
}

fn describe(accounts: u64, gathered: &Gathered) -> String {
    let Gathered { withheld, deletions, activations, .. } = gathered;
    let withheld = if *withheld > 0 { format!(" ({withheld} of them withheld)") } else { String::new() };
    format!("{accounts} accounts{withheld}, {deletions} delete requests, {activations} activations")
}
