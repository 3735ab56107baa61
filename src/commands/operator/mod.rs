//! `operator`: decisions about the operator's JWT that a server does not make by itself.

mod carry;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use carry::carry;

use super::Exit;
use crate::config::Settings;
use crate::gate::{Gate, OperatorChain, OperatorChange, Standing};
use crate::store::StoreError;
use crate::store::journal::{self, Journal, OperatorWrite, Options, Role, Write};

/// What `operator` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct OperatorArgs {
    #[command(subcommand)]
    command: OperatorCommand,
}

/// What is decided.
#[derive(Clone, Debug, clap::Subcommand)]
enum OperatorCommand {
    /// Trust an operator JWT from now on, whatever its signer and its date
    Trust(TrustArgs),
}

const AFTER_HELP: &str = "\
The server must be stopped. FILE must be a JWT of the operator that the server
belongs to. It replaces the operator JWT in force, even if it is older, or if an
unlisted key signed it. Only you can know that it is right. Each replica decides
for itself: if it cannot link this JWT to its own, it keeps its own and says so.

Give the flags or the configuration file of the server.

Examples:
  nats-account-server operator trust -c primary.conf operator.jwt
  nats-account-server operator trust -dir /var/lib/nas operator.jwt";

/// What `operator trust` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
struct TrustArgs {
    /// File with the operator JWT
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Decides. 0: done; 1: nothing was changed.
pub(super) fn run(settings: &Settings, args: &OperatorArgs) -> Result<(), Exit> {
    match &args.command {
        OperatorCommand::Trust(args) => trust::run(settings, &args.file),
    }
}

/// Sets the operator JWTs in force in a journal that no server has open.
async fn set(
    path: &Path,
    kept: Option<Arc<OperatorChain>>,
    chain: Arc<OperatorChain>,
) -> Result<OperatorChange, StoreError> {
    // The history of accounts is not touched, so its bound does not matter.
    let role = journal::role_of(path)?;
    let options = Options { role, ..Options::primary(Some(path.to_owned()), usize::MAX >> 1, 1) };
    let gate = Arc::new(Gate::new(None, None, 0));
    let journal = Journal::open_under(&options, gate.clone(), |_, _| {})?;
    let before = Standing::restore(kept, journal.withdrawn()?);
    let after = before.after(chain.clone());
    let mut change = OperatorChange::to(&before, &chain);
    change.withheld = journal.lost_between(&before, &after);
    change.back = journal.lost_between(&after, &before);
    gate.set_standing(before);
    // What a replica trusts is no change: the feed says what upstream ordered.
    let write = if role == Role::Primary { OperatorWrite::Set(chain) } else { OperatorWrite::Follow(chain) };
    let committed = journal.commit(Write::Operator(write)).await;
    journal.close().await;
    committed.map(|_| change).map_err(|error| StoreError::unusable(path, error.to_string()))
}
