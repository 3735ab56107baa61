//! `flush`: waits until everything that was acknowledged is in the token folder, and on disk.
//!
//! It asks no server: the journal says how far it is itself, and how far the folder has followed. So it works on the
//! machine that has the folder, whether or not HTTP can be reached from there.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Exit;
use crate::config::Settings;
use crate::folder::{FolderLock, STATE_FOLDER};
use crate::store::{JournalProgress, journal};

const AFTER_HELP: &str = "\
The server's flags, or a configuration file, name the folder.

Example:
  nats-account-server flush -dir /var/lib/nas";

/// What `flush` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct FlushArgs {
    /// Longest wait, such as 90s or 2m; a bare number is in seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::time)]
    timeout: Duration,
}

/// How often it is looked whether a server runs.
const LOOK: Duration = Duration::from_secs(2);
/// How often the journal is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until everything is on disk. An error: not in time, or there is no folder to wait for.
pub(super) fn run(settings: &Settings, args: &FlushArgs) -> Result<(), Exit> {
    let store = &settings.store;
    let Some(dir) = store.dir.as_ref().filter(|_| !store.readonly && store.nsc.is_none()) else {
        return Err("there is no token folder that is written: give the one to wait for, as in -dir FOLDER".into());
    };
    let state = store.state_dir.clone().unwrap_or_else(|| dir.join(STATE_FOLDER));
    let journal = state.join(journal::FILE);
    if !journal.exists() {
        return Err(format!("there is no journal at {}: has a server run on this folder?", journal.display()).into());
    }
    let JournalProgress { serial, .. } = wait(&journal, &state, args.timeout)?;
    // Nobody to tell, if standard output is closed.
    let _ = writeln!(std::io::stdout(), "everything is in {} up to serial {serial}", dir.display());
    Ok(())
}

/// Waits until the folder has what the journal had when this began.
fn wait(journal: &Path, state: &Path, longest: Duration) -> Result<JournalProgress, String> {
    let began = Instant::now();
    let (mut wanted, mut looked) = (None, None);
    loop {
        let progress = JournalProgress::read(journal).map_err(|error| error.to_string())?;
        let wanted = *wanted.get_or_insert(progress.serial);
        if progress.mirrored >= wanted {
            return Ok(progress);
        }
        if looked.is_none_or(|at: Instant| at.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            if !FolderLock::is_held(state) {
                return Err(format!(
                    "no server runs on this folder, which has {} of {wanted} changes: start the server, which writes the rest",
                    progress.mirrored
                ));
            }
        }
        if began.elapsed() >= longest {
            return Err(format!(
                "the folder has {} of {wanted} changes after {} s; is the server running? Its log and \
                 /readyz?verbose say why it is behind",
                progress.mirrored,
                longest.as_secs()
            ));
        }
        std::thread::sleep(PAUSE);
    }
}
