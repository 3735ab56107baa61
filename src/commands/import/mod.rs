//! `import`: accounts of a folder, an nsc store, a pack or a full resolver, imported by a primary.
//!
//! The primary is one that is stopped, whose folder this command opens as the server would, or one that runs and is sent
//! every JWT. Either way all of them pass the gate, and what is held yields only to what is newer.

mod offline;
mod online;
mod report;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Exit, runtime};
use crate::config::Settings;
use crate::gate::Refusal;
use crate::jwt::{self, AccountJwt};
use crate::key::AccountKey;
use crate::logging::Bar;
use report::ImportReport;
use source::ImportSource;

/// JWTs that are dealt with at the same time.
const AT_ONCE: usize = 64;

const AFTER_HELP: &str = "\
SOURCE is one of
  a folder of an account server or of a full resolver, flat or sharded
  an operator's folder of nsc, which holds .nsc and accounts
  a file with a pack, ACCOUNT|JWT in each line; - is the standard input
  a file with one JWT, as nsc writes it
  http://SERVER or https://SERVER, an account server, whose pack is read
  nats://SERVER or tls://SERVER, nats-servers with a full resolver

The server's flags, or a configuration file, name the primary. It must be
stopped, unless --to names one that runs. A running primary rejects expired
JWTs; a stopped one stores them, as it does with JWTs in its folder.
Exit status 1: something was rejected, or something could not be read.

Examples:
  nats-account-server import -dir /var/lib/nas -operator operator.jwt \\
      --dry-run /old/folder
  nats-account-server import -c nas.conf --creds sys.creds nats://n1:4222
  nats-account-server import --to http://primary:9090 \\
      ~/.local/share/nats/nsc/stores/OPERATOR";

/// What `import` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ImportArgs {
    /// Push everything to this running primary instead
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Credentials of a system-account user, for a source on NATS
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Print what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The same as SOURCE
    #[arg(long, value_name = "SOURCE", conflicts_with = "source")]
    from: Option<String>,
    /// Where the accounts are
    #[arg(value_name = "SOURCE", required_unless_present = "from")]
    source: Option<String>,
}

/// Something in a source.
#[derive(Debug)]
pub(super) enum FoundToken {
    /// So many more things come.
    Ahead(u64),
    /// A JWT of an account, and where it is from. `key`: the account that it is said to be of.
    Account { key: Option<AccountKey>, token: Bytes, origin: String },
    /// An activation token.
    Activation { token: Bytes, origin: String },
    /// The last JWT of an account that was deleted there.
    Deleted { key: AccountKey, token: Bytes },
    /// What cannot be read, and why.
    Unread { origin: String, why: String },
    /// A file of another name.
    Other,
}

/// What became of a token.
#[derive(Debug)]
pub(super) enum ImportFate {
    /// It is held now, or would be.
    Taken,
    /// So it is, though it has expired.
    TakenExpired,
    /// So it is, though it is dated in the future.
    TakenAhead,
    /// Exactly this is held.
    Same,
    /// What is held stays: why.
    Older(String),
    /// The account was deleted after the token was issued.
    Deleted(String),
    /// Nobody is to have it: why.
    Refused(String),
}

impl ImportFate {
    /// What becomes of a token that the gate or the order did not let in.
    fn of(refusal: &Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Deleted { .. } => Self::Deleted(text),
            refusal if refusal.is_conflict() => Self::Older(text),
            _ => Self::Refused(text),
        }
    }
}

/// Where the accounts are imported.
enum ImportTarget {
    Offline(offline::Offline),
    Online(online::Online),
}

impl ImportTarget {
    async fn account(&self, key: Option<&AccountKey>, token: &Bytes) -> Result<ImportFate, String> {
        match self {
            Self::Offline(primary) => primary.account(key, token).await,
            Self::Online(primary) => primary.account(key, token).await,
        }
    }

    async fn activation(&self, token: &Bytes) -> Result<ImportFate, String> {
        match self {
            Self::Offline(primary) => primary.activation(token).await,
            Self::Online(primary) => primary.activation(token).await,
        }
    }

    /// When the JWT of an account was issued that is held.
    async fn held(&self, key: &AccountKey) -> Result<Option<i64>, String> {
        match self {
            Self::Offline(primary) => primary.held(key).await,
            Self::Online(primary) => primary.held(key).await,
        }
    }
}

/// Imports. 0: all was read, and nothing refused.
pub(super) fn run(settings: &Settings, args: &ImportArgs) -> Result<(), Exit> {
    let text = args.from.as_ref().or(args.source.as_ref()).map_or("-", |text| text);
    let source = ImportSource::parse(text, settings, args.creds.clone())?;
    runtime()?.block_on(async {
        let target = match &args.to {
            Some(url) => ImportTarget::Online(online::Online::new(url, settings, args.dry_run)?),
            None => ImportTarget::Offline(offline::Offline::open(settings, &source, args.dry_run).await?),
        };
        let target = Arc::new(target);
        let (sender, found) = mpsc::channel(1024);
        let reading = tokio::spawn(source.read(sender));
        let report = take_in(&target, found).await;
        let read = reading.await.map_err(|error| format!("cannot read {text}: {error}"));
        if let Some(ImportTarget::Offline(primary)) = Arc::into_inner(target) {
            primary.close().await;
        }
        let mut report = report?;
        if let Err(why) = read.flatten() {
            report.incomplete(format!("{text}: {why}"));
        }
        // Nobody to tell, if standard output is closed.
        let _ = report.write(args.dry_run, &mut std::io::stdout());
        Exit::unless(report.is_fine())
    })
}

/// Imports everything that is found. Tokens that need their account come last.
async fn take_in(target: &Arc<ImportTarget>, mut found: mpsc::Receiver<FoundToken>) -> Result<ImportReport, String> {
    let (mut report, mut under_way) = (ImportReport::new(), JoinSet::new());
    let (mut activations, mut deleted) = (Vec::new(), Vec::new());
    let (bar, mut done, mut total) = (Bar::new("importing", 0), 0, 0);
    while let Some(next) = found.recv().await {
        match next {
            FoundToken::Ahead(more) => {
                total += more;
                continue;
            }
            FoundToken::Account { key, token, origin } => {
                let target = target.clone();
                under_way.spawn(async move {
                    let fate = target.account(key.as_ref(), &token).await;
                    (named(key.as_ref(), &token, &origin), fate)
                });
            }
            FoundToken::Activation { token, origin } => activations.push((token, origin)),
            FoundToken::Deleted { key, token } => deleted.push((key, token)),
            FoundToken::Unread { origin, why } => report.refused(format!("{origin}: {why}")),
            FoundToken::Other => report.other(),
        }
        while under_way.len() >= AT_ONCE {
            note(under_way.join_next().await, &mut report)?;
        }
        done += 1;
        bar.show(done, total.max(done));
    }
    while let Some(ended) = under_way.join_next().await {
        note(Some(ended), &mut report)?;
    }
    for (token, origin) in activations {
        report.add(&format!("activation ({origin})"), target.activation(&token).await?);
    }
    for (key, token) in deleted {
        let text = String::from_utf8_lossy(&token);
        let issued = AccountJwt::decode(text.trim_ascii_end()).map_or(i64::MAX, |jwt| jwt.claims.iat);
        let lives = target.held(&key).await?.is_some_and(|held| held <= issued);
        report.deleted_there(
            &jwt::called(&token).filter(|called| *called.key() == key).unwrap_or_else(|| key.into()),
            lives,
        );
    }
    Ok(report)
}

type ImportEnded = Result<(String, Result<ImportFate, String>), tokio::task::JoinError>;

fn note(ended: Option<ImportEnded>, report: &mut ImportReport) -> Result<(), String> {
    if let Some(ended) = ended {
        let (name, fate) = ended.map_err(|error| format!("cannot import: {error}"))?;
        report.add(&name, fate.map_err(|error| format!("cannot import {name}: {error}"))?);
    }
    Ok(())
}

/// The account and where it was found, for people.
fn named(key: Option<&AccountKey>, token: &[u8], origin: &str) -> String {
    let claimed = jwt::called(token);
    let account = match key {
        Some(key) => claimed.filter(|claimed| claimed.key() == key).or_else(|| Some((*key).into())),
        None => claimed,
    };
    match account {
        Some(account) => format!("{} ({origin})", account.whole()),
        None => origin.to_owned(),
    }
}
