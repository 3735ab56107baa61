//! What the program does: serve, and the commands beside that.

pub mod args;
pub mod backup;
pub mod check;
pub mod completions;
pub mod config;
pub mod delete_request;
pub mod demo;
pub mod export;
mod findings;
pub mod flush;
pub mod hand_back;
pub mod import;
pub mod man;
mod no_backup;
pub mod operator;
pub mod promote;
mod remote;
pub mod restore;
mod serve;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{LogLevel, Settings};
use crate::gate::Gate;
use crate::key::seed;
use crate::logging;
use args::{Cli, Command};
use check::CheckArgs;

/// Carries out a command line.
pub fn run(cli: Cli) -> ExitCode {
    match &cli.command {
        None | Some(Command::Serve) => serve::run(&cli),
        Some(Command::Check(args)) => check(&cli, args.clone()),
        Some(Command::DeleteRequest(args)) => {
            let done = delete_request::run(args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &warning);
            done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
        }
        Some(Command::Flush(args)) => flush::run(Settings::load(&cli), args),
        Some(Command::Import(args)) => with_settings(&cli, |settings| import::run(&settings, args)),
        Some(Command::Export(args)) => with_settings(&cli, |settings| export::run(&settings, args)),
        Some(Command::Backup(args)) => with_settings(&cli, |settings| backup::run(&settings, args)),
        Some(Command::Restore(args)) => with_settings(&cli, |settings| restore::run(&settings, args)),
        Some(Command::Promote(args)) => with_settings(&cli, |settings| promote::run(&settings, args)),
        Some(Command::Operator(args)) => with_settings(&cli, |settings| operator::run(&settings, args)),
        Some(Command::Config(args)) => config::run(Settings::load(&cli), args),
        Some(Command::Completions(args)) => completions::run(args, args::definition()),
        Some(Command::Man(args)) => man::run(args, args::definition()),
        Some(Command::Demo(args)) => demo::run(args).unwrap_or_else(|error| failed(&error)),
    }
}

/// Judges tokens, by the operator that the settings name unless the command names one.
fn check(cli: &Cli, mut args: CheckArgs) -> ExitCode {
    if args.wants_operator() {
        match Settings::load(cli) {
            Ok((settings, _)) => args.operator = settings.operator.map(String::from),
            Err(error) => return failed(&format!("cannot use the settings: {error}")),
        }
    }
    ExitCode::from(check::run(&args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock()))
}

/// Runs a command that works on a server's settings. Of its log, only what needs attention is shown, unless more is asked
/// for.
fn with_settings(cli: &Cli, run: impl FnOnce(Settings) -> Result<ExitCode, String>) -> ExitCode {
    let (settings, warnings) = match Settings::load(cli) {
        Ok(loaded) => loaded,
        Err(error) => return failed(&format!("cannot use the settings: {error}")),
    };
    for text in warnings {
        warning(&text);
    }
    let mut log = settings.log.clone();
    if log.level == LogLevel::Info {
        log.level = LogLevel::Warn;
    }
    if let Err(error) = logging::init(&log) {
        return failed(&format!("cannot start logging: {error}"));
    }
    run(settings).unwrap_or_else(|error| failed(&error))
}

/// The journal of the primary that these settings make.
fn journal_of(settings: &Settings) -> Result<PathBuf, String> {
    if settings.is_replica() {
        return Err("these are the settings of a replica, which has no journal: do this at its primary".to_owned());
    }
    crate::server::primary_setup(settings).journal().ok_or_else(|| {
        "there is no journal on disk: give the folder of tokens that has it, as in -dir FOLDER".to_owned()
    })
}

/// The same, which must be there.
fn existing_journal_of(settings: &Settings) -> Result<PathBuf, String> {
    let journal = journal_of(settings)?;
    if journal.exists() {
        return Ok(journal);
    }
    Err(format!("there is no journal at {}: has a server run on this folder?", journal.display()))
}

/// The gate of these settings.
fn gate_of(settings: &Settings) -> Result<Gate, String> {
    crate::server::trust::gate(settings).map_err(|error| error.to_string())
}

/// Says something on standard output. Nobody is told if it is closed.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", seed::redact(text));
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime: {error}"))
}

/// Says something on standard error, of a command that goes on.
fn warning(message: &str) {
    // Nobody to tell, if standard error is closed.
    let _ = writeln!(std::io::stderr(), "nats-account-server: warning: {}", seed::redact(message));
}

/// Says on standard error why the program cannot go on. For what happens before there is a log.
fn failed(message: &str) -> ExitCode {
    // Nobody to tell, if standard error is closed.
    let _ = writeln!(std::io::stderr(), "nats-account-server: {}", seed::redact(message));
    ExitCode::FAILURE
}
