//! `cargo bench --bench arrival`: how long a push takes to arrive on three replicas and in a running nats-server, at 20
//! pushes a second on loopback.
//!
//! `ROUND_TRIP_MS` puts links between the primary and the replicas that take so many milliseconds there and back. `NATS_SERVER` is the nats-server, by default the newest that the tests use.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use nkeys::KeyPair;
use support::Connection;
use support::nats::{creds, free_port, nats_server};

const PUSHES: i64 = 400;
const REPLICAS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let (user, tenant) = (KeyPair::new_user(), KeyPair::new_user());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let operator_jwt = support::operator(&operator, Some(&system));
    std::fs::write(at("sys.creds"), creds(&user, &system)).unwrap();
    std::fs::write(at("tenant.creds"), creds(&tenant, &account)).unwrap();
    let nats_port = free_port();
    let nats = format!("nats://127.0.0.1:{nats_port}");
    let (_primary, primary) = support::server(&[
        "-operator",
        &operator_jwt,
        "-dir",
        &at("store"),
        "-nats",
        &nats,
        "-creds",
        &at("sys.creds"),
    ]);
    let url = format!("http://127.0.0.1:{primary}");
    let round_trip = std::env::var("ROUND_TRIP_MS").map_or(0, |millis| millis.parse().unwrap());
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let way = match round_trip {
            0 => url.clone(),
            millis => {
                let link = support::delay::link(primary, Duration::from_millis(millis) / 2).await;
                format!("http://127.0.0.1:{link}")
            }
        };
        replicas.push(support::server(&["-operator", &operator_jwt, "-primary", &way]));
    }
    let replica = replicas[0].1;
    let first = |pair: &KeyPair| support::post(&pair.public_key(), &support::account(&operator, &pair.public_key(), 0));
    support::load(primary, vec![vec![first(&system), first(&account)]]).await;
    let conf = format!(
        "port: {nats_port}\noperator: {operator_jwt}\nresolver: URL(\"http://127.0.0.1:{replica}/jwt/v1/accounts/\")\n"
    );
    let _nats_server = nats_server(folder.path().join("nats.conf").as_path(), &conf);
    let connect = async |file: &str| {
        let options = async_nats::ConnectOptions::with_credentials_file(at(file)).await.unwrap();
        options.retry_on_initial_connect().connect(&nats).await.unwrap()
    };
    let watcher = connect("sys.creds").await;
    // The account is loaded in the nats-server as long as somebody of it is connected.
    let tenant = connect("tenant.creds").await;
    tenant.flush().await.unwrap();
    // The answers of the nats-server to the announcements, which say that it has applied them.
    let mut answers = watcher.subscribe("_INBOX.>").await.unwrap();
    watcher.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;

    let key = account.public_key();
    let path = format!("/jwt/v1/accounts/{key}");
    let mut poster = Connection::open(primary).await;
    let mut readers = Vec::new();
    for (_, port) in &replicas {
        readers.push(Connection::open(*port).await);
    }
    for reader in &mut readers {
        reader.send(&support::get(&path)).await;
    }
    let (mut acknowledged, mut on_replicas, mut in_server) = (Vec::new(), Vec::new(), Vec::new());
    for version in 1..=PUSHES {
        let request = support::post(&key, &support::account(&operator, &key, version));
        let (_, before) = readers[0].send(&support::get(&path)).await;
        // What is left of earlier announcements.
        while answers.next().now_or_never().is_some() {}
        let sent = Instant::now();
        let answer = async {
            loop {
                let message = answers.next().await.unwrap();
                let text = std::str::from_utf8(&message.payload).unwrap_or_default();
                if text.contains("jwt updated") && text.contains(&key) {
                    return sent.elapsed();
                }
            }
        };
        let request_again = support::get(&path);
        let replicas_have_it = futures_util::future::join_all(readers.iter_mut().map(|reader| async {
            loop {
                let (_, now) = reader.send(&request_again).await;
                if etag(&now) != etag(&before) {
                    return sent.elapsed();
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }));
        let posted = async {
            let (status, head) = poster.send(&request).await;
            assert_eq!(status, 200, "{head}");
            sent.elapsed()
        };
        let (ack, replicas, server) = tokio::join!(posted, replicas_have_it, answer);
        acknowledged.push(ack);
        on_replicas.push(replicas.into_iter().max().unwrap());
        in_server.push(server);
        tokio::time::sleep(PAUSE).await;
    }
    for (what, mut times) in
        [("acknowledged", acknowledged), ("on all replicas", on_replicas), ("in the nats-server", in_server)]
    {
        times.sort();
        println!("{what}: p50 {:.2} ms, p99 {:.2} ms", support::quantile(&times, 0.5), support::quantile(&times, 0.99));
    }
}

fn etag(head: &str) -> Option<&str> {
    head.lines().find(|line| line.starts_with("etag: "))
}
