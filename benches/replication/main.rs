//! `cargo bench --bench replication`: what it costs to stay up to date, to start again, and to let everything pass by.
//!
//! 1. A primary loses its session and one account changes: bytes and time until a mirror has it, from its first request on,
//!    beside a pack of everything.
//! 2. The mirror starts again with its primary gone: time until the first answer.
//! 3. Every account is asked for at a cache with a bound of 64 MiB: anonymous memory.
//!
//! `ACCOUNTS` is how many there are, by default 200 000. A million takes some minutes and 3 GB of memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::folder::Folder;
use support::proxy::Proxy;
use support::{Connection, ready, until_metric};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BOUND: u64 = 64 << 20;
const FOLLOWS: &str = "replica_feed_connected 1";

#[tokio::main]
async fn main() {
    let accounts = std::env::var("ACCOUNTS").map_or(200_000, |count| count.parse().unwrap());
    let folder = Folder::open("replication", accounts);
    let operator = support::operator(&folder.operator, None);
    let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let at = |name: &str| state.path().join(name).to_str().unwrap().to_owned();
    let primary = || {
        let tokens = folder.tokens();
        support::server(&["-operator", &operator, "-dir", tokens.to_str().unwrap()])
    };
    let journal = folder.tokens().join(".nats-account-server");
    let _ = std::fs::remove_dir_all(&journal);
    let (first, port) = primary();
    ready(port).await;
    let proxy = Proxy::open(port).await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let mirror_args = ["-operator", &operator, "-primary", &url, "-dir", &at("mirror")];
    let settings = [("NAS_REPLICA__MODE", "mirror"), ("NAS_REPLICA__CACHE_BYTES", "4GiB")];
    let mirror = || support::server_with(&mirror_args, &settings);
    let began = Instant::now();
    let (process, mirror_port) = mirror();
    until_metric(mirror_port, FOLLOWS).await;
    println!(
        "{accounts} accounts: a new mirror has all of them after {:.1} s, {:.1} MB moved",
        began.elapsed().as_secs_f64(),
        proxy.moved() as f64 / 1e6
    );

    // 1. The session is lost, and one account has changed.
    proxy.close();
    drop(first);
    std::fs::remove_dir_all(&journal).unwrap();
    let (second, port) = primary();
    ready(port).await;
    let key = &folder.keys[accounts / 2];
    // Later than all others, and not ahead of the clock.
    let newer = support::account(&folder.operator, key, 10_000_000);
    assert_eq!(Connection::open(port).await.send(&support::post(key, &newer)).await.0, 200);
    proxy.lead_to(port);
    let path = format!("/jwt/v1/accounts/{key}");
    let mut reader = Connection::open(mirror_port).await;
    let before = proxy.moved();
    while reader.send(&support::get(&path)).await.1.is_empty() || reader.body() != newer {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = proxy.since_first();
    until_metric(mirror_port, FOLLOWS).await;
    println!(
        "one change, session lost: the mirror has it after {:.0} ms, all compared after {:.0} ms, {} bytes moved",
        took.as_secs_f64() * 1e3,
        proxy.since_first().as_secs_f64() * 1e3,
        proxy.moved() - before
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /jwt/v1/pack HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut pack = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => pack += read,
        }
    }
    println!("a pack of everything: {:.1} MB in {:.0} ms", pack as f64 / 1e6, began.elapsed().as_secs_f64() * 1e3);

    // 3. Everything passes a cache.
    let idle = {
        let url = format!("http://127.0.0.1:{port}");
        let (process, port) = support::server(&["-operator", &operator, "-primary", &url]);
        until_metric(port, FOLLOWS).await;
        process.anonymous()
    };
    let url = format!("http://127.0.0.1:{port}");
    let (cache, cache_port) =
        support::server_with(&["-operator", &operator, "-primary", &url], &[("NAS_REPLICA__CACHE_BYTES", "64MiB")]);
    let requests = folder.keys.iter().map(|key| support::get(&format!("/jwt/v1/accounts/{key}")));
    let mut dealt = vec![Vec::new(); 32];
    for (place, request) in requests.enumerate() {
        dealt[place % 32].push(request);
    }
    let (times, whole) = support::load(cache_port, dealt).await;
    println!(
        "{accounts} accounts passed a cache in {:.0} s, p99 {:.1} ms: {:.1} MB of anonymous memory; idle {:.1} MB and the bound \
         of {:.1} MB are {:.1} MB",
        whole.as_secs_f64(),
        support::quantile(&times, 0.99),
        cache.anonymous() as f64 / 1e6,
        idle as f64 / 1e6,
        BOUND as f64 / 1e6,
        (idle + BOUND) as f64 / 1e6
    );

    // 2. The mirror starts again, alone.
    proxy.close();
    drop(second);
    support::stop(process);
    let began = Instant::now();
    let (_mirror, port) = mirror();
    let listening = began.elapsed();
    let (status, _) = Connection::open(port).await.send(&support::get(&path)).await;
    println!(
        "the mirror starts again alone: listens after {:.0} ms, first answer ({status}) after {:.0} ms",
        listening.as_secs_f64() * 1e3,
        began.elapsed().as_secs_f64() * 1e3
    );
}
