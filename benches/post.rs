//! `cargo bench --bench post`: durable pushes over HTTP, one at a time and on 64 connections, and what they cost.
//!
//! `GO_SERVER` is a binary of the Go server, or `PEER` one of this server. Then both get the same pushes one at a time, in turn, and the
//! medians of the rounds' ratios are printed. `SERVER` is the binary to be measured, by default the one that was built with this.
//! With `AUDIT=true` it writes an audit log, and its peer does not.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nats_account_server::key::PublicKey;
use nkeys::KeyPair;
use support::Process;
use support::figure::{figure, quantiles};
use support::nats::free_port;
use support::usage::Usage;
use tokio::runtime::Runtime;

const CONNECTIONS: usize = 64;
const EACH: usize = 800;
const ROUNDS: usize = 7;
/// Pushes of a round, one at a time.
const PUSHES: usize = 300;

fn main() {
    let operator = KeyPair::new_operator();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let jwt = support::operator(&operator, None);
    let dir = folder.path().join("ours");
    let audit = folder.path().join("audit.log");
    let is_audited = std::env::var_os("AUDIT").is_some();
    let settings = is_audited.then(|| ("NAS_AUDIT__PATH", audit.to_str().unwrap()));
    let args = ["-operator", &jwt, "-dir", dir.to_str().unwrap()];
    let (process, port) = support::server_with(&args, settings.as_slice());
    let mut ours = Alone::new("one at a time", process, port);
    let mut theirs = match (std::env::var("GO_SERVER"), std::env::var("PEER")) {
        (Ok(binary), _) => Some(go_server(&binary, &jwt, folder.path())),
        (_, Ok(binary)) => {
            let dir = folder.path().join("theirs");
            Some(support::server_of(&binary, &["-operator", &jwt, "-dir", dir.to_str().unwrap()], &[]))
        }
        _ => None,
    }
    .map(|(process, port)| Alone::new("the peer, one at a time", process, port));
    figure("signature check, CPU", verify_cost(&operator), "us");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let push = |version: usize| {
        let key = KeyPair::new_account().public_key();
        support::post(&key, &support::account(&operator, &key, version as i64))
    };

    let (mut times, mut costs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let pushes: Vec<_> = (0..PUSHES).map(push).collect();
        let first = round.is_multiple_of(2).then(|| ours.round(&runtime, &pushes));
        let peer = theirs.as_mut().map(|theirs| theirs.round(&runtime, &pushes));
        let (time, cost) = first.unwrap_or_else(|| ours.round(&runtime, &pushes));
        if let Some((peer_time, peer_cost)) = peer {
            times.push(time / peer_time);
            costs.push(cost / peer_cost);
        }
    }
    ours.report();
    if let Some(theirs) = theirs {
        theirs.report();
        figure("one at a time, p50 as a share of the peer's, median", support::median(&mut times), "");
        figure("one at a time, CPU as a share of the peer's, median", support::median(&mut costs), "");
    }

    let many: Vec<Vec<_>> = (0..CONNECTIONS).map(|_| (0..EACH).map(push).collect()).collect();
    let before = ours.process.cpu();
    let (times, whole) = runtime.block_on(support::load(port, many));
    let name = format!("{CONNECTIONS} connections");
    quantiles(&name, &times);
    figure(&format!("{name}, pushes"), times.len() as f64 / whole.as_secs_f64(), "per second");
    let used = (ours.process.cpu() - before).as_secs_f64() * 1e6 / times.len() as f64;
    figure(&format!("{name}, CPU of a push"), used, "us");
}

/// A server that gets one push at a time, and what these took.
struct Alone {
    name: &'static str,
    process: Process,
    port: u16,
    times: Vec<Duration>,
    spent: Duration,
    used: Option<Usage>,
}

impl Alone {
    fn new(name: &'static str, process: Process, port: u16) -> Self {
        Self { name, process, port, times: Vec::new(), spent: Duration::ZERO, used: None }
    }

    /// Sends these pushes. Returns the p50 in milliseconds, and the CPU of a push in microseconds.
    fn round(&mut self, runtime: &Runtime, pushes: &[Vec<u8>]) -> (f64, f64) {
        let before = Usage::of(self.process.0.id());
        let (times, whole) = runtime.block_on(support::load(self.port, vec![pushes.to_vec()]));
        let used = Usage::of(self.process.0.id()).since(&before);
        self.used = Some(self.used.map_or(used, |sum| sum.and(&used)));
        self.spent += whole;
        let found = (support::quantile(&times, 0.5), used.cpu().as_secs_f64() * 1e6 / times.len() as f64);
        self.times.extend(times);
        found
    }

    fn report(&self) {
        let (mut times, used, name) = (self.times.clone(), self.used.unwrap(), self.name);
        times.sort();
        quantiles(name, &times);
        let pushes = times.len() as f64;
        figure(&format!("{name}, pushes"), pushes / self.spent.as_secs_f64(), "per second");
        figure(&format!("{name}, CPU of a push"), used.cpu().as_secs_f64() * 1e6 / pushes, "us");
        figure(&format!("{name}, CPU of a push in the kernel"), used.system.as_secs_f64() * 1e6 / pushes, "us");
        figure(&format!("{name}, read calls of a push"), used.reads as f64 / pushes, "");
        figure(&format!("{name}, write calls of a push"), used.writes as f64 / pushes, "");
        figure(&format!("{name}, waits of a push"), used.waits as f64 / pushes, "");
    }
}

/// Starts the Go server with a folder of its own, and waits until it answers.
fn go_server(binary: &str, operator: &str, root: &Path) -> (Process, u16) {
    let (jwt, dir, port) = (root.join("operator.jwt"), root.join("theirs"), free_port());
    std::fs::write(&jwt, operator).unwrap();
    std::fs::create_dir(&dir).unwrap();
    let mut child = Command::new(binary)
        .args(["-hp", &format!("127.0.0.1:{port}"), "-operator", jwt.to_str().unwrap(), "-dir", dir.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As ours: somebody reads its log.
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    std::thread::spawn(move || lines.for_each(drop));
    let mut process = Process(child);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(process.0.try_wait().unwrap().is_none(), "{binary} has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    (process, port)
}

/// CPU time of one signature check, in microseconds.
fn verify_cost(operator: &KeyPair) -> f64 {
    let text = "x".repeat(1200);
    let signature = operator.sign(text.as_bytes()).unwrap();
    let key = PublicKey::parse(&operator.public_key()).unwrap();
    let began = Instant::now();
    for _ in 0..2000 {
        assert!(key.verify(text.as_bytes(), &signature));
    }
    began.elapsed().as_secs_f64() * 1e6 / 2000.0
}
