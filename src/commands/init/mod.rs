//! `init`: the configuration of a first server, from the operator's JWT.
//!
//! It writes files and starts nothing. What it wrote is checked with the program's own loader, and what the operator has to do
//! next is said.

mod checks;
mod files;
mod plan;

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::Exit;
use super::checks::{Check, Status};
use super::shown::{Paint, printable};
use crate::config::Settings;
use crate::key::seed;
use files::{FileState, MadeFile};
use plan::Plan;

const AFTER_HELP: &str = "\
DIR gets nats-account-server.conf, lines for the configuration of nats-servers
(nats-server.conf), a systemd unit and a compose file. An existing file is never
changed.

The server's flags say what the configuration contains: -operator is needed,
and -creds, -nats, -hp and -dir are useful. Without -dir, the accounts are in
DIR/jwt.

Exit status: 0 the configuration can be used, 1 it cannot, or a check fails, 2
the command line is wrong.

Example:
  nats-account-server init /etc/nats-account-server -operator operator.jwt \\
      -nats nats://n1:4222 -creds sys.creds -hp 0.0.0.0:9090";

/// What `init` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct InitArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Folder for the files; made if missing
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

/// What was done, and what is left to do.
#[derive(Debug, Serialize)]
struct InitReport {
    files: Vec<MadeFile>,
    checks: Vec<Check>,
    /// What to do next, in this order.
    next: Vec<String>,
}

/// Makes the files. 0: they can be used; 1: not.
pub(super) fn run(settings: &Settings, args: &InitArgs) -> Result<(), Exit> {
    let Some(operator) = &settings.operator else {
        return Err(Exit::error(
            2,
            "nats-account-server: give the operator's JWT: --operator FILE, which nsc describe operator --raw writes",
        ));
    };
    let trust = crate::server::trust::load_operator(operator).map_err(|error| error.to_string())?;
    let plan = Plan::new(&args.dir, settings, operator, &trust)?;
    let files = files::write(&plan)?;
    let checks = checks::checks(&plan, settings, &trust, &files);
    let fails = checks.iter().any(|check| check.status == Status::Fail);
    let report = InitReport { next: plan.next_steps(&trust), files, checks };
    let mut out = io::stdout().lock();
    let written = if args.json { report.write_json(&mut out) } else { report.write(Paint::stdout(), &mut out) };
    // Nobody to tell, if standard output is closed.
    let _ = written.and_then(|()| out.flush());
    Exit::unless(!fails)
}

impl InitReport {
    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", seed::redact(&serde_json::to_string_pretty(self)?))
    }

    fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        for file in &self.files {
            let state = match file.state {
                FileState::Made => "made     ",
                FileState::Same => "is there ",
                FileState::Kept => "kept     ",
            };
            writeln!(out, "{state}  {}", printable(&file.path.display().to_string()))?;
        }
        writeln!(out)?;
        for check in &self.checks {
            check.write(paint, out)?;
        }
        writeln!(out, "\nnext:")?;
        for (number, step) in (1..).zip(&self.next) {
            writeln!(out, "{number:>3}. {}", printable(step))?;
        }
        Ok(())
    }
}
