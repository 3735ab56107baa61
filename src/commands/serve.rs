//! Serving: no command on the command line.

use std::time::Duration;

use super::args::Cli;
use super::{Exit, loaded, runtime};
use crate::logging;
use crate::server::{self, Reload};

/// Loads the settings, starts logging and serves until a signal. An error: it could not start.
pub(super) fn run(cli: &Cli) -> Result<(), Exit> {
    let (settings, warnings) = loaded(cli)?;
    let logging = logging::init(&settings.log).map_err(|error| format!("cannot start logging: {error}"))?;
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
    let runtime = runtime()?;
    let ended = runtime.block_on(server::run(settings, Reload::new(cli.overrides.clone(), logging)));
    // What waits for a disk that does not answer is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended.map_err(|error| {
        tracing::error!("cannot start: {error}");
        Exit::told()
    })
}
