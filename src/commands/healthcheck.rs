//! `healthcheck`: whether a server serves, for the health check of a container and for scripts.
//!
//! It needs no shell and no other program in the image.

use std::io::Write as _;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::local::LocalServer;
use super::shown::printable;
use super::{Exit, runtime};
use crate::config::Settings;
use crate::upstream::Access;
use crate::upstream::remote::{RemoteServer, words};

const AFTER_HELP: &str = "\
Without URL, it asks the server at the address in the settings; a server with a
certificate is known by that certificate. The flags, the environment and the
configuration file must be those of the server.

By default it fails only if the process does not answer: a restart helps then.
With --ready it also fails while the server should get no requests, such as
while it stops, or while a replica has nothing to serve.

Exit status: 0 healthy, 1 not.

Examples:
  nats-account-server healthcheck
  nats-account-server healthcheck --ready http://127.0.0.1:9090";

/// What `healthcheck` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct HealthcheckArgs {
    /// Ask whether the server should get requests (/readyz), not only whether it answers (/healthz)
    #[arg(long)]
    ready: bool,
    /// Longest wait, such as 500ms or 3s; a bare number is in seconds
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = super::time)]
    timeout: Duration,
    /// Base URL of the server
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// Asks. 0: healthy; 1: not.
pub(super) fn run(settings: &Settings, args: &HealthcheckArgs) -> Result<(), Exit> {
    let (url, remote) = match &args.url {
        Some(url) => {
            let remote = RemoteServer::new(url, "URL", &Access::of_command(settings))?;
            (remote.shown(), remote)
        }
        None => {
            let LocalServer { url, remote } = LocalServer::of(settings)?;
            (url, remote)
        }
    };
    let path = if args.ready { "readyz" } else { "healthz" };
    let began = Instant::now();
    let runtime = runtime()?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(args.timeout, async {
            let reply = remote.get_once(path).await?;
            match reply.status() {
                StatusCode::OK => Ok(()),
                status => Err(format!("{status}: {}", words(reply).await)),
            }
        })
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", args.timeout.as_millis())))
    });
    // A look-up of a name may hang on, and the caller would wait for it.
    runtime.shutdown_background();
    match answer {
        Ok(()) => {
            let line = format!("{url}/{path} answers 200 after {} ms", began.elapsed().as_millis());
            // Nobody to tell, if standard output is closed.
            let _ = writeln!(std::io::stdout(), "{}", printable(&line));
            Ok(())
        }
        Err(why) => Err(printable(&format!("{url}/{path}: {why}")).into()),
    }
}
