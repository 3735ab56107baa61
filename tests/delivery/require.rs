//! Changes that are to be in force everywhere before they are answered.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, NEWEST, outcomes, silent};
use crate::support::login::login;
use crate::support::{Account, Launch, Operator, Reply, Server, until};

/// The path of a push that has to be in force everywhere within `wait`.
fn requiring(account: &Account, wait: &str) -> String {
    format!("{}?wait={wait}&require=all", account.path())
}

/// A problem document about a change that is durable, and what is known of the change.
fn problem(reply: &Reply) -> serde_json::Value {
    assert_eq!((reply.status, reply.header("content-type")), (504, "application/problem+json"), "{}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    let problem = reply.json();
    assert_eq!((&problem["status"], &problem["type"]), (&504.into(), &"about:blank".into()));
    assert!(problem["title"].as_str().unwrap().contains("durable"), "{problem}");
    problem["propagation"].clone()
}

async fn is_stored(server: &Server, account: &Account, jwt: &str) -> bool {
    server.http.get(&account.path()).await.expect(200).body == jwt
}

#[tokio::test]
async fn a_change_that_is_in_force_everywhere_is_answered_with_200_as_soon_as_that_is_proven() {
    let cluster = Cluster::three().await;
    let account = Account::new();
    let counted = async || cluster.primary.http.metric("in_force_duration_seconds_count", "").await;
    let before = counted().await;
    let push = async |jwt: String| {
        let started = Instant::now();
        let reply = cluster.primary.http.post(&requiring(&account, "20s"), jwt).await.expect(200);
        (reply.header("nas-receipts").to_owned(), started.elapsed())
    };
    // There is no older one that a nats-server might be loading.
    let (receipts, took) = push(cluster.version(&account)).await;
    assert_eq!(receipts.matches("=not_loaded;").count(), 3, "{receipts}");
    assert!(took < Duration::from_millis(1_900), "{took:?}");
    // Now there is: only when its fetch has timed out, it cannot come any more.
    let (receipts, took) = push(cluster.version(&account)).await;
    assert_eq!(receipts.matches("=not_loaded;").count(), 3, "{receipts}");
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(5), "{took:?}");
    // Where it is loaded, that is proven at once.
    let mut sessions = Vec::new();
    for nats in &cluster.nats {
        sessions.push(login(nats.address(), &account.user()).await.unwrap());
    }
    let (receipts, took) = push(cluster.version(&account)).await;
    assert_eq!(receipts.matches("=updated;").count(), 3, "{receipts}");
    assert!(took < Duration::from_millis(1_900), "{took:?}");
    // Changes of an account that follow each other closely are counted once.
    until("they are counted", || async { counted().await > before }).await;

    // A deletion is proven where the account is not loaded.
    let request = cluster.operator.delete_request(&[&account], 0);
    problem(&cluster.primary.http.delete(&requiring(&account, "1s"), request).await);
    let unused = cluster.open().await;
    let request = cluster.operator.delete_request(&[&unused], 0);
    cluster.primary.http.delete(&requiring(&unused, "20s"), request).await.expect(200);
}

#[tokio::test]
async fn a_change_that_a_frozen_nats_server_may_not_have_is_answered_with_504_and_is_durable() {
    let cluster = Cluster::three().await;
    let account = cluster.open().await;
    let sessions = [
        login(cluster.nats[0].address(), &account.user()).await.unwrap(),
        login(cluster.nats[1].address(), &account.user()).await.unwrap(),
        login(cluster.nats[2].address(), &account.user()).await.unwrap(),
    ];
    cluster.nats[2].signal("STOP");
    let (started, jwt) = (Instant::now(), cluster.version(&account));
    // Without a time it is two seconds.
    let path = format!("{}?require=all", account.path());
    let reply = cluster.primary.http.post(&path, jwt.clone()).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
    let found = problem(&reply);
    assert_eq!((outcomes(&found), silent(&found)), (vec!["n1 updated".into(), "n2 updated".into()], vec!["n3"]));
    assert!(reply.header("nas-receipts").ends_with("n3=silent"), "{}", reply.header("nas-receipts"));
    assert!(is_stored(&cluster.primary, &account, &jwt).await);
    cluster.nats[2].signal("CONT");
    // The same again waits for the same.
    cluster.primary.http.post(&requiring(&account, "20s"), jwt).await.expect(200);
    assert!(sessions.iter().all(crate::support::login::Session::is_up));
}

#[tokio::test]
async fn without_a_connection_to_nats_it_is_504() {
    let cluster = Cluster::one().await;
    cluster.wire.cut();
    cluster.connected(0.0).await;
    let (account, started) = (Account::new(), Instant::now());
    let jwt = cluster.version(&account);
    let reply = cluster.primary.http.post(&requiring(&account, "300ms"), jwt.clone()).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(problem(&reply)["complete"], false);
    assert!(is_stored(&cluster.primary, &account, &jwt).await);
}

#[tokio::test]
async fn what_can_never_be_proven_is_refused_before_anything_is_stored() {
    let operator = Operator::new();
    let without_nats = Server::primary(&operator).await;
    let off = |launch: Launch| launch.env("NAS_NATS__RECONCILE", "false");
    let uncompared = Cluster::unconnected(operator, &[NEWEST], off, |launch, primary| launch.asks(&primary.url)).await;
    let primary = &uncompared.primary;
    let account = Account::new();
    for (server, query, why) in [
        (&without_nats, "require=all", "NATS is not configured"),
        (&without_nats, "require=all&wait=1s", "NATS is not configured"),
        (primary, "require=all", "nats.reconcile is off"),
        (primary, "require=some", "bad require parameter"),
        (primary, "require=", "bad require parameter"),
    ] {
        let path = format!("{}?{query}", account.path());
        let reply = server.http.post(&path, uncompared.operator.account(&account, 10)).await.expect(400);
        assert!(reply.body.contains(why) && reply.body.contains("nothing was changed"), "{query}: {}", reply.body);
        server.http.get(&account.path()).await.expect(404);
    }
    primary.http.post(&account.path(), uncompared.operator.account(&account, 10)).await.expect(200);
    let path = format!("{}?require=all", account.path());
    let request = uncompared.operator.delete_request(&[&account], 0);
    primary.http.delete(&path, request).await.expect(400);
    primary.http.get(&account.path()).await.expect(200);
}

#[tokio::test]
async fn a_replica_that_forwards_passes_both_parameters_on() {
    let cluster = Cluster::one().await;
    let launch = Launch::replica(&cluster.operator, &cluster.primary.url).env("NAS_REPLICA__WRITES", "forward");
    let replica = launch.start().await;
    let account = Account::new();
    let reply = replica.http.post(&requiring(&account, "20s"), cluster.version(&account)).await.expect(200);
    assert!(reply.header("nas-receipts").starts_with("n1=not_loaded;"), "{}", reply.header("nas-receipts"));
    cluster.nats[0].signal("STOP");
    let (started, jwt) = (Instant::now(), cluster.version(&account));
    let reply = replica.http.post(&requiring(&account, "700ms"), jwt.clone()).await;
    let took = started.elapsed();
    assert_eq!(silent(&problem(&reply)), ["n1"]);
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(5), "{took:?}");
    assert!(is_stored(&cluster.primary, &account, &jwt).await);
    let path = format!("{}?require=some", account.path());
    replica.http.post(&path, cluster.version(&account)).await.expect(400);
    cluster.nats[0].signal("CONT");
}
