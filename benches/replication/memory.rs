//! Anonymous memory per account, with caches too small for bodies.
//!
//! The same is measured with few accounts and with many, under as many requests, so that what a server needs anyway does not count.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::figure::figure;
use crate::support::{self, Process};
use crate::world::{World, in_sync};

/// The accounts of the smaller world.
const FEW: usize = 1_000;
const BOUND: &str = "64KiB";
/// After this time a server has nothing left to do.
const SETTLES: Duration = Duration::from_secs(2);
const MOMENTS: [&str; 3] = ["after the first start", "after a restart", "after a GET of each"];

pub(crate) async fn run(world: &World) {
    let few = World::open(FEW);
    for role in ["primary", "mirror", "cache"] {
        let (less, more) = (measure(&few, role, world.len()).await, measure(world, role, world.len()).await);
        for ((moment, less), more) in MOMENTS.into_iter().zip(less).zip(more) {
            let (name, each) = (format!("memory of a {role} {moment}"), (more - less) / (world.len() - FEW) as f64);
            figure(&format!("{name}, with {FEW} accounts"), less / 1e6, "MB");
            figure(&format!("{name}, with all accounts"), more / 1e6, "MB");
            figure(&format!("{name}, per account"), each, "bytes");
        }
    }
}

/// The anonymous memory of a server at each of the moments.
async fn measure(world: &World, role: &str, gets: usize) -> [f64; 3] {
    let name = format!("memory-{role}");
    let tight = [("NAS_STORE__CACHE_BYTES", BOUND)];
    if role == "primary" {
        world.lose_session();
        let (first, _) = world.primary(&tight).await;
        let filled = settled(&first).await;
        support::stop(first);
        let (second, port) = world.primary(&tight).await;
        return later(world, &second, port, gets, filled).await;
    }
    let (_primary, upstream) = world.primary(&[]).await;
    let (first, port) = world.replica(&name, role, upstream, BOUND);
    in_sync(upstream, &name).await;
    if role == "cache" {
        support::load(port, world.deal(gets)).await;
    }
    let filled = settled(&first).await;
    support::stop(first);
    let (second, port) = world.replica(&name, role, upstream, BOUND);
    support::ready(port).await;
    in_sync(upstream, &name).await;
    later(world, &second, port, gets, filled).await
}

async fn later(world: &World, server: &Process, port: u16, gets: usize, filled: f64) -> [f64; 3] {
    let restarted = settled(server).await;
    support::load(port, world.deal(gets)).await;
    [filled, restarted, settled(server).await]
}

async fn settled(server: &Process) -> f64 {
    sleep(SETTLES).await;
    server.anonymous() as f64
}
