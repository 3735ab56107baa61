//! Serving: no command on the command line.

use std::process::ExitCode;
use std::time::Duration;

use super::args::Cli;
use super::{failed, runtime};
use crate::config::Settings;
use crate::logging;
use crate::server::{self, Reload};

/// Loads the settings, starts logging and serves until a signal. 0 after that, 1 if it could not start.
pub(super) fn run(cli: &Cli) -> ExitCode {
    let (settings, warnings) = match Settings::load(cli) {
        Ok(loaded) => loaded,
        Err(error) => return failed(&format!("cannot use the settings: {error}")),
    };
    let logging = match logging::init(&settings.log) {
        Ok(logging) => logging,
        Err(error) => return failed(&format!("cannot start logging: {error}")),
    };
    if let Some(file) = &cli.overrides.file {
        tracing::info!("loading configuration from \"{}\"", file.display());
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if cli.dump {
        // A line each: a log line has no line end inside.
        for line in settings.dump().lines() {
            tracing::info!("{line}");
        }
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(server::run(settings, Reload::new(cli.overrides.clone(), logging)));
    // What waits for a disk that does not answer is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
