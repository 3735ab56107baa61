//! `show`: all that is known of one account.

mod access;
mod asked_for;
mod changes;
mod delivery;
mod file;
mod limits;
mod names;
mod page;
mod shares;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::moments::Moments;
use super::shown::{Paint, json};
use super::sources::{Failure, Source};
use super::{Exit, runtime};
use crate::api::{AccountPage, VersionList};
use crate::config::Settings;
use crate::jwt::{self, Account, Registered};
use crate::key::AccountKey;
use asked_for::AskedFor;
use names::Names;

const AFTER_HELP: &str = "\
ACCOUNT is the name of an account, its key, or a file with its JWT.
A name is that of an account exactly. If no account has it, it is a pattern: * is
any text, ? one character, and letters match in either case.

A file has a / in its name or ends in .jwt; - is the standard input. What is
printed is what the file says. It is compared with nothing.

--diff prints what the last change of the account changed, in words. With
serials from the history, it compares these versions; one serial is compared
with the newest version.

Without --url, it asks the server that runs on the folder of the settings, or at
the address in the settings. If no server runs on that folder, it reads the
folder itself, and changes nothing. A cache cannot tell; its primary can.

Exit status: 0 it was found, 1 there is no such account or version, or several
have that name, 2 that cannot be told.

Examples:
  nats-account-server show --url http://primary:9090 orders
  nats-account-server show -dir /var/lib/nas orders --diff
  nats-account-server show orders --diff 9 17
  nats-account-server show ./orders.jwt";

/// What `show` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ShowArgs {
    /// Ask the account server at this URL: a primary knows most
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    url: Option<String>,
    /// Read the folder, even if a server runs on it
    #[arg(long)]
    offline: bool,
    /// Print what changed: last, or between two versions
    #[arg(long, value_names = ["FROM", "TO"], num_args = 0..=2, value_parser = serial)]
    diff: Option<Vec<u64>>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The account: its name, its key, or a file with its JWT
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

fn serial(text: &str) -> Result<u64, &'static str> {
    let serial = text.parse().ok().filter(|serial| *serial > 0);
    serial.ok_or("the serial of a version is expected; ACCOUNT goes before --diff")
}

/// All that is known of an account.
#[derive(Debug, Serialize)]
struct Shown {
    /// The server, the folder or the file that was asked.
    place: String,
    account: AccountPage,
    /// Its history, if that is known there.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<VersionList>,
    /// The names of other accounts that its claims mention, by their keys.
    names: BTreeMap<String, String>,
    /// The claims, read.
    #[serde(skip)]
    claims: Option<(Registered, Account)>,
}

/// Shows. 0: it was found; 1: there is no such thing; 2: that cannot be told.
pub(super) fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Exit> {
    let asked_for = AskedFor::of(&args.account);
    let source = || Source::of(settings, args.url.as_deref(), args.offline);
    let runtime = runtime()?;
    match (&asked_for, &args.diff) {
        (AskedFor::File(_), Some(_)) => {
            Err(Failure::Unclear("a file has one version: --diff needs the name or the key of an account".to_owned()))?
        }
        (AskedFor::File(file), None) => {
            let page = file::read(file, &mut io::stdin().lock())?;
            // Its names are of help, and not needed.
            let source = source().ok();
            let shown = runtime.block_on(async {
                let shown = Shown::of_file(file, page);
                match source {
                    Some(source) if shown.mentions() && source.is_at_hand().await => shown.with_names(&source).await,
                    _ => shown,
                }
            });
            output(|out| shown.write(args, out))
        }
        (_, None) => {
            let source = source()?;
            let shown = runtime.block_on(async {
                let key = asked_for.key(&source).await?;
                Ok::<_, Failure>(Shown::ask(&source, &key).await?.with_names(&source).await)
            })?;
            output(|out| shown.write(args, out))
        }
        (_, Some(serials)) => {
            let source = source()?;
            let (page, diff) = runtime.block_on(async {
                let key = asked_for.key(&source).await?;
                let (from, to) = (serials.first().copied(), serials.get(1).copied());
                Ok::<_, Failure>((source.account(&key).await?, source.diff(&key, from, to).await?))
            })?;
            let name = page.and_then(|page| page.account.name).unwrap_or_default();
            output(|out| match args.json {
                true => writeln!(out, "{}", json(&diff, true)?),
                false => changes::write_diff(&name, &diff, &Moments::here(), Paint::stdout(), out),
            })
        }
    }
}

/// Prints. A reader of the output that has enough is no error.
fn output(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Exit> {
    let mut text = Vec::new();
    let mut out = io::stdout().lock();
    match write(&mut text).and_then(|()| out.write_all(&text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Unclear(format!("cannot write to the standard output: {error}")).into())
        }
        _ => Ok(()),
    }
}

impl Shown {
    fn new(place: String, account: AccountPage, history: Option<VersionList>) -> Self {
        let claims = account.claims.as_ref().and_then(|claims| jwt::account_of(claims).ok());
        Self { place, account, history, names: BTreeMap::new(), claims }
    }

    fn of_file(file: &str, account: AccountPage) -> Self {
        let place = if file == "-" { "the standard input" } else { file };
        Self::new(place.to_owned(), account, None)
    }

    async fn ask(source: &Source, key: &AccountKey) -> Result<Self, Failure> {
        let page = source.account(key).await?;
        let absent = || Failure::Absent(format!("nothing is stored of account {key} at {}", source.place()));
        Ok(Self::new(source.place(), page.ok_or_else(absent)?, source.versions(key).await?))
    }

    /// Whether its claims mention other accounts.
    fn mentions(&self) -> bool {
        self.claims.as_ref().is_some_and(|(_, account)| !names::mentioned(account).is_empty())
    }

    async fn with_names(mut self, source: &Source) -> Self {
        if let Some((_, account)) = &self.claims {
            self.names = names::ask(source, account).await;
        }
        self
    }

    fn write(&self, args: &ShowArgs, out: &mut dyn Write) -> io::Result<()> {
        if args.json {
            return writeln!(out, "{}", json(self, true)?);
        }
        text::write(self, &Names(&self.names), &Moments::here(), Paint::stdout(), out)
    }
}
