//! `cargo bench --bench overload`: how clients that ask for accounts that exist fare while others ask for more than there is.
//!
//! Three servers, each with the same 1 000 accounts: a primary, a mirror, and a cache 100 ms away from its primary. 0 to 2 500
//! connections ask for keys that nobody made, as often as they can. Next to them, 20 connections ask for accounts that exist, ten times
//! a second each. The yardstick is the same load for accounts that exist. At the cache, another 20 accounts that were never
//! asked for are looked for once.
//!
//! Then 4 000 connections ask a cold cache for one account each, over the same 100 ms, and ask again when they are told to.
//!
//! `SERVER` is the binary to be measured, by default the one that was built with this.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nats_account_server::key::AccountKey;
use nkeys::KeyPair;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Connection, Process, get};

/// From the replica to the primary and back.
const FAR: Duration = Duration::from_millis(100);
const ACCOUNTS: usize = 1_000;
const STEPS: [usize; 5] = [0, 100, 400, 1_600, 2_500];
const WATCHERS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(6);
/// How long a nats-server waits for an account.
const PATIENCE: Duration = Duration::from_millis(1_900);
const CROWD: usize = 4_000;

#[tokio::main]
async fn main() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let world = World::prepare().await;
    println!(
        "{:<8} {:>11} {:<8} {:>12} {:>10} {:>9} {:>9} {:>14}",
        "", "connections", "ask for", "answers/s", "in time", "p50 ms", "p99 ms", "cold, in time"
    );
    for role in ["primary", "mirror", "cache"] {
        for connections in STEPS {
            for what in ["existing", "made-up"] {
                if connections > 0 || what == "made-up" {
                    world.step(role, connections, what).await;
                }
            }
        }
    }
    world.crowd().await;
}

struct World {
    operator: String,
    _primary: Process,
    port: u16,
    far: u16,
    keys: Vec<String>,
}

impl World {
    async fn prepare() -> Self {
        let operator = KeyPair::new_operator();
        let jwt = support::operator(&operator, None);
        let (primary, port) = support::server(&["-operator", &jwt]);
        let keys: Vec<String> = (0..CROWD).map(|_| KeyPair::new_account().public_key()).collect();
        let push = |key: &String| support::post(key, &support::account(&operator, key, 1));
        let pushes: Vec<Vec<Vec<u8>>> = keys.chunks(CROWD / 32).map(|keys| keys.iter().map(push).collect()).collect();
        support::load(port, pushes).await;
        let far = support::delay::link(port, FAR / 2).await;
        Self { operator: jwt, _primary: primary, port, far, keys }
    }

    async fn start(&self, role: &str) -> (Option<Process>, u16) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let replica = |mode, upstream| {
            let args = ["-operator", &*self.operator, "-primary", &*url(upstream)];
            support::server_with(&args, &[("NAS_REPLICA__MODE", mode)])
        };
        let (process, port) = match role {
            "primary" => return (None, self.port),
            "mirror" => replica("mirror", self.port),
            _ => replica("cache", self.far),
        };
        support::until_metric(port, "replica_feed_connected 1").await;
        // The list of keys, where there is one.
        tokio::time::sleep(Duration::from_secs(2)).await;
        (Some(process), port)
    }

    /// How clients that ask for accounts that exist fare.
    async fn step(&self, role: &str, connections: usize, what: &str) {
        let (_process, port) = self.start(role).await;
        let (known, cold) = self.keys[..ACCOUNTS + WATCHERS].split_at(ACCOUNTS);
        // They were asked for before.
        let warm = known.chunks(100).map(|keys| async move {
            let mut connection = Connection::open(port).await;
            for key in keys {
                while connection.send(&path(key)).await.0 != 200 {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        join_all(warm).await;
        let (ends, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let known: Arc<Vec<_>> = Arc::new(known.iter().map(|key| path(key)).collect());
        let mut crowd = Vec::new();
        for _ in 0..connections {
            let (ends, answers, known) = (ends.clone(), answers.clone(), known.clone());
            let is_made_up = what == "made-up";
            crowd.push(tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                while !ends.load(Ordering::Relaxed) {
                    if is_made_up {
                        connection.send(&made_up()).await;
                    } else {
                        connection.send(&known[rand::random_range(0..known.len())]).await;
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, began) = (answers.load(Ordering::Relaxed), Instant::now());
        let watchers = (0..WATCHERS).map(|_| watch(port, known.clone()));
        let (seen, found) = tokio::join!(join_all(watchers), join_all(cold.iter().map(|key| find(port, key))));
        let rate = (answers.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        ends.store(true, Ordering::Relaxed);
        join_all(crowd).await;
        let mut times: Vec<_> = seen.into_iter().flatten().collect();
        times.sort();
        let in_time = times.iter().filter(|time| **time <= PATIENCE).count() * 100 / times.len();
        let cold = found.into_iter().filter(|found| *found).count();
        println!(
            "{role:<8} {connections:>11} {what:<8} {rate:>12.0} {in_time:>8} % {:>9.2} {:>9.2} {cold:>11} / {WATCHERS}",
            support::quantile(&times, 0.5),
            support::quantile(&times, 0.99)
        );
    }

    /// All clients at once at a cold cache.
    async fn crowd(&self) {
        let (_process, port) = self.start("cache").await;
        let began = Instant::now();
        let clients = self.keys.iter().map(|key| async move {
            let mut connection = Connection::open(port).await;
            let (mut tries, deadline) = (0, began + Duration::from_secs(30));
            while Instant::now() < deadline {
                tries += 1;
                if connection.send(&path(key)).await.0 == 200 {
                    return Some((began.elapsed(), tries));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            None
        });
        let answered: Vec<_> = join_all(clients).await.into_iter().flatten().collect();
        let mut times: Vec<_> = answered.iter().map(|(time, _)| *time).collect();
        times.sort();
        println!(
            "{CROWD} connections at once at a cold cache: {} answered, {} of them at the first request; p50 {:.0} ms, last {:.0} ms",
            answered.len(),
            answered.iter().filter(|(_, tries)| *tries == 1).count(),
            support::quantile(&times, 0.5),
            support::quantile(&times, 1.0)
        );
    }
}

fn path(key: &str) -> Vec<u8> {
    get(&format!("/jwt/v1/accounts/{key}"))
}

/// A request for a key that nobody made.
fn made_up() -> Vec<u8> {
    path(&AccountKey::from_raw(rand::random()).text())
}

/// Asks for accounts that exist, at a steady pace. Returns how long each answer took; one that failed took for ever.
async fn watch(port: u16, known: Arc<Vec<Vec<u8>>>) -> Vec<Duration> {
    let mut connection = Connection::open(port).await;
    let (mut times, ends) = (Vec::new(), Instant::now() + WINDOW);
    while Instant::now() < ends {
        let sent = Instant::now();
        let status = connection.send(&known[rand::random_range(0..known.len())]).await.0;
        times.push(if status == 200 { sent.elapsed() } else { Duration::MAX / 2 });
        tokio::time::sleep(PAUSE).await;
    }
    times
}

/// Asks once for an account that nobody has asked for. Returns whether it came in time.
async fn find(port: u16, key: &str) -> bool {
    let ask = async { Connection::open(port).await.send(&path(key)).await.0 };
    tokio::time::timeout(PATIENCE, ask).await.is_ok_and(|status| status == 200)
}
