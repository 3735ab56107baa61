//! `config`: the effective configuration, without a server.

use std::io::Write as _;
use std::process::ExitCode;

use super::{failed, warning};
use crate::config::{ConfigError, Settings};

/// What `config` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// Exit with status 1 if there is any warning
    #[arg(long)]
    strict: bool,
}

/// Prints the settings as JSON, and the warnings about them on standard error. 1: they cannot be used, or they have warnings
/// that must not be.
pub(super) fn run(settings: Result<(Settings, Vec<String>), ConfigError>, args: &ConfigArgs) -> ExitCode {
    let (settings, warnings) = match settings {
        Ok(loaded) => loaded,
        Err(error) => return failed(&format!("cannot use the settings: {error}")),
    };
    for text in &warnings {
        warning(text);
    }
    // Nobody to tell, if standard output is closed.
    let _ = writeln!(std::io::stdout(), "{}", settings.dump());
    if args.strict && !warnings.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
