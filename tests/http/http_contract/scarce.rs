//! What clients share: nobody takes it from the others by being many, or slow.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::feed::{Events, page};
use crate::support::{Account, Http, Launch, Operator, Server, Slow, now, until, within};

/// A primary with a history that is much longer than what it keeps in memory, and all of whose accounts are in the pack.
async fn with_long_history(operator: &Operator, dir: &TempDir) -> (Server, u64) {
    const ACCOUNTS: u64 = 200;
    let server = Launch::primary(operator).dir(dir.path()).start().await;
    let pushes = (0..ACCOUNTS).map(|_| {
        let (http, account) = (server.http.clone(), Account::new());
        let jwt = operator.sign(&account.with_bulk(now() - 10, 60_000));
        async move { http.post(&account.path(), jwt).await.expect(200) }
    });
    futures_util::StreamExt::for_each_concurrent(futures_util::stream::iter(pushes), 8, |push| async {
        push.await;
    })
    .await;
    (server, ACCOUNTS)
}

#[tokio::test]
async fn streams_from_the_beginning_take_bounded_memory_and_are_served_in_turn() {
    const STRANGERS: u8 = 100;
    let (operator, dir) = (Operator::new(), TempDir::new().unwrap());
    let (server, accounts) = with_long_history(&operator, &dir).await;
    let server = server.restart().await;
    let before = server.peak_memory();
    let mut strangers = Vec::new();
    for n in 0..STRANGERS {
        let (stream, status) = Slow::follow(&server.http, 2 + n % 3, "?after=0").await;
        assert_eq!(status, 200);
        strangers.push(stream);
    }
    // A follower that reads gets everything, whatever others do.
    let mut events = Events::open(&server.http, "?after=0").await;
    within("all changes", async { while events.next_change().await["serial"].as_u64().unwrap() < accounts {} }).await;
    assert!(server.http.metric("sending_bytes", "").await <= f64::from(25 << 20));
    let grown = server.peak_memory() - before;
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

#[tokio::test]
async fn strangers_of_one_address_leave_places_to_others() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let head = page(&server.http, "").await;
    let position = format!("?session={}&after={}&chain={}", head.session, head.serial, head.chain);
    let mut strangers = Vec::new();
    for _ in 0..500 {
        let (stream, status) = Slow::follow(&server.http, 2, "").await;
        assert_eq!(status, 200);
        strangers.push(stream);
    }
    for (from, query, wanted) in [(2, "", 503), (3, "", 200), (2, &*position, 200), (2, "?after=1", 503)] {
        let (stream, status) = Slow::follow(&server.http, from, query).await;
        assert_eq!(status, wanted, "{from} {query}");
        strangers.push(stream);
    }
    // With the share of all strangers in use, the address that has most gives way to one that has fewer.
    for _ in 1..500 {
        strangers.push(Slow::follow(&server.http, 4, "").await.0);
    }
    assert_eq!(server.http.metric("followers_displaced_total", "").await, 0.0);
    let (_stream, status) = Slow::follow(&server.http, 3, "").await;
    assert_eq!(status, 200);
    assert_eq!(server.http.metric("followers_displaced_total", "reason=\"share\"").await, 1.0);
    server.logs("its address had more places").await;
    until("one of them is ended", || async { server.http.metric("feed_followers", "").await == 1_001.0 }).await;
}

#[tokio::test]
async fn slow_readers_lose_their_packs_to_those_who_wait() {
    let (operator, dir) = (Operator::new(), TempDir::new().unwrap());
    let (server, _) = with_long_history(&operator, &dir).await;
    let mut slow = Vec::new();
    for from in [2, 2, 3, 3, 4, 4, 5, 6] {
        let (pack, status) = Slow::get(&server.http, from, "/jwt/v1/pack", "*/*").await;
        assert_eq!(status, 200);
        slow.push(pack.drip(4096, Duration::from_millis(200)));
    }
    let asked = Instant::now();
    let client = reqwest::Client::builder().no_proxy().local_address(std::net::IpAddr::from([127, 0, 0, 9]));
    let other = Http::with(client.build().unwrap(), &server.url);
    until("another client gets a pack", || async {
        let reply = other.get("/jwt/v1/pack").await;
        reply.status == 200 && reply.body.len() > 12 << 20
    })
    .await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert!(server.http.metric("readers_cut_off_total", "kind=\"pack\"").await >= 1.0);
}
