//! `cargo bench --bench resolver`: what nats-servers ask a full resolver, asked of one and of the server beside a
//! nats-server with a MEMORY resolver.
//!
//! LOOKUP with 64 in flight, of 20 000 accounts at random, in turn: beside a full resolver, and a bare responder that
//! answers with the same bytes for every account. Then a pack of all accounts, in turn, with a LOOKUP of another client
//! every 5 ms. Then the time from the start of the process to the first answer to a LOOKUP.
//!
//! `NATS_SERVER` is the nats-server, by default the newest that the tests use; `ACCOUNTS` sets how many there are (default
//! 100 000). The folder is made once, in `target/bench-resolver`, and kept. One part alone: `-- lookup`, `pack`, `start`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use nkeys::{KeyPair, KeyPairType};
use support::folder::Folder;
use support::nats::{Nats, free_port, nats_server};
use support::{Process, median, quantile};

const ROUNDS: usize = 7;
const SECONDS: Duration = Duration::from_secs(3);
const IN_FLIGHT: usize = 64;
const ASKED_FOR: usize = 20_000;
const PROBE: Duration = Duration::from_millis(5);
/// Where the answers go.
const LOOKUPS: &str = "_INBOX.lookups";
const PACKS: &str = "_INBOX.packs";

fn main() {
    let accounts = std::env::var("ACCOUNTS").map_or(100_000, |text| text.parse().unwrap());
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let bench = Bench::prepare(accounts);
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    if wanted("lookup") {
        bench.lookups();
    }
    if wanted("pack") {
        bench.packs();
    }
    if wanted("start") {
        bench.starts();
    }
}

/// The accounts, in a folder for the server and in another for the full resolver.
struct Bench {
    folder: Folder,
    operator: String,
    system: KeyPair,
}

/// A nats-server and, if it has no full resolver, the server beside it.
struct Side {
    name: &'static str,
    nats: Process,
    ours: Option<Process>,
    port: u16,
}

impl Side {
    /// CPU time of the nats-server and of the server.
    fn cpu(&self) -> [Duration; 2] {
        [self.nats.cpu(), self.ours.as_ref().map_or(Duration::ZERO, Process::cpu)]
    }
}

impl Bench {
    fn prepare(accounts: usize) -> Self {
        let folder = Folder::open("bench-resolver", accounts);
        let system = KeyPair::new_from_raw(KeyPairType::Account, [7; 32]).unwrap();
        let bench = Self { operator: support::operator(&folder.operator, Some(&system)), folder, system };
        let key = bench.system.public_key();
        let jwt = bench.folder.tokens().join(format!("{key}.jwt"));
        if !jwt.exists() {
            fs::write(&jwt, support::account(&bench.folder.operator, &key, 0)).unwrap();
        }
        let full = bench.at("full");
        if !full.exists() {
            let making = bench.at("making");
            let _ = fs::remove_dir_all(&making);
            fs::create_dir(&making).unwrap();
            for entry in fs::read_dir(bench.folder.tokens()).unwrap().map(Result::unwrap) {
                if entry.path().extension().is_some_and(|extension| extension == "jwt") {
                    fs::copy(entry.path(), making.join(entry.file_name())).unwrap();
                }
            }
            fs::rename(making, full).unwrap();
        }
        fs::write(bench.at("sys.creds"), support::nats::creds(&KeyPair::new_user(), &bench.system)).unwrap();
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.root.join(name)
    }

    fn client(&self, port: u16, inbox: &str) -> Nats {
        loop {
            if let Ok(mut nats) = Nats::connect(port, &self.system) {
                nats.send(format!("SUB {inbox} 1\r\n").as_bytes()).unwrap();
                return nats;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn full(&self) -> Side {
        let resolver = format!("{{ type: full, dir: '{}', interval: '1h' }}", self.at("full").display());
        self.nats("full resolver", &resolver)
    }

    fn memory(&self) -> Side {
        let (key, jwt) =
            (self.system.public_key(), support::account(&self.folder.operator, &self.system.public_key(), 0));
        self.nats("bare responder", &format!("MEMORY\nresolver_preload: {{ {key}: {jwt} }}"))
    }

    fn nats(&self, name: &'static str, resolver: &str) -> Side {
        let port = free_port();
        let system = self.system.public_key();
        let text = format!(
            "listen: '127.0.0.1:{port}'\noperator: {}\nsystem_account: {system}\nresolver: {resolver}\n",
            self.operator
        );
        let nats = nats_server(&self.at("nats.conf"), &text);
        self.client(port, LOOKUPS);
        Side { name, nats, ours: None, port }
    }

    /// The server beside a nats-server with a MEMORY resolver. It has taken in its folder.
    fn ours(&self) -> Side {
        let mut side = self.memory();
        let (ours, http) = self.server(side.port);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut connection = support::Connection::open(http).await;
            let wanted = "DELETE and PACK are answered";
            loop {
                let (status, _) = connection.send(&support::get("/readyz?verbose")).await;
                if status == 200 && connection.body().contains(wanted) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        (side.name, side.ours) = ("ours", Some(ours));
        side
    }

    fn server(&self, nats: u16) -> (Process, u16) {
        let (dir, creds, url) = (self.folder.tokens(), self.at("sys.creds"), format!("nats://127.0.0.1:{nats}"));
        let args = ["-operator", &self.operator, "-dir", dir.to_str().unwrap(), "-nats", &url];
        support::server(&[&args[..], &["-creds", creds.to_str().unwrap()]].concat())
    }

    fn request(&self, number: usize) -> String {
        let key = &self.folder.keys[number % self.folder.keys.len()];
        format!("PUB $SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP {LOOKUPS} 0\r\n\r\n")
    }

    fn lookups(&self) {
        let (full, ours, bare) = (self.full(), self.ours(), self.memory());
        let body = support::account(&self.folder.operator, &self.folder.keys[0], 1);
        let (port, creds) = (bare.port, self.at("sys.creds"));
        std::thread::spawn(move || respond(port, &creds, body.into()));
        let sides = [&ours, &full, &bare];
        let mut clients = sides.map(|side| self.client(side.port, LOOKUPS));
        for client in &mut clients[..2] {
            let held = fs::read(self.folder.tokens().join(format!("{}.jwt", self.folder.keys[3]))).unwrap();
            client.send(self.request(3).as_bytes()).unwrap();
            client.messages(|body| assert_eq!(body, held)).unwrap();
        }
        let requests: Vec<String> = (0..ASKED_FOR).map(|number| self.request(number)).collect();
        let (mut rates, mut costs) = ([const { Vec::new() }; 3], [const { [const { Vec::new() }; 2] }; 3]);
        for round in 0..=ROUNDS {
            for (index, side) in sides.into_iter().enumerate() {
                let before = side.cpu();
                let (count, time) = clients[index].load(&requests, IN_FLIGHT, SECONDS);
                // The first round fills caches.
                if round > 0 {
                    rates[index].push(count as f64 / time.as_secs_f64());
                    for (which, (after, before)) in side.cpu().into_iter().zip(before).enumerate() {
                        costs[index][which].push((after - before).as_secs_f64() * 1e6 / count as f64);
                    }
                }
            }
        }
        let ratio = |index: usize| {
            let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[index]).map(|(ours, other)| ours / other).collect();
            median(&mut ratios)
        };
        println!("LOOKUP: {:.2} of the full resolver's, {:.2} of the bare responder's", ratio(1), ratio(2));
        for (side, (mut rates, [mut nats, mut ours])) in sides.into_iter().zip(rates.into_iter().zip(costs)) {
            let (middle, nats, ours) = (median(&mut rates), median(&mut nats), median(&mut ours));
            let (least, most) = (rates[0], rates[rates.len() - 1]);
            println!(
                "LOOKUP, {}: {middle:.0}/s ({least:.0} to {most:.0}); CPU: nats-server {nats:.1} µs, server {ours:.1} µs",
                side.name
            );
        }
    }

    fn packs(&self) {
        let (ours, full) = (self.ours(), self.full());
        let (mut times, mut waits) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
        for round in 0..=ROUNDS {
            for (index, side) in [&ours, &full].into_iter().enumerate() {
                let (time, meanwhile) = self.pack(side.port);
                // The first round fills caches.
                if round > 0 {
                    times[index].push(time.as_secs_f64());
                    waits[index].extend(meanwhile);
                }
            }
        }
        let mut ratios: Vec<f64> = times[1].iter().zip(&times[0]).map(|(full, ours)| full / ours).collect();
        println!("PACK of {}: {:.1} times as fast as the full resolver", self.folder.keys.len(), median(&mut ratios));
        for (side, (mut times, mut waits)) in [&ours, &full].into_iter().zip(times.into_iter().zip(waits)) {
            waits.sort();
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| quantile(&waits, share));
            let middle = median(&mut times);
            println!(
                "PACK, {}: {middle:.2} s ({:.2} to {:.2}); {} LOOKUPs meanwhile: p50 {p50:.2} ms, p99 {p99:.2} ms, at most {most:.2} ms",
                side.name,
                times[0],
                times[times.len() - 1],
                waits.len()
            );
        }
    }

    /// The time that a pack takes, and those of the LOOKUPs meanwhile.
    fn pack(&self, port: u16) -> (Duration, Vec<Duration>) {
        let (mut nats, mut other, ended) =
            (self.client(port, PACKS), self.client(port, LOOKUPS), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let probe = scope.spawn(|| {
                let mut waits = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let request = self.request(rand::random_range(0..self.folder.keys.len()));
                    let asked = Instant::now();
                    other.send(request.as_bytes()).unwrap();
                    other.messages(|_| ()).unwrap();
                    waits.push(asked.elapsed());
                    std::thread::sleep(PROBE.saturating_sub(asked.elapsed()));
                }
                waits
            });
            let (began, mut count, mut is_whole) = (Instant::now(), 0, false);
            nats.send(format!("PUB $SYS.REQ.CLAIMS.PACK {PACKS} 0\r\n\r\n").as_bytes()).unwrap();
            while !is_whole {
                count += nats.messages(|body| is_whole |= body.is_empty()).unwrap();
            }
            let time = began.elapsed();
            ended.store(true, Ordering::Relaxed);
            // The accounts, the system account, and the end.
            assert_eq!(count, self.folder.keys.len() + 2);
            (time, probe.join().unwrap())
        })
    }

    fn starts(&self) {
        // So that all is taken in.
        let beside = self.memory();
        drop(self.ours());
        let mut times = [const { Vec::new() }; 2];
        for round in 0..=ROUNDS {
            let mut client = self.client(beside.port, LOOKUPS);
            let began = Instant::now();
            let ours = self.server(beside.port);
            let first = self.first(&mut client, began, round);
            drop(ours);
            let began = Instant::now();
            let full = self.full();
            let other = self.first(&mut self.client(full.port, LOOKUPS), began, round);
            if round > 0 {
                times[0].push(first);
                times[1].push(other);
            }
        }
        let [ours, full] = times.each_mut().map(|times| median(times));
        let [longest, other] = times.map(|times| times[times.len() - 1]);
        println!(
            "first LOOKUP answered after {ours:.3} s, at most {longest:.3}; full resolver {full:.2} s, at most {other:.2}"
        );
    }

    /// Asks until there is an answer. Returns the seconds since the start.
    fn first(&self, client: &mut Nats, began: Instant, round: usize) -> f64 {
        client.patience(Duration::from_millis(3));
        loop {
            client.send(self.request(round * 997).as_bytes()).unwrap();
            if client.messages(|_| ()).is_ok() {
                return began.elapsed().as_secs_f64();
            }
        }
    }
}

/// Answers every LOOKUP with the same bytes, and does nothing else.
#[tokio::main(flavor = "current_thread")]
async fn respond(port: u16, creds: &std::path::Path, body: bytes::Bytes) {
    let options = async_nats::ConnectOptions::with_credentials_file(creds).await.unwrap();
    let client = options.connect(format!("nats://127.0.0.1:{port}")).await.unwrap();
    let mut requests = client.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP").await.unwrap();
    while let Some(request) = requests.next().await {
        client.publish(request.reply.unwrap(), body.clone()).await.unwrap();
    }
}
