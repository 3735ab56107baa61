//! `cargo bench --bench storm`: a cold replica that everybody asks at once, in front of a real primary.
//!
//! 256 keep-alive connections ask for 10 000 accounts, each for another one. Every miss must be answered within the time that a nats-server waits,
//! which asks once and gives up after 1.9 s. Then 1 000 connections ask for one account at the same moment, which must
//! make one request to the primary. Exits with 1 if a request fails or comes too late.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nkeys::KeyPair;

const ACCOUNTS: usize = 10_000;
const CONNECTIONS: usize = 256;
const AT_ONCE: usize = 1_000;
/// What all requests of a replica for one JWT may take together, and some time for the rest of the way.
const IN_TIME: f64 = 1_500.0;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let operator = KeyPair::new_operator();
    let jwt = support::operator(&operator, None);
    let (_primary, port) = support::server(&["-operator", &jwt]);
    let keys: Vec<String> = (0..=ACCOUNTS).map(|_| KeyPair::new_account().public_key()).collect();
    let pushes = keys.iter().map(|key| support::post(key, &support::account(&operator, key, 1)));
    support::load(port, deal(pushes.collect())).await;
    let url = format!("http://127.0.0.1:{port}");
    let path = |key: &str| support::get(&format!("/jwt/v1/accounts/{key}"));
    let mut is_bad = false;
    for round in 1..=ROUNDS {
        let (replica, at) = support::server(&["-operator", &jwt, "-primary", &url]);
        let storm = Storm::run(at, deal(keys[1..].iter().map(|key| path(key)).collect())).await;
        let cost = replica.cpu().as_secs_f64() * 1e6 / ACCOUNTS as f64;
        is_bad |= !storm.report(&format!("round {round}: {ACCOUNTS} cold misses"));
        println!("  {cost:.0} us of the replica's CPU each");
        let before = pulled(at).await;
        let storm = Storm::run(at, vec![vec![path(&keys[0])]; AT_ONCE]).await;
        is_bad |= !storm.report(&format!("round {round}: {AT_ONCE} misses of one account"));
        let asked = pulled(at).await - before;
        println!("  {asked} request(s) to the primary");
        is_bad |= asked != 1;
    }
    // Not by `exit`, which would leave the servers behind.
    std::process::ExitCode::from(u8::from(is_bad))
}

/// The requests, in turn to each connection.
fn deal(requests: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut dealt = vec![Vec::new(); CONNECTIONS];
    for (place, request) in requests.into_iter().enumerate() {
        dealt[place % CONNECTIONS].push(request);
    }
    dealt
}

/// What came of many requests.
#[derive(Default)]
struct Storm {
    times: Vec<Duration>,
    whole: Duration,
    failures: Vec<String>,
}

impl Storm {
    /// Sends each connection's requests in turn, all connections at once.
    async fn run(port: u16, requests: Vec<Vec<Vec<u8>>>) -> Self {
        let start = Arc::new(tokio::sync::Barrier::new(requests.len() + 1));
        let tasks: Vec<_> = requests
            .into_iter()
            .map(|requests| {
                let start = start.clone();
                tokio::spawn(async move {
                    let mut connection = support::Connection::open(port).await;
                    let mut part = Self::default();
                    start.wait().await;
                    for request in &requests {
                        let sent = Instant::now();
                        let (status, _) = connection.send(request).await;
                        part.times.push(sent.elapsed());
                        if status != 200 {
                            part.failures.push(format!("{status} {}", connection.body().replace('\n', " ")));
                        }
                    }
                    part
                })
            })
            .collect();
        start.wait().await;
        let began = Instant::now();
        let mut storm = Self::default();
        for task in tasks {
            let part = task.await.unwrap();
            storm.times.extend(part.times);
            storm.failures.extend(part.failures);
        }
        storm.whole = began.elapsed();
        storm.times.sort();
        storm
    }

    /// Says how it went; whether nothing failed or came too late.
    fn report(&self, what: &str) -> bool {
        let slowest = support::quantile(&self.times, 1.0);
        println!(
            "{what}: p50 {:.1} ms, p99 {:.1} ms, slowest {slowest:.1} ms, {:.0}/s, {} failed {}",
            support::quantile(&self.times, 0.5),
            support::quantile(&self.times, 0.99),
            self.times.len() as f64 / self.whole.as_secs_f64(),
            self.failures.len(),
            self.failures.first().map_or("", |failure| failure)
        );
        self.failures.is_empty() && slowest <= IN_TIME
    }
}

/// How often the replica has asked its primary for a JWT.
async fn pulled(port: u16) -> usize {
    let mut connection = support::Connection::open(port).await;
    connection.send(&support::get("/metrics")).await;
    let name = "nats_account_server_replica_fetches_total{result=\"found\"} ";
    connection.body().lines().find_map(|line| line.strip_prefix(name)).map_or(0, |count| count.parse().unwrap())
}
