//! `check`: would these tokens be accepted?
//!
//! Without `--url`, nothing is sent anywhere and no server need run. For people it says what a token is and what is wrong with it; for
//! programs (`--json`) it gives one line of JSON a token, and with `--vectors` it answers questions line by line, which
//! is how the tests compare it with the Go library. With `--url` a server judges them, by what it stores ([`online`]).

mod online;
mod report;
mod verdict;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

pub use verdict::{CheckPart, CheckQuestion, CheckVerdict, Finding, KeyVerdict, judge};

use super::{Exit, runtime};
use crate::clock;
use crate::config::{Settings, TokenSource};
use crate::gate::Refusal;
use crate::jwt::{OperatorJwt, given};
use crate::key::seed;
use crate::upstream::Access;
use crate::upstream::remote::RemoteServer;
use online::Fate;
use report::CheckReport;

/// Longest file that is looked at, in bytes: a token and all that may stand around it.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

const AFTER_HELP: &str = "\
With --url, a primary or a mirror says what a push would come to: whether it
would be accepted, what would change, and which imports would break. Nothing is
stored there.

Exit status: 0 all would be accepted, and no import would break; 1 not;
with --url 2 if that cannot be told: a file or the server cannot be read, or not
all accounts could be looked at.

Examples:
  nats-account-server check account.jwt
  nats-account-server check --url http://primary:9090 account.jwt";

/// Arguments of `check`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// Files with a token each, bare or decorated as nsc writes them; - is the standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,

    /// Ask this server what a push would come to, by what it stores
    #[arg(long, value_name = "URL", conflicts_with_all = ["vectors", "operator"])]
    pub url: Option<String>,

    /// Print one line of JSON for each token instead of text
    #[arg(long)]
    pub json: bool,

    /// Read questions, one JSON object a line, and answer each with a line (needs --json and one FILE)
    #[arg(long, requires = "json")]
    pub vectors: bool,

    /// An operator JWT, or a file with one: also check that this operator signed the tokens.
    /// Default: the operator of the environment or the configuration file
    #[arg(long, value_name = "FILE|JWT")]
    pub operator: Option<String>,
}

impl CheckArgs {
    /// Whether the operator that a server's settings name is the one to ask: each question of `--vectors` has its own.
    pub(super) const fn wants_operator(&self) -> bool {
        self.operator.is_none() && !self.vectors && self.url.is_none()
    }
}

/// Runs the command. The error's status is 1 if a token would be refused or something cannot be read, and 2 if the arguments
/// do not fit together. Complaints about files go to the standard error.
pub fn run(args: &CheckArgs, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<(), Exit> {
    let now = clock::unix_seconds();
    let done = match args.files.as_slice() {
        [file] if args.vectors && args.json => vectors(file, stdin, stdout, now),
        _ if args.vectors => return Err(usage("--vectors needs --json and exactly one FILE")),
        [] => return Err(usage("name a FILE with a token, or - for the standard input")),
        files if files.iter().filter(|file| *file == "-").count() > 1 => {
            return Err(usage("the standard input (-) can be read only once"));
        }
        files => tokens(files, args, stdin, stdout, now),
    };
    match done {
        Ok(all_accepted) => Exit::unless(all_accepted),
        // The reader of the output is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::told()),
        Err(error) => Err(complaint(1, &error.to_string())),
    }
}

/// Asks the server of `--url`. The error's status is 1 if a token would be rejected or an import would break, and 2 if that
/// cannot be told.
pub(super) fn run_online(
    args: &CheckArgs,
    settings: &Settings,
    url: &str,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<(), Exit> {
    if args.files.iter().filter(|file| *file == "-").count() > 1 {
        return Err(usage("the standard input (-) can be read only once"));
    }
    let remote = RemoteServer::new(url, "--url", &Access::of_command(settings)).map_err(|why| complaint(2, &why))?;
    match runtime()?.block_on(online::run(&remote, args, stdin, stdout)) {
        Ok(Fate::Good) => Ok(()),
        Ok(Fate::Bad) => Err(Exit::told()),
        Ok(Fate::Unknown) => Err(Exit::silent(2)),
        // The reader of the output is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::told()),
        Err(error) => Err(complaint(2, &error.to_string())),
    }
}

/// Whether every token would be accepted.
fn tokens(
    files: &[String],
    args: &CheckArgs,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    now: i64,
) -> io::Result<bool> {
    let operator = match args.operator.as_deref().map(read_operator).transpose() {
        Ok(operator) => operator,
        Err(why) => {
            complain(&why);
            return Ok(false);
        }
    };
    let mut all_accepted = true;
    for file in files {
        let bytes = match if file == "-" { read_bytes(&mut *stdin) } else { File::open(file).and_then(read_bytes) } {
            Ok(bytes) => bytes,
            Err(error) => {
                complain(&format!("cannot read {file}: {error}"));
                all_accepted = false;
                continue;
            }
        };
        let report = match given(&bytes) {
            Ok(jwt) => CheckReport::new(file, &jwt, operator.as_ref(), now),
            Err(found) => CheckReport::not_a_jwt(file, &found),
        };
        if args.json {
            writeln!(stdout, "{}", seed::redact(&serde_json::to_string(&report.line())?))?;
        } else {
            report.write(stdout)?;
        }
        all_accepted &= report.refusal.is_none();
    }
    stdout.flush()?;
    Ok(all_accepted)
}

/// Answers each line, at once: whoever asks may wait for the answer before the next question. Whether all were questions.
fn vectors(file: &str, stdin: &mut dyn BufRead, stdout: &mut dyn Write, now: i64) -> io::Result<bool> {
    let mut opened;
    let questions: &mut dyn BufRead = if file == "-" {
        stdin
    } else {
        opened = BufReader::new(File::open(file).map_err(|error| named(file, &error))?);
        &mut opened
    };
    let mut all_questions = true;
    let mut line = Vec::new();
    while questions.read_until(b'\n', &mut line).map_err(|error| named(file, &error))? > 0 {
        if !line.trim_ascii().is_empty() {
            let verdict = serde_json::from_slice(&line).map_or_else(
                |error| {
                    all_questions = false;
                    CheckVerdict { decode: format!("not a question: {error}"), ..CheckVerdict::default() }
                },
                |question| judge(&question, now),
            );
            serde_json::to_writer(&mut *stdout, &verdict)?;
            writeln!(stdout)?;
            stdout.flush()?;
        }
        line.clear();
    }
    Ok(all_questions)
}

/// An operator JWT given as such or as the name of a file with one, and its text.
fn read_operator(argument: &str) -> Result<(OperatorJwt, String), String> {
    let (name, bytes) = match TokenSource::from(argument.to_owned()) {
        TokenSource::Inline(text) => ("the text given as the operator".to_owned(), text.into_bytes()),
        TokenSource::Path(path) => {
            let bytes = File::open(&path).and_then(read_bytes);
            (argument.to_owned(), bytes.map_err(|error| format!("cannot read operator JWT {argument}: {error}"))?)
        }
    };
    let token = given(&bytes).map_err(|found| format!("{name} is no operator JWT: {found}"))?.into_owned();
    let operator = OperatorJwt::decode(&token)
        .map_err(|error| format!("{name} is no operator JWT: {}", Refusal::Decode(error)))?;
    Ok((operator, token))
}

fn read_bytes(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn named(file: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {file}: {error}"))
}

fn usage(why: &str) -> Exit {
    complaint(2, why)
}

fn complaint(code: u8, why: &str) -> Exit {
    Exit::error(code, format_args!("error: {why}"))
}

/// Complains about one of several things.
fn complain(why: &str) {
    complaint(1, why).print();
}
