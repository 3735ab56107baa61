//! `cargo bench --bench post`: durable pushes over HTTP, on 64 connections and on one, and what limits them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::time::Instant;

use nats_account_server::key::PublicKey;
use nkeys::KeyPair;

const CONNECTIONS: usize = 64;
const EACH: usize = 800;

fn main() {
    let operator = KeyPair::new_operator();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let jwt = support::operator(&operator, None);
    let (server, port) = support::server(&["-operator", &jwt, "-dir", folder.path().to_str().unwrap()]);
    let push = |version: usize| {
        let key = KeyPair::new_account().public_key();
        support::post(&key, &support::account(&operator, &key, version as i64))
    };
    println!("signature check: {:.1} us of CPU", verify_cost(&operator));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();

    let single: Vec<_> = (0..2000).map(push).collect();
    let (times, whole) = runtime.block_on(support::load(port, vec![single]));
    report("1 connection", &times, whole.as_secs_f64());

    let many: Vec<Vec<_>> = (0..CONNECTIONS).map(|_| (0..EACH).map(push).collect()).collect();
    let before = server.cpu();
    let (times, whole) = runtime.block_on(support::load(port, many));
    report(&format!("{CONNECTIONS} connections"), &times, whole.as_secs_f64());
    let used = (server.cpu() - before).as_secs_f64() * 1e6 / times.len() as f64;
    println!("the server used {used:.1} us of CPU per push");
}

fn report(what: &str, times: &[std::time::Duration], seconds: f64) {
    println!(
        "{what}: {:.0} durable pushes/s, p50 {:.2} ms, p99 {:.2} ms",
        times.len() as f64 / seconds,
        support::quantile(times, 0.5),
        support::quantile(times, 0.99)
    );
}

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
