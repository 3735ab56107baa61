//! `cargo bench --bench reconcile`: what it costs to compare a nats-server with the store.
//!
//! A nats-server with `ACCOUNTS` loaded accounts (default 10 000), whose resolver is the server. Its CPU and ours, and the
//! comparisons, in windows of 60 s: without reconciliation, at the default rate, and at 200 accounts a second. Then a
//! sweep over all accounts at 1000 a second, and the time until 1000 changes are in force that were pushed while the server
//! was cut off from NATS.
//!
//! `NATS_SERVER` is the nats-server, by default the newest that the tests use.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nkeys::{KeyPair, KeyPairType};
use support::nats::{Nats, creds, free_port, nats_server};
use support::{Process, server_with};

/// How long costs are watched.
const WINDOW: Duration = Duration::from_secs(60);
/// How long a nats-server may take to load the accounts.
const LOADING: Duration = Duration::from_secs(300);
/// Changes that a nats-server misses.
const MISSED: usize = 1000;

fn main() {
    let count = std::env::var("ACCOUNTS").map_or(10_000, |text| text.parse().unwrap());
    let bench = Bench::prepare(count);
    println!("{count} loaded accounts, windows of {} s", WINDOW.as_secs());
    println!("{:<22} {:>12} {:>12} {:>14}", "", "nats-server", "ours", "comparisons/s");
    for (name, settings) in [
        ("off", vec![("NAS_NATS__RECONCILE", "false")]),
        ("default rate", vec![]),
        ("200 a second", vec![("NAS_NATS__RECONCILE_RATE", "200")]),
    ] {
        bench.watch(name, &settings);
    }
    bench.sweep();
    bench.catch_up();
}

/// Starts the server of a folder at one port, connected to NATS at another one.
fn start(dir: &Path, http: u16, settings: &[(&str, &str)], nats: u16) -> Process {
    let [tokens, operator, creds] = ["tokens", "operator.jwt", "system.creds"].map(|name| dir.join(name));
    let (nats, http) = (format!("nats://127.0.0.1:{nats}"), format!("127.0.0.1:{http}"));
    let args = [
        "-dir",
        tokens.to_str().unwrap(),
        "-operator",
        operator.to_str().unwrap(),
        "-creds",
        creds.to_str().unwrap(),
        "-nats",
        &nats,
        "-hp",
        &http,
    ];
    server_with(&args, settings).0
}

struct Bench {
    dir: tempfile::TempDir,
    operator: KeyPair,
    system: KeyPair,
    accounts: Vec<KeyPair>,
    http: u16,
    nats_port: u16,
    nats: Process,
}

impl Bench {
    /// A nats-server that has loaded all accounts.
    fn prepare(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (operator, system) =
            (KeyPair::new_operator(), KeyPair::new_from_raw(KeyPairType::Account, [7; 32]).unwrap());
        std::fs::write(dir.path().join("operator.jwt"), support::operator(&operator, Some(&system))).unwrap();
        std::fs::write(dir.path().join("system.creds"), creds(&KeyPair::new_user(), &system)).unwrap();
        let accounts: Vec<KeyPair> = (0..count).map(|_| KeyPair::new_account()).collect();
        let tokens = dir.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        for pair in accounts.iter().chain([&system]) {
            let key = pair.public_key();
            std::fs::write(tokens.join(format!("{key}.jwt")), support::account(&operator, &key, 1)).unwrap();
        }
        let (http, nats_port) = (free_port(), free_port());
        // It does not start where it cannot reach its resolver.
        let ours = start(dir.path(), http, &[("NAS_NATS__RECONCILE", "false")], nats_port);
        let nats = nats_server(
            &dir.path().join("nats.conf"),
            &format!(
                "listen: \"127.0.0.1:{nats_port}\"\noperator: {:?}\nsystem_account: {}\n\
                 resolver: URL(\"http://127.0.0.1:{http}/jwt/v1/accounts/\")\n",
                dir.path().join("operator.jwt"),
                system.public_key()
            ),
        );
        let bench = Self { dir, operator, system, accounts, http, nats_port, nats };
        println!("loading");
        let began = Instant::now();
        for account in &bench.accounts {
            while let Err(error) = Nats::connect(bench.nats_port, account) {
                assert!(began.elapsed() < LOADING, "the nats-server does not let us in: {error}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        support::stop(ours);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the server, connected to NATS at a port.
    fn start(&self, settings: &[(&str, &str)], nats: u16) -> Process {
        start(self.dir.path(), self.http, settings, nats)
    }

    /// The CPU of both over a while.
    fn watch(&self, name: &str, settings: &[(&str, &str)]) {
        let ours = self.start(settings, self.nats_port);
        // What changed lately is compared first.
        std::thread::sleep(Duration::from_secs(30));
        let before = (self.nats.cpu(), ours.cpu(), self.metric("comparisons_total"), Instant::now());
        std::thread::sleep(WINDOW);
        let took = before.3.elapsed().as_secs_f64();
        let percent = |now: Duration, then: Duration| (now - then).as_secs_f64() / took * 100.0;
        println!(
            "{name:<22} {:>10.2} % {:>10.2} % {:>14.1}",
            percent(self.nats.cpu(), before.0),
            percent(ours.cpu(), before.1),
            (self.metric("comparisons_total") - before.2) / took
        );
        support::stop(ours);
    }

    /// The time of one sweep.
    fn sweep(&self) {
        let began = Instant::now();
        let ours = self.start(&[("NAS_NATS__RECONCILE_RATE", "1000")], self.nats_port);
        while self.metric("reconcile_oldest_sweep_timestamp_seconds") == 0.0 {
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("first sweep at 1000 a second: {:.1} s after the start", began.elapsed().as_secs_f64());
        support::stop(ours);
    }

    /// The time until changes are in force that a nats-server missed.
    fn catch_up(&self) {
        let ours = self.start(&[], free_port());
        let changed = &self.accounts[..MISSED.min(self.accounts.len())];
        for account in changed {
            let key = account.public_key();
            let answer = self.request("POST", &key, support::account(&self.operator, &key, 2).as_bytes());
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        support::stop(ours);
        // What was announced counts as arrived: it is the worst case.
        let journal = self.path("tokens/.nats-account-server/journal.sqlite");
        let journal = rusqlite::Connection::open(journal).unwrap();
        journal
            .execute("INSERT OR REPLACE INTO cursor (name, serial) SELECT 'nats', max(serial) FROM change", [])
            .unwrap();
        drop(journal);
        let began = Instant::now();
        let ours = self.start(&[], self.nats_port);
        let mut system = Nats::connect(self.nats_port, &self.system).unwrap();
        system.send(b"SUB _INBOX.bench 1\r\n").unwrap();
        for account in changed {
            let wanted = format!("\"iat\":{}", support::EPOCH + 2);
            let request = format!("{{\"account\":\"{}\"}}", account.public_key());
            let ask = format!(
                "PUB $SYS.REQ.SERVER.{}.ACCOUNTZ _INBOX.bench {}\r\n{request}\r\n",
                self.server_id(),
                request.len()
            );
            loop {
                let mut is_there = false;
                system.send(ask.as_bytes()).unwrap();
                system.messages(|body| is_there |= String::from_utf8_lossy(body).contains(&wanted)).unwrap();
                if is_there {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        println!(
            "{} changes that were missed: in force {:.1} s after the start",
            changed.len(),
            began.elapsed().as_secs_f64()
        );
        support::stop(ours);
    }

    /// The id of the nats-server.
    fn server_id(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.nats_port)).unwrap();
        let mut text = vec![0; 4096];
        let length = stream.read(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text[..length]);
        text.split("\"server_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// The sum of a metric.
    fn metric(&self, name: &str) -> f64 {
        let text = self.request("GET", "/metrics", b"");
        let name = format!("nats_account_server_{name}");
        let values = text.lines().filter(|line| line.starts_with(&name)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    fn request(&self, method: &str, target: &str, body: &[u8]) -> String {
        let path = if target.starts_with('/') { target.to_owned() } else { format!("/jwt/v1/accounts/{target}") };
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
