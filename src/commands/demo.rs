//! `demo`: how it is asked for; [`crate::demo`] is the demo itself.

use std::path::PathBuf;

use super::{Exit, runtime};
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

/// Runs it on the main thread, which lives as long as the process: its children are tied to that.
pub(super) fn run(args: &DemoArgs) -> Result<(), Exit> {
    let plan = Plan {
        dir: args.dir.clone(),
        nats_server: args.nats_server.clone(),
        once: args.once,
        ports: Ports {
            primary: args.primary_port,
            replica: args.replica_port,
            nats: args.nats_port,
            monitor: args.monitor_port,
        },
    };
    runtime()?.block_on(demo::run(&plan)).map_err(|why| Exit::error(1, why))
}
