//! `audit verify`: whether the lines of an audit log are the ones that a server wrote.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use serde_json::json;

use super::{Exit, say};
use crate::audit::verify::{Report, verify};

const AFTER_HELP: &str = "\
The files of one log may be given in any order. The hash of the last line stands
for all lines: keep it elsewhere, and compare it with --head.
Exit status: 0 if everything fits, 1 if not.

Examples:
  nats-account-server audit verify /var/log/nas/audit.log
  nats-account-server audit verify /var/log/nas/audit.log*";

/// What `audit` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

/// What to do with an audit log.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the chain of the lines
    Verify(VerifyArgs),
}

/// What `audit verify` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct VerifyArgs {
    /// Files of one audit log, in any order
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Hash that the last line must have: 64 hexadecimal digits
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn hash(text: &str) -> Result<String, &'static str> {
    let is_hash = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hash { Ok(text.to_ascii_lowercase()) } else { Err("64 hexadecimal digits are expected") }
}

/// Carries out the command.
pub(super) fn run(args: &AuditArgs) -> Result<(), Exit> {
    let AuditCommand::Verify(args) = &args.command;
    let report = verify(&args.files).map_err(|(file, error)| format!("cannot read {}: {error}", file.display()))?;
    let problem = problem(&report, args.head.as_deref());
    if args.json {
        print_json(&report, problem.as_deref());
    } else {
        print(&report);
        if let Some(problem) = &problem {
            // Nobody to tell, if standard error is closed.
            let _ = writeln!(std::io::stderr(), "nats-account-server: {problem}");
        }
    }
    Exit::unless(problem.is_none())
}

/// Why the log is not the one that a server wrote.
fn problem(report: &Report, expected: Option<&str>) -> Option<String> {
    if let Some(fault) = &report.fault {
        return Some(format!("line {} of {} does not fit: {}", fault.line, fault.file.display(), fault.why));
    }
    if report.lines == 0 {
        return Some("there is no line".to_owned());
    }
    let expected = expected.filter(|expected| *expected != report.head)?;
    Some(format!(
        "the hash of the last line is {}, and {expected} was expected: lines are missing at the end, were added, or all \
         were written again",
        report.head
    ))
}

fn print(report: &Report) {
    let Report { lines, first, last, first_time, last_time, head, .. } = report;
    say(&format!("{lines} lines fit, {first} to {last}, of {first_time} to {last_time}"));
    if *first > 1 {
        say(&format!("the {} lines before are in files that were not given", first - 1));
    }
    say(&format!("head {head}"));
}

fn print_json(report: &Report, problem: Option<&str>) {
    let Report { lines, first, last, first_time, last_time, head, fault } = report;
    let fault = fault
        .as_ref()
        .map(|fault| json!({ "file": fault.file.display().to_string(), "line": fault.line, "why": fault.why }));
    say(&json!({
        "ok": problem.is_none(), "lines": lines, "first_seq": first, "last_seq": last, "first_time": first_time,
        "last_time": last_time, "head": head, "fault": fault, "problem": problem,
    })
    .to_string());
}
