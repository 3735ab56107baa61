//! `config`: what the settings come to, without a server.

use std::io::Write as _;
use std::process::ExitCode;

use super::{failed, warning};
use crate::config::{ConfigError, Settings};

/// Prints the settings as JSON, and what there is to say about them on standard error. 1: they cannot be used.
pub(super) fn run(settings: Result<(Settings, Vec<String>), ConfigError>) -> ExitCode {
    let (settings, warnings) = match settings {
        Ok(loaded) => loaded,
        Err(error) => return failed(&format!("cannot use the settings: {error}")),
    };
    for text in warnings {
        warning(&text);
    }
    // Nobody to tell, if standard output is closed.
    let _ = writeln!(std::io::stdout(), "{}", settings.dump());
    ExitCode::SUCCESS
}
