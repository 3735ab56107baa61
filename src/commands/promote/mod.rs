//! `promote`: the folder of a stopped mirror becomes that of a primary.
//!
//! The mirror's store stays as it is, begins a session of its own, and writes from then on ([`journal::promote`]). What the
//! mirror does not hold is found first, because no other server may have it.

mod trust;

use std::path::Path;

use super::findings::Findings;
use super::{Exit, say};
use crate::config::Settings;
use crate::nats;
use crate::primary;
use crate::store::journal::{self, Promoted};

/// So many of the last changes are announced to the nats-servers again: nobody knows which of them the old primary still
/// announced, and those before are long known.
const ANNOUNCED_AGAIN: u64 = 1000;

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
    if !journal.exists() {
        return Err(format!("there is no store of a replica in {}", folder.display()).into());
    }
    let failed = |error: &dyn std::fmt::Display| Exit::from(format!("cannot promote: {error}"));
    let _locks = setup.lock().map_err(|error| failed(&error))?;
    let standing = trust::trusted(settings, &journal, "promote")?;
    let decide = |found: &Promoted| (found.is_whole() || args.incomplete) && !args.dry_run;
    let promoted =
        journal::promote(&journal, &standing, settings.store.history, (nats::CURSOR, ANNOUNCED_AGAIN), decide)
            .map_err(|error| failed(&error))?;
    list(&promoted);
    let described = describe(&promoted);
    if !promoted.is_whole() && !args.incomplete {
        return Err(failed(&format!(
            "it is incomplete, as listed: it has {described}. If the primary is lost, and no other mirror has more, \
             give --incomplete"
        )));
    }
    if args.dry_run {
        say(&format!("would promote {}: {described}", folder.display()));
        return Ok(());
    }
    say(&format!("promoted {}: {described}", folder.display()));
    say(&format!("it begins session {} at serial {}", promoted.head.session, promoted.head.serial));
    say("Next:");
    say("  1. Start this server without `primary`.");
    say(
        "  2. Point the replicas at it: `primary` in their settings. They compare what they hold, and fetch what differs.",
    );
    say("  3. Never start the old primary as a primary again. It may become a replica of this one.");
    Ok(())
}

/// Promotes the copy of a mirror that is in sync. The error says what is missing in it.
pub(super) fn promote_copy(settings: &Settings, copy: &Path) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::from(format!("cannot restore: {error}"));
    let standing = trust::trusted(settings, copy, "restore")?;
    let promoted =
        journal::promote(copy, &standing, settings.store.history, (nats::CURSOR, ANNOUNCED_AGAIN), Promoted::is_whole)
            .map_err(|error| failed(&error))?;
    list(&promoted);
    if promoted.is_whole() {
        Ok(())
    } else {
        Err(failed(
            &"the backup is that of a mirror that lacks something, as listed; use the backup of a primary, or of a mirror in sync",
        ))
    }
}

/// Lists what is missing.
fn list(promoted: &Promoted) {
    let mut missing =
        Findings::of("accounts have no JWT here: older versions stay rejected; push theirs if you have it");
    let mut unproven = Findings::of("accounts are deleted, but the request is not here: replicas will not learn of it");
    let mut other = Findings::of("other things are in the way");
    promoted.missing.iter().for_each(|key| missing.add(key.text()));
    promoted.unproven.iter().for_each(|key| unproven.add(key.text()));
    promoted.other.iter().for_each(|what| other.add(what.clone()));
    for findings in [missing, unproven, other] {
        if !findings.is_empty() {
            // Nobody to tell, if the output is closed.
            let _ = findings.write(&mut std::io::stdout());
        }
    }
}

fn describe(promoted: &Promoted) -> String {
    let Promoted { accounts, withheld, deletions, activations, .. } = promoted;
    let withheld = if *withheld > 0 { format!(" ({withheld} of them withheld)") } else { String::new() };
    format!("{accounts} accounts{withheld}, {deletions} delete requests, {activations} activations")
}
