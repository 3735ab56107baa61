//! A steady load of GETs for random accounts, and how long each took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::Connection;

/// A load that runs on a thread of its own until it is ended.
pub(crate) struct Pace {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Pace {
    /// Sends requests at this rate, in turn on so many connections. Each must be answered with 200.
    pub(crate) fn start(port: u16, requests: Arc<Vec<Vec<u8>>>, per_second: u32, connections: u32) -> Self {
        Self::answered(&[200], port, requests, per_second, connections)
    }

    /// The same with credentials that are wrong: each must be turned away.
    pub(crate) fn rejected(port: u16, requests: Arc<Vec<Vec<u8>>>, per_second: u32, connections: u32) -> Self {
        Self::answered(&[401, 429, 503], port, requests, per_second, connections)
    }

    fn answered(
        wanted: &'static [u16],
        port: u16,
        requests: Arc<Vec<Vec<u8>>>,
        per_second: u32,
        connections: u32,
    ) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = ends.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let began = Instant::now();
                let due = |turn: u32| began + Duration::from_secs(1) * turn / per_second;
                let times = join_all((0..connections).map(|first| {
                    let turns = (first..).step_by(connections as usize).map(due);
                    at(wanted, port, &requests, turns, &is_over)
                }));
                times.await.concat()
            })
        });
        Self { ends, thread }
    }

    /// Ends the load. Returns the times, sorted.
    pub(crate) fn end(self) -> Vec<Duration> {
        self.ends.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().unwrap();
        times.sort();
        times
    }
}

/// Sends one request at each of these times. If the previous answer came too late for that, the wait for it counts as well.
async fn at(
    wanted: &[u16],
    port: u16,
    requests: &[Vec<u8>],
    turns: impl Iterator<Item = Instant>,
    is_over: &AtomicBool,
) -> Vec<Duration> {
    let mut connection = Connection::open(port).await;
    let mut times = Vec::new();
    for due in turns {
        let is_late = Instant::now() > due;
        sleep_until(due).await;
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let sent = if is_late { due } else { Instant::now() };
        let (status, head) = connection.send(&requests[rand::random_range(0..requests.len())]).await;
        assert!(wanted.contains(&status), "{head}");
        times.push(sent.elapsed());
    }
    times
}
