//! `status`: how the account servers, their replicas and the nats-servers are, in one look.
//!
//! It asks each server over the API, all at the same time ([`ask`]), and judges what they say ([`judge`]). Nothing that a server
//! sends is trusted: texts are cut and cleaned ([`told`]), and lists are bounded while they are read ([`ranked`]).

mod answers;
mod ask;
mod judge;
mod ranked;
mod report;
mod table;
mod told;
mod watch;

use std::time::Duration;

use super::local::LocalServer;
use super::shown::Paint;
use super::{Exit, runtime};
use crate::config::Settings;
use crate::upstream::Access;
use crate::upstream::remote::RemoteServer;

const AFTER_HELP: &str = "\
Each URL is an account server: a primary or a replica. A primary also tells of
its replicas and of each nats-server. Without URL, it asks the server at the
address in the settings.

Exit status: 0 all is well, 1 something is degraded, 2 a server does not answer,
or what answers is no account server. The worst one counts.

Examples:
  nats-account-server status http://primary:9090 http://replica:9090
  nats-account-server status --watch http://primary:9090
  nats-account-server status --json -c nats-account-server.conf";

/// What `status` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct StatusArgs {
    /// Look again and again; every 2s unless an interval is given
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = bounded
    )]
    watch: Option<Duration>,
    /// Longest wait for each server, such as 500ms or 3s; a bare number is in seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = bounded)]
    timeout: Duration,
    /// Print a JSON document; with --watch, one in each line
    #[arg(long)]
    json: bool,
    /// Base URLs of account servers
    #[arg(value_name = "URL")]
    urls: Vec<String>,
}

/// Looks. 0: all is well; 1: degraded; 2: a server does not answer, or is none.
pub(super) fn run(settings: Result<Settings, String>, args: &StatusArgs) -> Result<(), Exit> {
    let unclear = |why: String| Exit::error(2, format_args!("nats-account-server: {why}"));
    let servers = settings.and_then(|settings| servers(&settings, &args.urls)).map_err(unclear)?;
    let runtime = runtime().map_err(unclear)?;
    let form = if args.json { watch::Form::Json } else { watch::Form::Text(Paint::stdout()) };
    let state = runtime.block_on(watch::run(&servers, args.timeout, args.watch, form));
    // A look-up of a name may hang on, and the caller would wait for it.
    runtime.shutdown_background();
    match state.exit_status() {
        0 => Ok(()),
        status => Err(Exit::silent(status)),
    }
}

/// The servers to ask: those of the URLs, or the one of the settings.
fn servers(settings: &Settings, urls: &[String]) -> Result<Vec<RemoteServer>, String> {
    if urls.is_empty() {
        return Ok(vec![LocalServer::of_api(settings)?.remote]);
    }
    let access = Access::of_command(settings);
    urls.iter().map(|url| RemoteServer::new(url, "the command line", &access)).collect()
}

/// A time that makes sense as a time limit and as an interval.
fn bounded(text: &str) -> Result<Duration, &'static str> {
    const BOUNDS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
    super::time(text).ok().filter(|time| BOUNDS.contains(time)).ok_or("a time from 100ms to 1h is expected")
}
