//! `operator`: decisions about the operator's JWT that a server does not make by itself.

mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Settings;

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
The server has to be stopped. FILE has to be a JWT of the operator that the server belongs to.
It takes the place of the operator JWT in force, even if it is older, or a key that is not listed
signed it. Nothing proves that it is right but you. Each replica decides for itself: one that cannot
connect this JWT with its own keeps its own and says so.

Flags before the command, or a configuration file, are those with which the server is run.

Examples:
  nats-account-server -c primary.conf operator trust operator.jwt
  nats-account-server -dir /var/lib/nas operator trust operator.jwt";

/// What `operator trust` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
struct TrustArgs {
    /// Folder of the server, unless flags before the command or a configuration file name it
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
    /// File with the operator JWT
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl OperatorArgs {
    /// The folder of tokens, if it stands behind the command.
    pub(crate) fn dir(&self) -> Option<&str> {
        match &self.command {
            OperatorCommand::Trust(args) => args.dir.as_deref(),
        }
    }
}

/// Decides. 0: done; 1: nothing was changed.
pub(super) fn run(settings: &Settings, args: &OperatorArgs) -> Result<ExitCode, String> {
    match &args.command {
        OperatorCommand::Trust(args) => trust::run(settings, &args.file),
    }
}
