//! What a replica does not have, it pulls.

use std::time::Duration;

use futures_util::future::join_all;

use crate::fetches;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Reply, Server, until};

#[tokio::test]
async fn a_miss_is_pulled_once_and_then_answered_from_the_cache() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let (account, fed) = (Account::new(), Account::new());
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__WARM", "false").start().await;
    let owned = primary.http.get(&account.path()).await.expect(200);
    for _ in 0..5 {
        let reply = replica.http.get(&account.path()).await.expect(200);
        assert_eq!((&reply.body, reply.header("etag")), (&owned.body, owned.header("etag")));
        assert!(reply.header("age").parse::<u64>().unwrap() < 10);
        assert_eq!(reply.header("cache-control"), owned.header("cache-control"));
    }
    assert_eq!(fetches(&replica).await, 1.0);
    // What is pushed while the replica follows comes with its text.
    let jwt = operator.account(&fed, 10);
    primary.http.post(&fed.path(), jwt.clone()).await.expect(200);
    // The first change is the operator's JWT.
    until("the change has come", || async { replica.http.metric("serial", "").await == 3.0 }).await;
    assert_eq!(replica.http.get(&fed.path()).await.expect(200).body, jwt);
    assert_eq!(fetches(&replica).await, 1.0);
    replica.http.get("/jwt/v1/accounts/").await.expect(200);
    assert_eq!(replica.http.get("/jwt/v1/operator").await.expect(200).body, operator.jwt());
}

#[tokio::test]
async fn five_hundred_misses_at_once_make_one_request_to_the_primary() {
    let operator = Operator::new();
    let (account, unknown) = (Account::new(), Account::new());
    let (jwt, key) = (operator.account(&account, 10), account.key());
    let served = jwt.clone();
    // Slow enough that all of them come while the first is under way.
    let primary = FakePrimary::without_feed(move |asked| {
        let answer = if asked == key { Answer::new(200, served.clone()) } else { Answer::new(404, "no\n") };
        answer.after(Duration::from_millis(600))
    })
    .await;
    let replica = Launch::replica(&operator, &primary.url).start_unready().await;
    for reply in at_once(&replica, &account).await {
        assert_eq!(reply.expect(200).body, jwt);
    }
    assert_eq!((primary.requests(), fetches(&replica).await), (1, 1.0));
    for reply in at_once(&replica, &unknown).await {
        reply.expect(404);
    }
    assert_eq!((primary.requests(), fetches(&replica).await), (2, 2.0));
}

#[tokio::test]
async fn five_hundred_misses_at_once_make_one_request_to_a_real_primary() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    let jwt = operator.account(&account, 10);
    primary.http.post(&account.path(), jwt.clone()).await.expect(200);
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__WARM", "false").start().await;
    for reply in at_once(&replica, &account).await {
        assert_eq!(reply.expect(200).body, jwt);
    }
    assert_eq!(
        primary.http.metric("http_requests_total", "code=\"200\",method=\"GET\",route=\"account\"").await,
        1.0,
        "one pull"
    );
}

#[tokio::test]
async fn an_unknown_account_is_remembered_until_the_moment_it_is_pushed() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    // The first change is the operator's JWT.
    for serial in 2..=6 {
        let account = Account::new();
        let before = fetches(&replica).await;
        for _ in 0..10 {
            replica.http.get(&account.path()).await.expect(404);
        }
        assert_eq!(fetches(&replica).await, before + 1.0, "what is unknown is not asked for again at once");
        let jwt = operator.account(&account, 10);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        until("the change has come", || async { replica.http.metric("serial", "").await >= f64::from(serial) }).await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    }
}

#[tokio::test]
async fn what_the_primary_does_not_know_leaves_no_connection_open() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let miss = || async { replica.http.get(&Account::new().path()).await.expect(404) };
    miss().await;
    let before = replica.open_files();
    for _ in 0..50 {
        miss().await;
    }
    assert!(replica.open_files() < before + 10, "{before} before, {} after", replica.open_files());
}

#[tokio::test]
async fn what_is_no_account_key_is_not_looked_up() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(200, "x")).await;
    let replica = Launch::replica(&operator, &primary.url).start_unready().await;
    let key = Account::new().key();
    for bad in
        ["x", &key.to_lowercase(), &key[..55], &operator.key(), &Account::new().user().key(), "%0d%0a", "..%2f.."]
    {
        assert_eq!(replica.http.get(&format!("/jwt/v1/accounts/{bad}")).await.status, 404, "{bad}");
    }
    assert_eq!(primary.requests(), 0);
}

#[tokio::test]
async fn a_push_to_a_replica_is_refused_and_the_primary_is_named() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let (account, replica) = (Account::new(), Server::replica(&operator, &primary.url).await);
    let jwt = operator.account(&account, 10);
    for reply in [
        replica.http.post(&account.path(), jwt).await.expect(405),
        replica.http.delete(&account.path(), operator.delete_request(&[&account], 0)).await.expect(405),
    ] {
        assert!(reply.body.contains(&primary.url), "{}", reply.body);
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
    }
    replica.http.get(&account.path()).await.expect(404);
    let reply = replica.http.send("OPTIONS", &account.path(), &[]).await.expect(200);
    assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
    let reply = replica.http.send("PUT", &account.path(), &[]).await.expect(405);
    assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn reads_need_no_nats() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    // Nobody listens there.
    let replica = Launch::replica(&operator, &primary.url).flag("-nats", "nats://127.0.0.1:1").start().await;
    replica.http.get(&account.path()).await.expect(200);
    assert_eq!(replica.http.metric("nats_connected", "").await, 0.0);
}

/// Five hundred answers to requests that are sent at once.
async fn at_once(replica: &Server, account: &Account) -> Vec<Reply> {
    let path = account.path();
    join_all((0..500).map(|_| replica.http.get(&path))).await
}
