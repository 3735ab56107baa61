//! `demo`: how it is asked for; [`crate::demo`] is the demo itself.

use std::path::{Path, PathBuf};

use super::{Exit, runtime, say};
use crate::demo::{self, Plan, Ports};

/// What `demo` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Folder for keys, JWTs and logs; made if missing, and used again only if a demo made it
    #[arg(long, value_name = "DIR", default_value = "demo")]
    dir: PathBuf,
    /// The nats-server to use [default: $NATS_SERVER, else .tools/nats-server*/nats-server, else the one on the PATH]
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
    /// End after the steps instead of staying up
    #[arg(long, visible_alias = "exit")]
    once: bool,
    /// Make only keys, JWTs and credentials, for servers that you start yourself; do nothing if DIR has an operator.jwt
    #[arg(long, conflicts_with_all = ["once", "nats_server"])]
    only_keys: bool,
    /// Port of the primary; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    primary_port: u16,
    /// Port of the replica; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    replica_port: u16,
    /// Port of the nats-server; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    nats_port: u16,
    /// Port of the nats-server's monitoring; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    monitor_port: u16,
}

/// Ports in the operator's JWT, if only keys are made and no others are given.
const USUAL: Ports = Ports { primary: 9090, replica: 0, nats: 4222, monitor: 0 };

/// Runs it on the main thread, which lives as long as the process: its children are tied to that.
pub(super) fn run(args: &DemoArgs) -> Result<(), Exit> {
    let ports = Ports {
        primary: args.primary_port,
        replica: args.replica_port,
        nats: args.nats_port,
        monitor: args.monitor_port,
    };
    if args.only_keys {
        return make_keys(&args.dir, ports);
    }
    let plan = Plan { dir: args.dir.clone(), nats_server: args.nats_server.clone(), once: args.once, ports };
    runtime()?.block_on(demo::run(&plan)).map_err(|why| Exit::error(1, why))
}

fn make_keys(dir: &Path, ports: Ports) -> Result<(), Exit> {
    let or = |port, usual| if port == 0 { usual } else { port };
    let ports = Ports { primary: or(ports.primary, USUAL.primary), nats: or(ports.nats, USUAL.nats), ..ports };
    let text = if demo::make_keys(dir, ports)? {
        "made THROWAWAY keys: operator demo; accounts SYS, app, billing; users sys, alice, bob, carol"
    } else {
        "there is an operator JWT already, so no keys were made"
    };
    say(&format!("{}: {text}", dir.display()));
    Ok(())
}
