//! `cargo bench --bench storm`: a cold replica that everybody asks at once, in front of a real primary.
//!
//! 256 keep-alive connections ask for 10 000 accounts, each for another one. Every miss must be answered within the time that a nats-server waits,
//! which asks once and gives up after 1.9 s. Then 1 000 connections ask for one account at the same moment, which must
//! make one request to the primary. Exits with 1 if a request fails or comes too late.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::time::Duration;

use nkeys::KeyPair;

const ACCOUNTS: usize = 10_000;
const CONNECTIONS: usize = 256;
const AT_ONCE: usize = 1_000;
/// What all requests of a replica for one JWT may take together, and some time for the rest of the way.
const IN_TIME: f64 = 1_500.0;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let operator = KeyPair::new_operator();
    let jwt = support::operator(&operator, None);
    let (_primary, port) = support::server(&["-operator", &jwt]);
    let keys: Vec<String> = (0..=ACCOUNTS).map(|_| KeyPair::new_account().public_key()).collect();
    let pushes = keys.iter().map(|key| support::post(key, &support::account(&operator, key, 1)));
    support::load(port, deal(pushes.collect())).await;
    let url = format!("http://127.0.0.1:{port}");
    let path = |key: &str| support::get(&format!("/jwt/v1/accounts/{key}"));
    let mut is_late = false;
    for round in 1..=ROUNDS {
        let (replica, at) = support::server(&["-operator", &jwt, "-primary", &url]);
        let (times, whole) = support::load(at, deal(keys[1..].iter().map(|key| path(key)).collect())).await;
        let cost = replica.cpu().as_secs_f64() * 1e6 / ACCOUNTS as f64;
        is_late |= report(&format!("round {round}: {ACCOUNTS} cold misses"), &times, whole);
        println!("  {cost:.0} us of the replica's CPU each");
        let (times, whole) = support::load(at, vec![vec![path(&keys[0])]; AT_ONCE]).await;
        is_late |= report(&format!("round {round}: {AT_ONCE} misses of one account"), &times, whole);
        let asked = pulled(at).await - ACCOUNTS;
        println!("  {asked} request(s) to the primary");
        is_late |= asked != 1;
    }
    std::process::exit(i32::from(is_late));
}

/// The requests, in turn to each connection.
fn deal(requests: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut dealt = vec![Vec::new(); CONNECTIONS];
    for (place, request) in requests.into_iter().enumerate() {
        dealt[place % CONNECTIONS].push(request);
    }
    dealt
}

/// Says how it went; whether something came too late. Nothing failed, or the load would have.
fn report(what: &str, times: &[Duration], whole: Duration) -> bool {
    let slowest = support::quantile(times, 1.0);
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms, slowest {slowest:.1} ms, {:.0}/s, 0 failed",
        support::quantile(times, 0.5),
        support::quantile(times, 0.99),
        times.len() as f64 / whole.as_secs_f64(),
    );
    slowest > IN_TIME
}

/// How often the replica has asked its primary for a JWT.
async fn pulled(port: u16) -> usize {
    let mut connection = support::Connection::open(port).await;
    connection.send(&support::get("/metrics")).await;
    let name = "nats_account_server_replica_fetches_total{result=\"found\"} ";
    connection.body().lines().find_map(|line| line.strip_prefix(name)).map_or(0, |count| count.parse().unwrap())
}
