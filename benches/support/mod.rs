//! What the benchmarks share: keys and tokens, processes and what they cost, and a load of keep-alive connections.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

pub(crate) mod delay;
pub(crate) mod figure;
pub(crate) mod folder;
pub(crate) mod nats;
pub(crate) mod pace;
pub(crate) mod proxy;
pub(crate) mod usage;
pub(crate) mod wrk;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nats_account_server::testkit::{self, sign, with};
use nkeys::KeyPair;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The time of the first version of everything, unix seconds.
pub(crate) const EPOCH: i64 = 1_780_000_000;

pub(crate) fn operator(pair: &KeyPair, system: Option<&KeyPair>) -> String {
    let nats = system.map_or_else(|| json!({}), |system| json!({ "system_account": system.public_key() }));
    sign(&with(testkit::operator(pair, EPOCH, &[]), json!({ "name": "bench", "nats": nats })), pair)
}

/// An account JWT of about 1.2 KB, the size that real ones have.
pub(crate) fn account(operator: &KeyPair, account: &str, version: i64) -> String {
    let more = json!({
        "name": format!("bench account {version}"),
        "nats": { "limits": { "conn": 100 + version }, "description": "x".repeat(320) }
    });
    sign(&with(testkit::account_of(account, EPOCH + version), more), operator)
}

/// A child process that ends with its handle.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// CPU time used so far, user and system, all threads.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.0.id())
    }

    /// Anonymous memory in bytes.
    pub(crate) fn anonymous(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// CPU time that a process has used so far.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Starts the server and waits until it listens. Returns it with its port.
pub(crate) fn server(args: &[&str]) -> (Process, u16) {
    server_with(args, &[])
}

/// The same, with settings in the environment. `SERVER` names another program. It listens where `-hp` says, if that is among the arguments.
pub(crate) fn server_with(args: &[&str], settings: &[(&str, &str)]) -> (Process, u16) {
    let program = std::env::var("SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nats-account-server").to_owned());
    server_of(&program, args, settings)
}

/// The same, of this program.
///
/// A copy of it runs: pages of a file that a linker has just written lie apart in memory, and the same program takes a tenth more
/// time with them than with those of a copy.
pub(crate) fn server_of(program: &str, args: &[&str], settings: &[(&str, &str)]) -> (Process, u16) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copy = folder.path().join("nats-account-server");
    std::fs::copy(program, &copy).unwrap();
    let mut child = Command::new(&copy)
        .args(args)
        .envs(settings.iter().copied())
        .args(if args.contains(&"-hp") { &[][..] } else { &["-hp", "127.0.0.1:0"] })
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = loop {
        let line = lines.next().expect("the server has ended").unwrap();
        if let Some(port) = line.split("http listening on port ").nth(1) {
            break port.trim().parse().unwrap();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    (Process(child), port)
}

/// Stops a server as an operator would, and waits until it has ended.
pub(crate) fn stop(mut process: Process) {
    let pid = i32::try_from(process.0.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    process.0.wait().unwrap();
}

/// Waits until a server's metrics have a line.
pub(crate) async fn until_metric(port: u16, line: &str) {
    let line = format!("nats_account_server_{line}");
    loop {
        let mut connection = Connection::open(port).await;
        connection.send(&get("/metrics")).await;
        if connection.body().lines().any(|found| found == line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a server is ready.
pub(crate) async fn ready(port: u16) {
    while Connection::open(port).await.send(&get("/readyz")).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A keep-alive connection that sends prepared requests.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(16 << 10) }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &str {
        let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        std::str::from_utf8(&self.buffer[end + 4..]).unwrap()
    }

    /// Sends a request and reads the whole answer. Returns the status and the answer's head.
    pub(crate) async fn send(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server closed the connection");
            let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if self.buffer.len() >= end + 4 + length {
                return (head[9..12].parse().unwrap(), head.to_owned());
            }
        }
    }
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

pub(crate) fn post(key: &str, token: &str) -> Vec<u8> {
    let length = token.len();
    format!("POST /jwt/v1/accounts/{key} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n{token}")
        .into_bytes()
}

/// Sends each connection's requests in turn, all connections at once. Returns the time of every request, sorted, and
/// the whole time.
pub(crate) async fn load(port: u16, requests: Vec<Vec<Vec<u8>>>) -> (Vec<Duration>, Duration) {
    let start = Arc::new(tokio::sync::Barrier::new(requests.len() + 1));
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|requests| {
            let start = start.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                let mut times = Vec::with_capacity(requests.len());
                start.wait().await;
                for request in &requests {
                    let sent = Instant::now();
                    let (status, head) = connection.send(request).await;
                    assert_eq!(status, 200, "{head}");
                    times.push(sent.elapsed());
                }
                times
            })
        })
        .collect();
    start.wait().await;
    let began = Instant::now();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let whole = began.elapsed();
    times.sort();
    (times, whole)
}

/// The time below which `share` of the sorted times lie, in milliseconds.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
    sorted[index].as_secs_f64() * 1000.0
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
