//! The page and the parameter where there is little to tell.
//!
//! The first change of every journal here is the operator's JWT.

use std::time::{Duration, Instant};

use crate::cluster::{page, waiting};
use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn without_nats_a_push_that_waits_is_answered_at_once() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let started = Instant::now();
    let reply = server.http.post(&waiting(&account, "30s"), operator.account(&account, 10)).await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!((reply.header("nas-receipts"), &*reply.body), ("not-configured", ""));
    let reply = server.http.get(&page(&account)).await.expect(200);
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), ("application/json", "no-store"));
    let found = reply.json();
    assert_eq!(found["note"], "NATS is not configured on this server: no nats-server is told");
    assert_eq!((&found["complete"], &found["announced_at"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!((&found["serial"], found["identity"].as_str().unwrap().len()), (&2.into(), 64));
    // Without the parameter nothing is told.
    let reply = server.http.post(&account.path(), operator.account(&account, 5)).await.expect(200);
    assert_eq!((reply.header("nas-receipts"), &*reply.body), ("", ""));
}

#[tokio::test]
async fn a_bad_wait_is_refused_before_anything_is_changed() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    for bad in ["", "soon", "-1s", "1.5", "2y"] {
        let reply = server.http.post(&waiting(&account, bad), operator.account(&account, 10)).await.expect(400);
        assert!(reply.body.starts_with("bad wait parameter\n"), "{}", reply.body);
    }
    server.http.get(&account.path()).await.expect(404);
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    server.http.delete(&waiting(&account, "soon"), operator.delete_request(&[&account], 0)).await.expect(400);
    server.http.get(&account.path()).await.expect(200);
    // A refusal stays one, and is not waited for.
    let started = Instant::now();
    server.http.post(&waiting(&account, "30s"), operator.account(&account, 20)).await.expect(409);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_deletion_has_no_receipts_and_says_what_it_does_not_do() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let request = operator.delete_request(&[&account], 0);
    let reply = server.http.delete(&waiting(&account, "30s"), request.clone()).await.expect(200);
    assert_eq!(reply.header("nas-receipts"), "not-announced");
    let (done, cut_off) = reply.body.split_once('\n').unwrap();
    assert_eq!(done, "deleted 1 accounts");
    assert!(cut_off.contains(r#"until they get a JWT with "conn": 0"#), "{cut_off}");
    assert_eq!(reply.header("content-type"), "text/plain");
    let again = server.http.request("DELETE", &waiting(&account, "30s")).header("accept", "application/json");
    let told: serde_json::Value = again.body(request).send().await.unwrap().json().await.unwrap();
    assert!(told["note"].as_str().unwrap().starts_with("a deletion has no receipts"), "{told}");
    assert_eq!((&told["serial"], &told["complete"]), (&3.into(), &false.into()));
    assert_eq!(server.http.get(&page(&account)).await.expect(200).json(), told);
}

#[tokio::test]
async fn the_page_says_what_it_does_not_know() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let unknown = server.http.get(&page(&account)).await.expect(404);
    assert_eq!(unknown.body, "no matching account JWT\n");
    let no_key = server.http.get("/jwt/v1/accounts/AB/propagation").await.expect(404);
    assert!(no_key.body.starts_with("no matching account JWT\n"), "{}", no_key.body);
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    server.http.get(&page(&account)).await.expect(200);
    for none in [3_u64, u64::MAX] {
        let reply = server.http.get(&format!("{}?serial={none}", page(&account))).await.expect(404);
        assert_eq!(reply.body, format!("no matching change\nthis account has no change {none}\n"));
    }
    // A change of another account.
    let other = Account::new();
    server.http.post(&other.path(), operator.account(&other, 10)).await.expect(200);
    server.http.get(&format!("{}?serial=3", page(&account))).await.expect(404);
    server.http.get(&format!("{}?serial=two", page(&account))).await.expect(400);
    let head = server.http.send("HEAD", &page(&account), &[]).await.expect(200);
    assert_eq!((head.header("content-type"), &*head.body), ("application/json", ""));
}

#[tokio::test]
async fn a_replica_names_its_primary_instead() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let reply = replica.http.get(&page(&account)).await.expect(404);
    assert!(reply.body.contains(&primary.url), "{}", reply.body);
    let reply = replica.http.post(&waiting(&account, "30s"), operator.account(&account, 5)).await.expect(405);
    assert!(reply.body.contains(&primary.url), "{}", reply.body);
}
