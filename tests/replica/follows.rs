//! A replica follows its primary's changes, through restarts, cuts and restores.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Account, Launch, Operator, Proxy, Server, until};
use crate::{fetches, known};

/// Waits until the replica serves `body`.
async fn serves(replica: &Server, account: &Account, body: &str) {
    until("the replica serves the change", || async { replica.http.get(&account.path()).await.body == body }).await;
}

#[tokio::test]
async fn a_push_at_the_primary_arrives_without_being_asked_for() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let (account, _) = known(&operator, &primary, &replica, 1).await.remove(0);
    let asked = fetches(&replica).await;
    for age in (1..=20).rev() {
        let jwt = operator.account(&account, age);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        let pushed = Instant::now();
        serves(&replica, &account, &jwt).await;
        assert!(pushed.elapsed() < Duration::from_secs(1), "{:?}", pushed.elapsed());
    }
    assert_eq!(fetches(&replica).await, asked, "the feed brings what is held");
    primary.http.delete(&account.path(), operator.delete_request(&[&account], 0)).await.expect(200);
    until("the deletion has come", || async { replica.http.get(&account.path()).await.status == 404 }).await;
}

#[tokio::test]
async fn two_jwts_of_one_second_end_on_the_replica_as_on_the_primary() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let (account, _) = known(&operator, &primary, &replica, 1).await.remove(0);
    let iat = crate::support::now() - 100;
    for connections in 1..=10 {
        let jwt = operator.sign(&account.with_connections(iat, connections));
        primary.http.post(&account.path(), jwt).await.expect(200);
    }
    let last = primary.http.get(&account.path()).await.body;
    until("the changes have come", || async { replica.http.metric("serial", "").await == 12.0 }).await;
    assert_eq!(replica.http.get(&account.path()).await.body, last);
}

#[tokio::test]
async fn the_feed_goes_on_where_it_stopped_when_the_primary_is_restarted() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary_in(&operator, dir.path()).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = Server::replica(&operator, &proxy.url()).await;
    let known = known(&operator, &primary, &replica, 5).await;
    let pulled = fetches(&replica).await;
    proxy.cut();
    until("the feed is lost", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    // While the replica cannot see it: a change, a deletion, and the end of the process.
    let [(changed, _), (deleted, _), ..] = &known[..] else { unreachable!() };
    let newer = operator.account(changed, 500);
    primary.http.post(&changed.path(), newer.clone()).await.expect(200);
    primary.http.delete(&deleted.path(), operator.delete_request(&[deleted], 500)).await.expect(200);
    let primary = primary.restart().await;
    proxy.lead_to(primary.host());
    replica.follows().await;
    assert_eq!(replica.http.get(&changed.path()).await.body, newer);
    replica.http.get(&deleted.path()).await.expect(404);
    let newest = operator.account(changed, 400);
    primary.http.post(&changed.path(), newest.clone()).await.expect(200);
    serves(&replica, changed, &newest).await;
    for (account, jwt) in &known[2..] {
        assert_eq!(replica.http.get(&account.path()).await.body, *jwt);
    }
    assert_eq!(fetches(&replica).await - pulled, 1.0, "only the deleted account was asked for anew");
}

#[tokio::test]
async fn a_primary_restored_from_an_older_copy_takes_nobody_back() {
    let (operator, dir, copy) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary_in(&operator, dir.path()).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = Server::replica(&operator, &proxy.url()).await;
    let known = known(&operator, &primary, &replica, 3).await;
    let [(changed, _), (deleted, _), (untouched, old)] = &known[..] else { unreachable!() };
    primary.signal("TERM");
    primary.exit().await;
    copy_folder(dir.path(), copy.path());
    let primary = primary.restart().await;
    proxy.lead_to(primary.host());
    let newer = operator.account(changed, 500);
    primary.http.post(&changed.path(), newer.clone()).await.expect(200);
    primary.http.delete(&deleted.path(), operator.delete_request(&[deleted], 500)).await.expect(200);
    replica.follows().await;
    serves(&replica, changed, &newer).await;
    until("the deletion has come", || async { replica.http.get(&deleted.path()).await.status == 404 }).await;
    drop(primary);
    let primary = Server::primary_in(&operator, copy.path()).await;
    // Another history than the one that the replica follows, as long as it or longer.
    for _ in 0..3 {
        let account = Account::new();
        primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    }
    proxy.lead_to(primary.host());
    replica.logs("has another history than the one followed").await;
    replica.follows().await;
    let asked = fetches(&replica).await;
    for _ in 0..3 {
        assert_eq!(replica.http.get(&changed.path()).await.expect(200).body, newer);
        assert_ne!(replica.http.get(&deleted.path()).await.status, 200, "a deleted account is not brought back");
        assert_eq!(replica.http.get(&untouched.path()).await.expect(200).body, *old);
    }
    until("what is cached is asked about again", || async {
        assert_eq!(replica.http.get(&changed.path()).await.expect(200).body, newer);
        assert_ne!(replica.http.get(&deleted.path()).await.status, 200);
        fetches(&replica).await >= asked + 1.0
    })
    .await;
    let newest = operator.account(changed, 1);
    primary.http.post(&changed.path(), newest.clone()).await.expect(200);
    serves(&replica, changed, &newest).await;
}

#[tokio::test]
async fn a_primary_that_lost_everything_erases_nobodys_copy() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = Server::replica(&operator, &proxy.url()).await;
    let known = known(&operator, &primary, &replica, 5).await;
    // It keeps everything in memory.
    let primary = primary.restart().await;
    proxy.lead_to(primary.host());
    replica.logs("has another history than the one followed").await;
    replica.follows().await;
    let asked = fetches(&replica).await;
    until("what is cached is asked about again", || async {
        for (account, jwt) in &known {
            assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
        }
        fetches(&replica).await >= asked + 5.0
    })
    .await;
}

#[tokio::test]
async fn a_replica_stands_behind_a_replica() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let hub = Server::replica(&operator, &primary.url).await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let leaf = Launch::replica(&operator, &hub.url).env("NAS_REPLICA__TTL", "500ms").start_unready().await;
    leaf.http.get(&account.path()).await.expect(200);
    let newer = operator.account(&account, 50);
    primary.http.post(&account.path(), newer.clone()).await.expect(200);
    serves(&leaf, &account, &newer).await;
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}
