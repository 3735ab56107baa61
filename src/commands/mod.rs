//! What the program does: serve, and the other commands.

pub mod access;
pub mod args;
mod asked;
pub mod audit;
pub mod backup;
pub mod check;
mod checks;
pub mod completions;
pub mod config;
pub mod delete_request;
pub mod demo;
mod exit;
pub mod explain;
pub mod export;
mod findings;
pub mod flush;
pub mod healthcheck;
pub mod import;
pub mod init;
mod limits;
pub mod list;
mod local;
pub mod man;
mod moments;
pub mod operator;
pub mod promote;
pub mod restore;
mod serve;
pub mod show;
mod shown;
mod sources;
pub mod status;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{LogLevel, Settings, parse_seconds};
use crate::gate::Gate;
use crate::key::seed;
use crate::logging;
use args::{Cli, Command};
use check::CheckArgs;
pub use exit::Exit;
use sources::Failure;

/// Carries out a command line.
pub fn run(cli: Cli) -> Result<(), Exit> {
    match &cli.command {
        None | Some(Command::Serve) => serve::run(&cli),
        Some(Command::Check(args)) => check(&cli, args.clone()),
        Some(Command::DeleteRequest(args)) => {
            Ok(delete_request::run(args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &warning)?)
        }
        Some(Command::Explain(args)) => explain::run(&settings(&cli).map_err(unclear)?, args),
        Some(Command::List(args)) => list::run(&settings(&cli).map_err(unclear)?, args),
        Some(Command::Show(args)) => show::run(&settings(&cli).map_err(unclear)?, args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&loaded(&cli)?.0, args),
        Some(Command::Status(args)) => status::run(loaded(&cli).map(|(settings, _)| settings), args),
        Some(Command::Init(args)) => init::run(&loaded(&cli)?.0, args),
        Some(Command::Flush(args)) => flush::run(&loaded(&cli)?.0, args),
        Some(Command::Import(args)) => import::run(&settings(&cli)?, args),
        Some(Command::Export(args)) => export::run(&settings(&cli)?, args),
        Some(Command::Backup(args)) => backup::run(&settings(&cli)?, args),
        Some(Command::Restore(args)) => restore::run(&settings(&cli)?, args),
        Some(Command::Promote(args)) => promote::run(&settings(&cli)?, args),
        Some(Command::Operator(args)) => operator::run(&settings(&cli)?, args),
        Some(Command::Audit(args)) => audit::run(args),
        Some(Command::Access(args)) => access::run(args),
        Some(Command::Config(args)) => config::run(&loaded(&cli)?, args),
        Some(Command::Completions(args)) => {
            completions::run(args, args::definition());
            Ok(())
        }
        Some(Command::Man(args)) => Ok(man::run(args, args::definition())?),
        Some(Command::Demo(args)) => demo::run(args),
    }
}

/// Why a question cannot be answered, with status 2: 1 is an answer.
fn unclear(why: String) -> Exit {
    Failure::Unclear(why).into()
}

/// Judges tokens, by the operator that the settings name unless the command names one, or has a server judge them.
fn check(cli: &Cli, mut args: CheckArgs) -> Result<(), Exit> {
    if let Some(url) = &args.url {
        let (stdin, stdout) = (&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
        return check::run_online(&args, &loaded(cli)?.0, url, stdin, stdout);
    }
    if args.wants_operator() {
        args.operator = loaded(cli)?.0.operator.map(String::from);
    }
    check::run(&args, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())
}

/// The settings, and the warnings about them.
fn loaded(cli: &Cli) -> Result<(Settings, Vec<String>), String> {
    Settings::load(cli).map_err(|error| format!("cannot use the settings: {error}"))
}

/// The settings of a command that works on a server's state, with logging started. Of the log, only what needs attention
/// is shown, unless more is asked for.
fn settings(cli: &Cli) -> Result<Settings, String> {
    let (settings, warnings) = loaded(cli)?;
    for text in warnings {
        warning(&text);
    }
    let mut log = settings.log.clone();
    if log.level == LogLevel::Info {
        log.level = LogLevel::Warn;
    }
    logging::init(&log).map_err(|error| format!("cannot start logging: {error}"))?;
    Ok(settings)
}

/// The journal of the primary that these settings make.
fn journal_of(settings: &Settings) -> Result<PathBuf, String> {
    if settings.is_replica() {
        return Err("these are the settings of a replica, which its primary changes: do this at the primary".to_owned());
    }
    stored_journal_of(settings)
}

/// The journal that these settings make, of whatever server.
fn stored_journal_of(settings: &Settings) -> Result<PathBuf, String> {
    crate::primary::Setup::of(settings).journal().ok_or_else(|| {
        "there is no journal on disk: give the folder of tokens that has it, as in -dir FOLDER".to_owned()
    })
}

/// The same, which must be there.
fn existing_journal_of(settings: &Settings) -> Result<PathBuf, String> {
    existing(journal_of(settings)?)
}

/// A journal to be read, of a primary or of a replica.
fn readable_journal_of(settings: &Settings) -> Result<PathBuf, String> {
    existing(stored_journal_of(settings)?)
}

fn existing(journal: PathBuf) -> Result<PathBuf, String> {
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

/// A time on the command line.
fn time(text: &str) -> Result<Duration, &'static str> {
    parse_seconds(text).ok_or("a time such as 90s or 2m is expected")
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
