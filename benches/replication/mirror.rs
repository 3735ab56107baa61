//! A new mirror, and its restart with the primary gone.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::support::figure::{figure, quantiles};
use crate::support::pace::Pace;
use crate::support::proxy::Proxy;
use crate::support::{self, Connection, get};
use crate::world::{AMPLE, World, in_sync, served};

/// GETs a second at the primary, and on how many connections.
const RATE: u32 = 200;
const CONNECTIONS: u32 = 20;
/// How long the primary is measured without a mirror.
const ALONE: Duration = Duration::from_secs(5);
const RESTARTS: usize = 5;
/// How long a restarted mirror has until it answers and is ready.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(world: &World) {
    let (primary, port) = world.primary(&[]).await;
    let pace = || Pace::start(port, world.requests.clone(), RATE, CONNECTIONS);
    let alone = pace();
    sleep(ALONE).await;
    quantiles("GETs at a primary without a new mirror", &alone.end());

    let proxy = Proxy::open(port).await;
    let (used, meanwhile, began) = (primary.cpu(), pace(), Instant::now());
    let (mirror, _) = world.replica("new-mirror", "mirror", proxy.port, AMPLE);
    in_sync(port, "new-mirror").await;
    let took = began.elapsed();
    let times = meanwhile.end();
    figure("new mirror, time until it has everything", took.as_secs_f64(), "s");
    figure("new mirror, moved", proxy.moved().both() / 1e6, "MB");
    figure("new mirror, its CPU", mirror.cpu().as_secs_f64(), "s");
    figure("new mirror, CPU of its primary and of the GETs there", (primary.cpu() - used).as_secs_f64(), "s");
    quantiles("GETs at the primary of a new mirror", &times);

    proxy.close();
    drop(primary);
    support::stop(mirror);
    restart(world, proxy.port).await;
}

/// Starts the mirror again and again. There is only a closed proxy upstream.
async fn restart(world: &World, upstream: u16) {
    let (mut listens, mut answers, mut is_ready) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=RESTARTS {
        let began = Instant::now();
        let took = || began.elapsed().as_secs_f64() * 1e3;
        let (mirror, port) = world.replica("new-mirror", "mirror", upstream, AMPLE);
        listens.push(took());
        let mut connection = Connection::open(port).await;
        until_ok(&mut connection, || world.requests[rand::random_range(0..world.len())].clone()).await;
        answers.push(took());
        until_ok(&mut connection, || get("/readyz")).await;
        is_ready.push(took());
        if round == RESTARTS {
            let missing = world.len() - served(port, world.deal(world.len())).await;
            figure("restarted mirror, not served without the primary", missing as f64, "accounts");
        }
        support::stop(mirror);
    }
    for (what, times) in
        [("listens after", &mut listens), ("first answer after", &mut answers), ("ready after", &mut is_ready)]
    {
        figure(&format!("restarted mirror, {what}, median"), support::median(times), "ms");
        figure(&format!("restarted mirror, {what}, longest"), times.last().copied().unwrap(), "ms");
    }
}

/// Asks until the answer is 200.
async fn until_ok(connection: &mut Connection, request: impl Fn() -> Vec<u8>) {
    let began = Instant::now();
    while connection.send(&request()).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "the mirror cannot do that alone");
        sleep(Duration::from_millis(1)).await;
    }
}
