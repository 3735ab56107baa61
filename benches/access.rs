//! `cargo bench --bench access`: what access costs, and how clients with the right password fare while others guess.
//!
//! A hot GET of one account, made with wrk (`apt-get install wrk`): by anybody at a server without the section `access`, by
//! anybody at a server that has it, and there by a user and by the holder of a token. Each in turn, in alternating rounds;
//! reported are the ratios to the first. `PEER` is a binary of another build, which takes the place of the first.
//!
//! Then a load of GETs, half of them by a user and half by the holder of a token, alone and next to 1 000 wrong passwords a
//! second: of one name, of the name of the user who reads, and of names that do not exist.
//!
//! `-- cost` and `-- guesses` run one part.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use nats_account_server::access::{PasswordKind, hash_password, make_token};
use nkeys::KeyPair;
use support::pace::Pace;
use support::wrk::wrk;
use support::{Process, median, quantile};

const ROUNDS: usize = 11;
const SECONDS: u32 = 2;
/// Requests a second of the clients with the right password, and over how many connections.
const READS: (u32, u32) = (400, 40);
const GUESSES: (u32, u32) = (1_000, 50);
const GUESSING: Duration = Duration::from_secs(6);
const GUESSING_ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::prepare());
    let part = std::env::args().nth(1).filter(|part| !part.starts_with("--"));
    if part.as_deref().is_none_or(|part| part == "cost") {
        world.cost();
    }
    if part.as_deref().is_none_or(|part| part == "guesses") {
        world.guesses();
    }
}

struct World {
    path: String,
    /// Without the section `access`.
    open: (Process, u16),
    /// With it.
    closed: (Process, u16),
    user: String,
    token: String,
    _folder: tempfile::TempDir,
}

impl World {
    async fn prepare() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account().public_key());
        let jwt = support::account(&operator, &account, 1);
        let operator = support::operator(&operator, None);
        let (folder, made) = (tempfile::tempdir().unwrap(), make_token());
        let hash = hash_password(b"right", PasswordKind::Argon2id).unwrap();
        let settings = format!(
            "operator: \"{operator}\"
             access {{
               anonymous: [read, push]
               users: [ {{ name: nats, password: \"{hash}\", scopes: [read] }} ]
               tokens: [ {{ name: ci, sha256: \"{}\", scopes: [read] }} ]
             }}",
            made.sha256
        );
        let file = folder.path().join("settings.conf");
        std::fs::write(&file, settings).unwrap();
        let open = match std::env::var("PEER") {
            Ok(binary) => support::server_of(&binary, &["-operator", &operator], &[]),
            Err(_) => support::server(&["-operator", &operator]),
        };
        let closed = support::server(&["-c", file.to_str().unwrap()]);
        for (_, port) in [&open, &closed] {
            support::load(*port, vec![vec![support::post(&account, &jwt)]]).await;
        }
        Self {
            path: format!("/jwt/v1/accounts/{account}"),
            open,
            closed,
            user: basic("nats", "right"),
            token: format!("Bearer {}", made.token),
            _folder: folder,
        }
    }

    /// What it costs to say who one is.
    fn cost(&self) {
        let clients = [
            ("anybody, without access", &self.open, None),
            ("anybody", &self.closed, None),
            ("a user", &self.closed, Some(&self.user)),
            ("a token", &self.closed, Some(&self.token)),
        ];
        let mut ratios = vec![(Vec::new(), Vec::new()); clients.len()];
        for round in 0..=ROUNDS {
            let mut seen = clients.map(|_| (0.0, 0.0));
            // Whoever comes first in a round has no advantage over all rounds.
            for turn in 0..clients.len() {
                let client = (turn + round) % clients.len();
                let (_, server, credential) = clients[client];
                seen[client] = self.measure(server, credential.map(String::as_str));
            }
            // The first round fills caches.
            if round > 0 {
                for ((rates, costs), (rate, cost)) in ratios.iter_mut().zip(seen) {
                    rates.push(rate / seen[0].0);
                    costs.push(cost / seen[0].1);
                }
                println!("round {round}: {}", seen.map(|(rate, cost)| format!("{rate:.0}/s {cost:.2} µs")).join(", "));
            }
        }
        for ((name, ..), (mut rates, mut costs)) in clients.iter().zip(ratios) {
            println!(
                "{name}: {:.3} of the requests per second, {:.3} of the CPU per request",
                median(&mut rates),
                median(&mut costs)
            );
        }
    }

    /// Requests a second, and microseconds of the server's CPU per request.
    fn measure(&self, (server, port): &(Process, u16), credential: Option<&str>) -> (f64, f64) {
        let url = format!("http://127.0.0.1:{port}{}", self.path);
        let header = credential.map(|credential| format!("Authorization: {credential}"));
        let mut arguments: Vec<&str> = header.iter().flat_map(|header| ["-H", header]).collect();
        arguments.push(&url);
        let before = server.cpu();
        let seen = wrk(1, SECONDS, &arguments);
        (seen.rate, (server.cpu() - before).as_secs_f64() * 1e6 / seen.requests)
    }

    /// What wrong passwords cost those who have the right ones.
    fn guesses(&self) {
        let port = self.closed.1;
        let right = Arc::new(vec![self.get(&self.user), self.get(&self.token)]);
        let guesses = |name: fn(usize) -> String| {
            Arc::new((0..10_000).map(|n| self.get(&basic(&name(n), &format!("wrong {n}")))).collect::<Vec<_>>())
        };
        let attacks = [
            ("nobody guesses", None),
            ("one name", Some(guesses(|_| "admin".to_owned()))),
            ("the name of the reader", Some(guesses(|_| "nats".to_owned()))),
            ("other names", Some(guesses(|n| format!("name {n}")))),
        ];
        let mut found = vec![(Vec::new(), Vec::new()); attacks.len()];
        for _ in 0..GUESSING_ROUNDS {
            for ((name, guesses), (halves, tails)) in attacks.iter().zip(&mut found) {
                let attack =
                    guesses.as_ref().map(|guesses| Pace::rejected(port, guesses.clone(), GUESSES.0, GUESSES.1));
                std::thread::sleep(Duration::from_millis(500));
                let reads = Pace::start(port, right.clone(), READS.0, READS.1);
                std::thread::sleep(GUESSING);
                let times = reads.end();
                let guessed = attack.map_or(0, |attack| attack.end().len());
                let (half, tail) = (quantile(&times, 0.5), quantile(&times, 0.99));
                println!("{name}: p50 {half:.2} ms, p99 {tail:.2} ms, {guessed} guesses");
                halves.push(half);
                tails.push(tail);
            }
        }
        for ((name, _), (mut halves, mut tails)) in attacks.iter().zip(found) {
            println!("{name}: p50 {:.2} ms, p99 {:.2} ms (medians)", median(&mut halves), median(&mut tails));
        }
    }

    fn get(&self, credential: &str) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nHost: bench\r\nAuthorization: {credential}\r\n\r\n", self.path).into_bytes()
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}").as_bytes()))
}
