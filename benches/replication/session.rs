//! A primary loses its session while one account changes: what a mirror and a cache move until they have compared everything.

use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::figure::figure;
use crate::support::proxy::Proxy;
use crate::support::{self, Connection, EPOCH, ready, until_metric};
use crate::world::{AMPLE, World, in_sync};

const FEED: &str = "/jwt/v1/changes";
const DIGESTS: &str = "/jwt/v1/digests";
/// How long the replica may take for requests that its comparison did not wait for.
const LATER: Duration = Duration::from_secs(1);

/// A replica that has every account.
struct Follower {
    mode: &'static str,
    name: String,
    proxy: Proxy,
    port: u16,
    _process: support::Process,
}

pub(crate) async fn run(world: &World) {
    let (primary, port) = world.primary(&[]).await;
    let mirror = Follower::fill(world, "mirror", port).await;
    let cache = Follower::fill(world, "cache", port).await;
    mirror.proxy.close();
    cache.proxy.close();
    drop(primary);
    world.lose_session();

    let (primary, port) = world.primary(&[]).await;
    let key = &world.folder.keys[world.len() / 2];
    // Newer than that of an earlier run, and not ahead of the clock.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let newer = support::account(&world.folder.operator, key, i64::try_from(now).unwrap() - EPOCH);
    assert_eq!(Connection::open(port).await.send(&support::post(key, &newer)).await.0, 200);
    until_metric(port, "folder_pending 0").await;
    for follower in [&mirror, &cache] {
        follower.compare(port, key, &newer).await;
    }
    pack(port).await;

    // The same without a change, and the replicas come while the primary still scans.
    mirror.proxy.close();
    cache.proxy.close();
    drop(primary);
    world.lose_session();
    let (_primary, port) = world.scanning_primary(&[]);
    mirror.proxy.lead_to(port);
    cache.proxy.lead_to(port);
    ready(port).await;
    let is_ready = Instant::now();
    for follower in [&mirror, &cache] {
        in_sync(port, &follower.name).await;
        let what = format!("session lost, {}, primary scans", follower.mode);
        let took = is_ready.elapsed().as_secs_f64() * 1e3;
        figure(
            &format!("{what}, time until the primary knows that all is compared, from the end of the scan"),
            took,
            "ms",
        );
        follower.bytes(&what).await;
    }
}

impl Follower {
    /// Starts one and waits until it has everything.
    async fn fill(world: &World, mode: &'static str, primary: u16) -> Self {
        let (proxy, name) = (Proxy::open(primary).await, format!("session-{mode}"));
        let (process, port) = world.replica(&name, mode, proxy.port, AMPLE);
        in_sync(primary, &name).await;
        if mode == "cache" {
            support::load(port, world.deal(world.len())).await;
        }
        Self { mode, name, proxy, port, _process: process }
    }

    /// Leads it to the new primary, which has a newer JWT of one account.
    async fn compare(&self, primary: u16, key: &str, newer: &str) {
        self.proxy.lead_to(primary);
        in_sync(primary, &self.name).await;
        // The pause before the replica tries to reach its primary again is random.
        let came = self.proxy.first_request(FEED).expect("it follows");
        let confirmed = came.elapsed();
        let compared = self.proxy.last_answer(DIGESTS).map_or(Duration::ZERO, |last| last - came);
        let what = format!("session lost, {}, one change", self.mode);
        figure(&format!("{what}, time until the last answer that it compares"), compared.as_secs_f64() * 1e3, "ms");
        figure(
            &format!("{what}, time until the primary knows that all is compared"),
            confirmed.as_secs_f64() * 1e3,
            "ms",
        );
        self.bytes(&what).await;
        let mut reader = Connection::open(self.port).await;
        reader.send(&support::get(&format!("/jwt/v1/accounts/{key}"))).await;
        assert_eq!(reader.body(), newer, "the {} has compared, and lacks the change", self.mode);
    }

    /// Prints what has passed, a moment later.
    async fn bytes(&self, what: &str) {
        sleep(LATER).await;
        let moved = self.proxy.moved();
        figure(&format!("{what}, sent to the primary"), moved.to_server as f64, "bytes");
        figure(&format!("{what}, received from it"), moved.from_server as f64, "bytes");
        figure(&format!("{what}, in both directions"), moved.both(), "bytes");
        for (route, moved) in self.proxy.by_route() {
            figure(&format!("{what}, {route} in both directions"), moved.both(), "bytes");
        }
    }
}

/// A pack of everything, for comparison.
async fn pack(port: u16) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /jwt/v1/pack HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut moved, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => moved += read,
        }
    }
    figure("a pack of everything, moved", moved as f64 / 1e6, "MB");
    figure("a pack of everything, time", began.elapsed().as_secs_f64() * 1e3, "ms");
}
