//! `explain`: why nats-servers accept or refuse a user.
//!
//! It makes the checks that a nats-server makes when a client connects, by the account's JWT that a running server serves or a
//! folder holds. At a primary it also asks what each nats-server runs, because one that is behind may decide otherwise.

mod client;
mod fleet;
mod given;
mod judge;
mod knowledge;
mod names;
mod offline;
mod remote;
mod report;
mod summary;

use std::io::Write as _;
use std::net::IpAddr;

use super::checks::Verdict;
use super::shown::Paint;
use super::{Exit, asked, runtime, unclear};
use crate::clock;
use crate::config::Settings;
use crate::key::AccountKey;
use client::{Client, ConnectionType};
use fleet::Fleet;
use given::{GivenUser, NoUser};
use judge::AccountState;
use knowledge::Knowledge;
use report::Report;

const AFTER_HELP: &str = "\
Of a credentials file, only the user JWT is used. It goes nowhere: the command
asks for the user's account, and judges here.

Without --url, it asks the server that runs on the folder of the settings, or at
the address in the settings. If no server runs on that folder, it reads the
folder itself. Only a running primary knows what each nats-server runs.

Exit status: 0 the user is accepted, 1 it is refused, 2 that cannot be told, or
nats-servers decide differently.

Examples:
  nats-account-server explain --url http://primary:9090 alice.creds
  nats-account-server explain -dir /var/lib/nas --from 10.1.2.3 alice.jwt";

/// What `explain` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ExplainArgs {
    /// Ask the account server at this URL; a primary knows most
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    url: Option<String>,
    /// Read the folder, even if a server runs on it
    #[arg(long)]
    offline: bool,
    /// Address of the client, as a nats-server sees it
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// How the client connects
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = ConnectionType::Standard)]
    connection: ConnectionType,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// File with the user's credentials or its JWT; - is the standard input
    #[arg(value_name = "USER")]
    user: String,
}

/// Explains. 0: the user is accepted; 1: refused; 2: unsure.
pub(super) fn run(settings: &Settings, args: &ExplainArgs) -> Result<(), Exit> {
    let report = match given::read(&args.user, &mut std::io::stdin().lock()) {
        Ok(user) => explain(settings, args, &user).map_err(unclear)?,
        Err(NoUser::Refused(why)) => Report::of_no_user(why, clock::unix_seconds()),
        Err(NoUser::Unreadable(why)) => return Err(unclear(why)),
    };
    let mut out = std::io::stdout().lock();
    let written = if args.json { report.write_json(&mut out) } else { report.write(Paint::stdout(), &mut out) };
    // Nobody to tell, if standard output is closed. The exit status still says it.
    let _ = written.and_then(|()| out.flush());
    match report.verdict {
        Verdict::Accepted => Ok(()),
        Verdict::Refused => Err(Exit::told()),
        Verdict::Unsure => Err(Exit::silent(2)),
    }
}

fn explain(settings: &Settings, args: &ExplainArgs, user: &GivenUser) -> Result<Report, String> {
    let knowledge = ask(settings, args, user)?;
    let now = clock::unix_seconds();
    let client = Client { from: args.from, connection: args.connection, now };
    let operator = knowledge.operator.as_deref();
    let judgement = judge::judge(&user.jwt, user.size, &knowledge.account, operator, &client);
    let servers = match &knowledge.fleet {
        Fleet::Unknown(_) => Vec::new(),
        Fleet::Known(servers) => {
            servers.iter().map(|server| server.decide(user, judgement.verdict, operator, &client)).collect()
        }
    };
    Ok(Report::new(user, &knowledge, judgement, servers, now))
}

fn ask(settings: &Settings, args: &ExplainArgs, user: &GivenUser) -> Result<Knowledge, String> {
    let remote = asked::server(settings, args.url.as_deref(), args.offline)?;
    // Without an account, the checks say so.
    let Ok(key) = AccountKey::parse(names::account_key(&user.jwt)) else {
        return Ok(Knowledge {
            place: "nothing: the user JWT names no account".to_owned(),
            account: AccountState::Absent,
            operator: None,
            fleet: Fleet::Known(Vec::new()),
        });
    };
    match remote {
        None => offline::ask(settings, &key),
        Some(remote) => runtime()?
            .block_on(remote::ask(&remote, &key))
            .map_err(|why| if args.url.is_some() { why } else { format!("{why}; {}", asked::OFFLINE_HINT) }),
    }
}
