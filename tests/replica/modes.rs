//! A replica that becomes a mirror or a cache at a restart.

use std::path::Path;

use crate::fetches;
use crate::support::{Account, Launch, Operator, Server, until};

/// Without the feed, nothing would be asked about again for longer than a test takes.
fn launch(operator: &Operator, primary: &str, dir: &Path, mode: &str) -> Launch {
    Launch::replica(operator, primary).dir(dir).env("NAS_REPLICA__MODE", mode).env("NAS_REPLICA__TTL", "60s")
}

/// Ends a replica, and starts it on its folder in another mode.
async fn becomes(mut replica: Server, launch: Launch) -> Server {
    replica.signal("TERM");
    assert!(replica.exit().await.success());
    launch.start().await
}

async fn holds(mirror: &Server, count: usize) {
    let line = format!("[+] mirror: {count} JWTs");
    until(&line, || async { mirror.http.get("/readyz?verbose").await.body.contains(&line) }).await;
}

async fn push(operator: &Operator, primary: &Server, account: &Account, age: i64) -> String {
    let jwt = operator.account(account, age);
    primary.http.post(&account.path(), jwt.clone()).await.expect(200);
    jwt
}

#[tokio::test]
async fn a_mirror_that_was_a_cache_tells_itself_which_account_left_a_read_only_folder() {
    let (operator, dir, folder) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |account: &Account| folder.path().join(format!("{}.jwt", account.key()));
    let (left, others) = (Account::new(), [(); 8].map(|()| Account::new()));
    for account in others.iter().chain([&left]) {
        std::fs::write(file(account), operator.account(account, 900)).unwrap();
    }
    let primary = Launch::primary(&operator).dir(folder.path()).env("NAS_STORE__READONLY", "true").start().await;
    let of = |mode: &str| launch(&operator, &primary.url, dir.path(), mode).env("NAS_REPLICA__CACHE_BYTES", "32KiB");
    let cache = of("cache").start().await;
    cache.follows().await;
    cache.http.get(&left.path()).await.expect(200);
    std::fs::remove_file(file(&left)).unwrap();
    until("it left", || async { cache.http.get(&left.path()).await.status == 404 }).await;
    // With what follows, the log of the cache is too long for its change.
    for other in &others {
        let newer = operator.account(other, 100);
        std::fs::write(file(other), &newer).unwrap();
        until("it has come", || async { cache.http.get(&other.path()).await.body == newer }).await;
    }

    let mirror = becomes(cache, of("mirror")).await;
    mirror.follows().await;
    let ask = serde_json::json!({ "have": [[left.key(), "0".repeat(16)]] }).to_string();
    let asked = || async { primary.http.metric("http_requests_total", "route=\"digests\"").await };
    until("the mirror answers itself", || async {
        let before = asked().await;
        let told = mirror.http.post("/jwt/v1/digests", ask.clone()).await.expect(200).json();
        assert_eq!(
            (told["items"][0]["op"].as_str(), told["items"][0]["key"].as_str()),
            (Some("remove"), Some(&*left.key()))
        );
        asked().await <= before
    })
    .await;
}

#[tokio::test]
async fn a_mirror_becomes_a_cache_and_a_mirror_again() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let account = Account::new();
        let jwt = push(&operator, &primary, &account, 900).await;
        held.push((account, jwt));
    }
    let deleted = Account::new();
    push(&operator, &primary, &deleted, 900).await;
    primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
    let of = |mode: &str, primary: &Server| launch(&operator, &primary.url, dir.path(), mode);
    let replica = of("mirror", &primary).start().await;
    replica.follows().await;
    holds(&replica, 40).await;

    // A cache has as many of them as it has room for, and knows all keys.
    let cache = of("cache", &primary).env("NAS_REPLICA__CACHE_BYTES", "32KiB");
    let replica = becomes(replica, cache.clone()).await;
    replica.follows().await;
    held[0].1 = push(&operator, &primary, &held[0].0, 500).await;
    let (other, before) = (Account::new(), primary.http.metric("serial", "").await);
    let jwt = push(&operator, &primary, &other, 10).await;
    held.push((other, jwt));
    until("the changes have come", || async { replica.http.metric("serial", "").await > before }).await;
    for (account, jwt) in &held {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    replica.http.get(&deleted.path()).await.expect(404);
    replica.http.get(&Account::new().path()).await.expect(404);
    let asked = fetches(&replica).await;
    assert!((1.0..=41.0).contains(&asked), "{asked}");
    let size = || async { replica.http.metric("replica_cache_bytes", "").await };
    until("it is within its bound", || async { size().await <= 32.0 * 1024.0 }).await;

    let replica = becomes(replica, of("mirror", &primary)).await;
    replica.follows().await;
    holds(&replica, 41).await;
    held[1].1 = push(&operator, &primary, &held[1].0, 400).await;
    until("the change has come", || async { replica.http.get(&held[1].0.path()).await.body == held[1].1 }).await;
    let sum = async |server: &Server| server.http.get("/jwt/v1/digests").await.expect(200).json()["sum"].clone();
    assert_eq!(sum(&replica).await, sum(&primary).await);
    primary.kill();
    let replica = replica.stop_and_start().await;
    for (account, jwt) in &held {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(fetches(&replica).await, 0.0, "nothing was asked for one by one");
    // A cache that was a mirror serves what it has room for, without its primary as well.
    let replica = becomes(replica, of("cache", &primary)).await;
    for (account, jwt) in &held {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
}
