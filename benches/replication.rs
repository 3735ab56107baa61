//! `cargo bench --bench replication`: what it costs to stay up to date, to start again, and to let everything pass by.
//!
//! 1. A primary loses its session and one account changes: bytes and time until a mirror has it, from its first request on,
//!    beside a pack of everything.
//! 2. The mirror starts again with its primary gone: time until the first answer.
//! 3. Every account is asked for at a cache with a bound of 64 MiB: anonymous memory.
//!
//! `ACCOUNTS` is how many there are, by default 200 000. A million takes some minutes and 3 GB of memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use support::folder::Folder;
use support::{Connection, ready, until_metric};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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

/// A way to the primary that counts what passes in both directions, and can be closed and led elsewhere.
struct Proxy {
    port: u16,
    target: watch::Sender<Option<u16>>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    moved: AtomicU64,
    /// When somebody came for the first time since it was led elsewhere.
    first: Mutex<Option<Instant>>,
}

impl Proxy {
    async fn open(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = watch::channel(Some(target));
        let count = Arc::new(Count::default());
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if let Some(target) = *receiver.borrow() {
                    counted.first.lock().get_or_insert_with(Instant::now);
                    tokio::spawn(pass(client, target, receiver.clone(), counted.clone()));
                }
            }
        });
        Self { port, target: sender, count }
    }

    fn close(&self) {
        self.target.send_replace(None);
    }

    fn lead_to(&self, target: u16) {
        *self.count.first.lock() = None;
        self.target.send_replace(Some(target));
    }

    fn moved(&self) -> u64 {
        self.count.moved.load(Ordering::Relaxed)
    }

    fn since_first(&self) -> Duration {
        self.count.first.lock().map_or(Duration::ZERO, |first| first.elapsed())
    }
}

async fn pass(client: TcpStream, target: u16, mut goes: watch::Receiver<Option<u16>>, count: Arc<Count>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let copy = async |from: &mut tokio::net::tcp::OwnedReadHalf, to: &mut tokio::net::tcp::OwnedWriteHalf| {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
            count.moved.fetch_add(read as u64, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = copy(&mut from_client, &mut to_server) => {}
        () = copy(&mut from_server, &mut to_client) => {}
        _ = goes.wait_for(|goes| *goes != Some(target)) => {}
    }
}
