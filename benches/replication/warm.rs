//! A cache that fills itself, until it could serve everything without its primary.
//!
//! `CACHES` is the number of caches that do so at once, by default one. A build whose caches do not fill themselves has nothing here.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::support::figure::figure;
use crate::support::proxy::Proxy;
use crate::support::{Connection, get};
use crate::world::{AMPLE, World, served};

/// A cache that gets nothing for so long has all that it will have.
const QUIET: Duration = Duration::from_secs(15);
/// How many accounts are requested of a cache that does not have all: each costs the cache some time.
const SAMPLE: usize = 1_000;

pub(crate) async fn run(world: &World) {
    let count = std::env::var("CACHES").map_or(1, |count| count.parse().unwrap());
    let (primary, port) = world.primary(&[]).await;
    let proxy = Proxy::open(port).await;
    let (began, used) = (Instant::now(), primary.cpu());
    // Only the bound is not the default, so that everything fits at any size.
    let caches: Vec<_> =
        (0..count).map(|number| world.replica(&format!("warm-{number}"), "cache", proxy.port, AMPLE)).collect();
    let (mut least, mut grew, mut cpu) = (0, began.elapsed(), primary.cpu() - used);
    while least < world.len() && began.elapsed() - grew < QUIET {
        sleep(Duration::from_millis(20)).await;
        let mut now = usize::MAX;
        for (_, port) in &caches {
            now = now.min(holds(*port).await);
        }
        if now > least {
            (least, grew, cpu) = (now, began.elapsed(), primary.cpu() - used);
        }
    }
    let of = format!("{count} warm cache(s)");
    figure(&format!("{of}, JWTs in the one with the fewest"), least as f64, &format!("of {}", world.len()));
    if least > 0 {
        let (took, cpu) = (grew.as_secs_f64(), cpu.as_secs_f64());
        figure(&format!("{of}, time until the last of them"), took, "s");
        figure(&format!("{of}, CPU of the primary until then"), cpu, "s");
        figure(&format!("{of}, share of the primary until then"), cpu / took * 100.0, "% of a core");
        figure(&format!("{of}, moved"), proxy.moved().both() / 1e6, "MB");
    }

    proxy.close();
    drop(primary);
    let asked = if least < world.len() { SAMPLE.min(world.len()) } else { world.len() };
    let answered = served(caches[0].1, world.deal(asked)).await;
    figure(&format!("{of}, served without the primary"), answered as f64, &format!("of {asked} requests"));
}

/// How many JWTs a cache could serve without its primary. If a build says so elsewhere, only this function changes.
async fn holds(port: u16) -> usize {
    let mut connection = Connection::open(port).await;
    connection.send(&get("/metrics")).await;
    let name = "nats_account_server_accepted_total{path=\"upstream\"} ";
    let taken = connection.body().lines().find_map(|line| line.strip_prefix(name));
    taken.map_or(0, |count| count.parse().unwrap())
}
