//! `config`: the effective configuration, without a server.

use std::io::Write as _;

use super::{Exit, warning};
use crate::access::Policy;
use crate::config::Settings;

/// What `config` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// Exit with status 1 if there is any warning
    #[arg(long)]
    strict: bool,
}

/// Prints the settings as JSON, and the warnings about them on standard error. An error: there are warnings that must not be.
pub(super) fn run((settings, warnings): &(Settings, Vec<String>), args: &ConfigArgs) -> Result<(), Exit> {
    // What a start would check, too.
    Policy::of(&settings.access).map_err(|error| format!("cannot use the settings: {error}"))?;
    for text in warnings {
        warning(text);
    }
    // Nobody to tell, if standard output is closed.
    let _ = writeln!(std::io::stdout(), "{}", settings.dump());
    Exit::unless(!args.strict || warnings.is_empty())
}
