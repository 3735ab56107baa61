//! What the program does: serve, and the commands beside that.

pub mod check;
pub mod completions;
mod config;
pub mod delete_request;
pub mod demo;
pub mod flush;
pub mod man;
mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::Settings;

/// Carries out a command line.
pub fn run(cli: Cli) -> ExitCode {
    match &cli.command {
        None => serve::run(&cli),
        Some(Command::Check(args)) => {
            ExitCode::from(check::run(args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock()))
        }
        Some(Command::DeleteRequest(args)) => {
            let done = delete_request::run(args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &warning);
            done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
        }
        Some(Command::Flush(args)) => flush::run(Settings::load(&cli), args),
        Some(Command::Config) => config::run(Settings::load(&cli)),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Man(args)) => man::run(args),
        Some(Command::Demo(args)) => match runtime() {
            Ok(runtime) => runtime.block_on(demo::run(args)),
            Err(error) => failed(&error),
        },
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime: {error}"))
}

/// Says something on standard error, of a command that goes on.
fn warning(message: &str) {
    // Nobody to tell, if standard error is closed.
    let _ = writeln!(std::io::stderr(), "nats-account-server: warning: {message}");
}

/// Says on standard error why the program cannot go on. For what happens before there is a log.
fn failed(message: &str) -> ExitCode {
    // Nobody to tell, if standard error is closed.
    let _ = writeln!(std::io::stderr(), "nats-account-server: {message}");
    ExitCode::FAILURE
}
