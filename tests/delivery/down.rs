//! While there is no connection to NATS.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, outcomes, page, waiting};
use crate::support::{Account, until, within};

#[tokio::test]
async fn a_push_that_waits_is_answered_when_its_time_is_over_or_when_nats_is_back() {
    let cluster = Cluster::one().await;
    cluster.wire.cut();
    cluster.connected(0.0).await;
    let account = Account::new();
    let started = Instant::now();
    let reply = cluster.primary.http.post(&waiting(&account, "300ms"), cluster.version(&account)).await.expect(200);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(reply.header("nas-receipts"), "pending");
    let found = cluster.page(&account).await;
    assert_eq!(found["note"], "it is not announced yet: there is no connection to NATS");
    assert_eq!((&found["complete"], &found["announced_at"]), (&false.into(), &serde_json::Value::Null));

    // One is replaced by the other while both wait.
    let push = |jwt: String| {
        let (http, path) = (cluster.primary.http.clone(), waiting(&account, "25s"));
        tokio::spawn(async move { http.post(&path, jwt).await.expect(200) })
    };
    let serial = found["serial"].as_i64().unwrap();
    let first = push(cluster.version(&account));
    until("it is committed", || async { cluster.page(&account).await["serial"] == serial + 1 }).await;
    let second = push(cluster.version(&account));
    until("it is committed", || async { cluster.page(&account).await["serial"] == serial + 2 }).await;
    assert!(!first.is_finished() && !second.is_finished());
    cluster.wire.heal();
    let first = within("the first answer", first).await.unwrap();
    assert_eq!(first.header("nas-receipts"), "superseded");
    let second = within("the second answer", second).await.unwrap();
    assert!(second.header("nas-receipts").starts_with("n1=not_loaded;"), "{}", second.header("nas-receipts"));
    let replaced = format!("{}?serial={}", page(&account), serial + 1);
    let reply = cluster.primary.http.get(&replaced).await.expect(404);
    assert!(reply.body.contains(&format!("has taken its place: serial {}", serial + 2)), "{}", reply.body);
}

#[tokio::test]
async fn a_server_that_stops_answers_those_who_wait() {
    let mut cluster = Cluster::one().await;
    cluster.wire.cut();
    cluster.connected(0.0).await;
    let (account, http) = (Account::new(), cluster.primary.http.clone());
    let (path, jwt) = (waiting(&account, "25s"), cluster.version(&account));
    let push = tokio::spawn(async move { http.post(&path, jwt).await });
    until("it is committed", || async { cluster.primary.http.get(&page(&account)).await.status == 200 }).await;
    let started = Instant::now();
    cluster.primary.signal("TERM");
    assert_eq!(within("the answer", push).await.unwrap().expect(200).header("nas-receipts"), "pending");
    cluster.primary.exit().await;
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn after_a_restart_it_is_found_out_again_what_the_nats_servers_run() {
    let mut cluster = Cluster::one().await;
    let account = cluster.open().await;
    let _client = cluster.client(1, &account.user()).await;
    let jwt = cluster.version(&account);
    cluster.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
    let serial = cluster.complete(&account).await["serial"].as_i64().unwrap();
    cluster.primary.kill();
    cluster.set_cursor("nats", serial);
    cluster.primary = cluster.primary.restart().await;
    cluster.connected(1.0).await;
    let found = cluster.complete(&account).await;
    assert_eq!(outcomes(&found), ["n1 current"]);
    assert_eq!((&found["announced_at"], &found["note"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let reply = cluster.primary.http.post(&format!("{}&require=all", waiting(&account, "25s")), jwt).await.expect(200);
    assert!(reply.header("nas-receipts").starts_with("n1=current;"), "{}", reply.header("nas-receipts"));
}
