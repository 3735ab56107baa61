//! A replica far from its primary, and many clients at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Distance, FAR, asked, random};
use crate::support::{Account, Launch};

/// How long a nats-server waits for an account.
const PATIENCE: Duration = Duration::from_millis(1_900);

/// A client that is told to come again in a second does so, as HTTP has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_in_a_crowd_is_answered() {
    let world = Distance::with(900, |launch| launch).await;
    let began = Instant::now();
    let ask = |account: &Account| {
        let (http, path) = (world.replica.http.clone(), account.path());
        async move {
            loop {
                let reply = http.get(&path).await;
                if reply.status == 200 {
                    return;
                }
                let pause = reply.expect(503).header("retry-after").parse().unwrap();
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        }
    };
    join_all(world.accounts.iter().map(ask)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Hardly one was asked about twice.
    assert!(asked(&world.replica.http).await <= 1_800.0);
}

/// Clients that ask for keys that nobody made, as often as they can.
struct Flood {
    ends: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<usize>>,
}

impl Flood {
    async fn begin(world: &Distance) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let begin = |_| {
            let (http, ends) = (world.replica.http.clone(), ends.clone());
            tokio::spawn(async move {
                let mut answers = 0;
                while !ends.load(Ordering::Relaxed) {
                    let status = http.get(&random()).await.status;
                    assert!(matches!(status, 404 | 429 | 503), "{status}");
                    answers += 1;
                }
                answers
            })
        };
        let clients = (0..100).map(begin).collect();
        let flood = Self { ends, clients };
        // It is there once upstream is asked as much as it may be.
        let before = asked(&world.replica.http).await;
        super::until("the flood is there", || async { asked(&world.replica.http).await >= before + 50.0 }).await;
        flood
    }

    async fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        join_all(self.clients).await.into_iter().map(|answers| answers.unwrap()).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_were_never_asked_for_are_found_during_a_flood_of_keys_that_nobody_made() {
    let world = Distance::with(20, |launch| launch).await;
    let flood = Flood::begin(&world).await;
    for account in &world.accounts {
        let began = Instant::now();
        world.replica.http.get(&account.path()).await.expect(200);
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
    let answers = flood.end().await;
    assert!(answers > 100, "{answers}");
    // What comes after the flood does not wait for what is left of it.
    let account = Account::new();
    world.primary.http.post(&account.path(), world.operator.account(&account, 5)).await.expect(200);
    let began = Instant::now();
    world.replica.http.get(&account.path()).await.expect(200);
    assert!(began.elapsed() < FAR * 10, "{:?}", began.elapsed());
}

/// Neither keys that do not exist nor deleted accounts make a mirror that follows the feed ask.
#[tokio::test]
async fn what_a_mirror_knows_is_answered_without_asking() {
    let world = Distance::with(3, |launch| launch.env("NAS_REPLICA__MODE", "mirror")).await;
    let before = asked(&world.replica.http).await;
    for _ in 0..50 {
        world.replica.http.get(&random()).await.expect(404);
    }
    let deleted = &world.accounts[0];
    world.primary.http.delete(&deleted.path(), world.operator.delete_request(&[deleted], 0)).await.expect(200);
    super::until("it is deleted", || async { world.replica.http.get(&deleted.path()).await.status == 404 }).await;
    assert_eq!(asked(&world.replica.http).await, before);
    world.replica.http.get(&world.accounts[1].path()).await.expect(200);
    // What is made from now on is known as soon as the feed brings it.
    let account = Account::new();
    world.primary.http.post(&account.path(), world.operator.account(&account, 5)).await.expect(200);
    super::until("it is there", || async { world.replica.http.get(&account.path()).await.status == 200 }).await;
}

/// A mirror that is cut off does not say that an account does not exist.
#[tokio::test]
async fn nothing_is_absent_for_certain_once_the_feed_is_away() {
    let world = Distance::with(1, |launch: Launch| launch.env("NAS_REPLICA__MODE", "mirror")).await;
    world.proxy.cut();
    super::until("it is cut off", || async { world.replica.http.get(&random()).await.status == 503 }).await;
    world.replica.http.get(&world.accounts[0].path()).await.expect(200);
}
