//! `list`: the accounts of a server or a folder, one a line.

mod table;

use std::io::{self, ErrorKind, Write};

use super::moments::Moments;
use super::shown::{Paint, json};
use super::sources::{Failure, PIECE, Source, Wanted};
use super::{Exit, runtime, warning};
use crate::api::{self, AccountSummary, Direction};
use crate::clock;
use crate::config::Settings;
use crate::node::{AccountFilter, AccountState};
use table::Table;

const AFTER_HELP: &str = "\
The order is that of the keys: a million accounts are printed as they are read.
Sort them with --json and another program.

STATE is live, expired, withheld, deleted or removed; several have commas
between them. By default, accounts that exist are listed: the first three.

TIME is a time such as 30d or 12h, a moment such as 2026-11-24T07:05:12Z, or
unix seconds.

Without --url, it asks the server that runs on the folder of the settings, or at
the address in the settings. If no server runs on that folder, it reads the
folder itself, and changes nothing. A cache cannot tell; its primary can.

--json prints one JSON document a line, with the members of /api/v1/accounts.

Exit status: 0 accounts were found, 1 none was, 2 that cannot be told.

Examples:
  nats-account-server list --url http://primary:9090 --name 'orders*'
  nats-account-server list -dir /var/lib/nas --expiring 30d
  nats-account-server list --state withheld,deleted --changed-since 12h --json";

/// What `list` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ListArgs {
    /// Ask the account server at this URL: a primary or a mirror
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    url: Option<String>,
    /// Read the folder, even if a server runs on it
    #[arg(long)]
    offline: bool,
    /// Only accounts of this name: * is any text, ? one character, in either case; or the account with this key
    #[arg(long, value_name = "PATTERN", value_parser = name)]
    name: Option<String>,
    /// Only accounts that have expired, or expire within or before this time
    #[arg(long, value_name = "TIME", value_parser = expiring)]
    expiring: Option<i64>,
    /// Only accounts in one of these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = api::state)]
    state: Vec<AccountState>,
    /// Only accounts that changed within or after this time
    #[arg(long, value_name = "TIME", value_parser = changed_since)]
    changed_since: Option<i64>,
    /// Print so many accounts at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print one JSON document a line
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, String> {
    match api::want_name(&mut AccountFilter::default(), text) {
        Ok(()) => Ok(text.to_owned()),
        Err(expected) => Err(format!("{expected} is expected")),
    }
}

fn expiring(text: &str) -> Result<i64, String> {
    moment(text, Direction::Ahead)
}

fn changed_since(text: &str) -> Result<i64, String> {
    moment(text, Direction::Ago)
}

fn moment(text: &str, direction: Direction) -> Result<i64, String> {
    let moment = api::moment(text, direction, clock::unix_seconds());
    moment.ok_or_else(|| format!("{} is expected", api::MOMENT))
}

/// Lists. 0: accounts were found; 1: none; 2: that cannot be told.
pub(super) fn run(settings: &Settings, args: &ListArgs) -> Result<(), Exit> {
    let wanted = Wanted::new(args.name.as_deref(), &args.state, args.expiring, args.changed_since);
    let wanted = wanted.map_err(Failure::Unclear)?;
    let source = Source::of(settings, args.url.as_deref(), args.offline)?;
    let found = runtime()?.block_on(print(&source, &wanted, args))?;
    if let Some(unread) = source.unread() {
        warning(&unread);
    }
    match found {
        0 => Err(Failure::Absent(format!("no account matches at {}", source.place())).into()),
        _ => Ok(()),
    }
}

/// Prints piece by piece, and returns how many accounts were found until the reader of the output had enough.
async fn print(source: &Source, wanted: &Wanted, args: &ListArgs) -> Result<u64, Failure> {
    let mut lines = if args.json { Lines::Json } else { Lines::Table(Table::new(Moments::here(), Paint::stdout())) };
    let (mut found, mut from) = (0, None);
    loop {
        let left = args.limit.map_or(u64::MAX, |limit| limit - found);
        let limit = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let piece = source.piece(wanted, from.as_deref(), limit).await?;
        found += piece.accounts.len() as u64;
        match lines.write(&piece.accounts, &mut io::stdout().lock()) {
            Ok(()) => {}
            // As `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(found),
            Err(error) => return Err(Failure::Unclear(format!("cannot write to the standard output: {error}"))),
        }
        from = piece.next;
        if from.is_none() || args.limit.is_some_and(|limit| found >= limit) {
            return Ok(found);
        }
    }
}

/// How accounts are printed.
enum Lines {
    Json,
    Table(Table),
}

impl Lines {
    fn write(&mut self, accounts: &[AccountSummary], out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::new();
        match self {
            Self::Json => {
                for account in accounts {
                    writeln!(text, "{}", json(account, false)?)?;
                }
            }
            Self::Table(table) => table.write(accounts, &mut text)?,
        }
        out.write_all(&text)?;
        out.flush()
    }
}
