//! `cargo bench --bench replays`: what many streams of old changes take from other requests.
//!
//! `STREAMS` event streams (600), from six addresses, begin at serial 0 of a journal with `ACCOUNTS` accounts (100 000): first as
//! fast as they can read, then slowly. Meanwhile one client asks for accounts that are not in memory. `SERVER` names another
//! program to be measured.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::folder::Folder;
use support::{Connection, Process, quantile, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

const LASTS: Duration = Duration::from_secs(15);

fn main() {
    // The client that is measured has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |count| count.parse().unwrap());
    let (accounts, streams) = (number("ACCOUNTS", 100_000), number("STREAMS", 600));
    let folder = Folder::open("replays", accounts);
    let operator = support::operator(&folder.operator, None);
    let tokens = folder.tokens();
    let args = ["-operator", &operator, "-dir", tokens.to_str().unwrap()];
    let (process, _) = support::server(&args);
    drop(process);
    // What is imported now is in no memory.
    let (process, port) = support::server_with(&args, &[("NAS_STORE__CACHE_BYTES", "64KiB")]);
    ready(port).await;
    let mut keys = folder.keys.iter().cycle();
    measure("no streams", &process, port, &mut keys, None).await;
    let readers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (what, pause) in
        [("streams read at once", Duration::ZERO), ("streams read 10 KiB/s", Duration::from_millis(100))]
    {
        let read = Arc::new(AtomicU64::new(0));
        let open: Vec<_> = (0..streams as u64).map(|n| readers.spawn(stream(port, n, pause, read.clone()))).collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        measure(what, &process, port, &mut keys, Some(&read)).await;
        open.iter().for_each(JoinHandle::abort);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    readers.shutdown_background();
}

async fn stream(port: u16, number: u64, pause: Duration, read: Arc<AtomicU64>) {
    let socket = TcpSocket::new_v4().unwrap();
    if !pause.is_zero() {
        socket.set_recv_buffer_size(4096).unwrap();
    }
    let from = u8::try_from(2 + number % 6).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    let Ok(mut stream) = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await else { return };
    let request = "GET /jwt/v1/changes?after=0 HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut some = vec![0; if pause.is_zero() { 1 << 16 } else { 1024 }];
    while let Ok(count @ 1..) = stream.read(&mut some).await {
        read.fetch_add(count as u64, Ordering::Relaxed);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn measure(
    what: &str,
    process: &Process,
    port: u16,
    keys: &mut impl Iterator<Item = &String>,
    read: Option<&AtomicU64>,
) {
    let mut client = Connection::open(port).await;
    let (began, mut times, mut memory) = (Instant::now(), Vec::new(), 0);
    let before = read.map_or(0, |read| read.load(Ordering::Relaxed));
    while began.elapsed() < LASTS {
        let key = keys.next().unwrap();
        let asked = Instant::now();
        assert_eq!(client.send(&support::get(&format!("/jwt/v1/accounts/{key}"))).await.0, 200);
        times.push(asked.elapsed());
        memory = memory.max(process.anonymous());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_unstable();
    let moved = read.map_or(0, |read| read.load(Ordering::Relaxed)) - before;
    println!(
        "{what}: GET p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms; {} MiB of memory; {:.1} MB/s to the streams",
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        times.last().unwrap().as_secs_f64() * 1e3,
        memory >> 20,
        moved as f64 / 1e6 / LASTS.as_secs_f64()
    );
}
