//! What the tests at the edges share: tokens to push, the real program, real nats-servers, and a network that can fail.
//!
//! Nothing here waits for a fixed time in the hope that something has happened; [`until`] waits for a condition, with a
//! deadline.
// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports)]
// The servers are ours.
#![allow(clippy::disallowed_methods)]
// Shown by the test harness when a test fails.
#![allow(clippy::print_stdout)]

pub(crate) mod command;
pub(crate) mod disk;
pub(crate) mod fake;
pub(crate) mod feed;
pub(crate) mod fleet;
pub(crate) mod haproxy;
pub(crate) mod holdings;
pub(crate) mod http;
pub(crate) mod login;
pub(crate) mod mint;
pub(crate) mod nats_server;
pub(crate) mod openapi;
pub(crate) mod ports;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod slow;
pub(crate) mod tls;

use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) use disk::SmallDisk;
pub(crate) use fake::{Answer, FakePrimary};
pub(crate) use holdings::Holdings;
pub(crate) use http::{Http, Reply};
pub(crate) use mint::{Account, Operator};
pub(crate) use nats_server::{NatsLaunch, NatsServer, settled};
pub(crate) use ports::{free_address, free_port};
pub(crate) use proxy::Proxy;
pub(crate) use server::{Launch, Server};
pub(crate) use slow::Slow;
pub(crate) use tls::{Authority, Connection, Pair};

/// How long a condition may take to come true, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, and fails the test with `what` if it does not.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    until_in(PATIENCE, what, condition).await;
}

/// The same for what is promised to come true in a certain time.
pub(crate) async fn until_in<F: Future<Output = bool>>(limit: Duration, what: &str, mut condition: impl FnMut() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for something that should come soon, and fails the test with `what` if it does not.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("waited {PATIENCE:?} in vain for {what}")
    };
    value
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
