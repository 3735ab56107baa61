//! What one client may cost.

use super::{Distance, random};
use crate::support::{Account, Launch, Operator};

/// One in a second, so 20 at once.
fn strict(launch: Launch) -> Launch {
    launch
        .env("NAS_HTTP__LIMITS__PUSHES", "1")
        .env("NAS_HTTP__LIMITS__UNKNOWN_KEYS", "1")
        .env("NAS_HTTP__LIMITS__LISTINGS", "1")
}

#[tokio::test]
async fn reads_and_changes_are_not_limited_but_pushes_that_change_nothing_are() {
    let operator = Operator::new();
    let server = strict(Launch::primary(&operator)).start().await;
    let account = Account::new();
    for age in (0..60).rev() {
        server.http.post(&account.path(), operator.account(&account, age)).await.expect(200);
        server.http.get(&account.path()).await.expect(200);
        server.http.get(&random()).await.expect(404);
    }
    let stale = operator.account(&account, 100);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(server.http.post(&account.path(), stale.clone()).await);
    }
    assert_eq!(statuses.iter().take_while(|reply| reply.status == 409).count() / 20, 1);
    let last = statuses.last().unwrap();
    assert_eq!((last.status, last.header("connection")), (429, "close"), "{}", last.body);
    assert!((1..=60).contains(&last.header("retry-after").parse::<u64>().unwrap()));
    assert!(last.body.contains("http.limits.pushes"), "{}", last.body);
    server.http.get(&account.path()).await.expect(200);
    assert!(server.http.metric("limited_total", "pushes").await >= 1.0);
}

#[tokio::test]
async fn lists_of_everything_are_limited() {
    let operator = Operator::new();
    let server = strict(Launch::primary(&operator)).start().await;
    let mut limited = 0;
    for _ in 0..30 {
        limited += usize::from(server.http.get("/jwt/v1/pack").await.status == 429);
    }
    assert!((5..=10).contains(&limited), "{limited}");
    server.http.get("/readyz").await.expect(200);
}

/// While the replica follows, it answers by its list of keys where the limit keeps it from asking.
#[tokio::test]
async fn keys_that_nothing_is_known_of_are_limited_and_those_that_are_cached_are_not() {
    let world = Distance::with(1, strict).await;
    world.proxy.heal();
    let path = world.accounts[0].path();
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(world.replica.http.get(&random()).await.status);
        world.replica.http.get(&path).await.expect(200);
    }
    // All keys are known: what the limit keeps from upstream is answered here.
    assert_eq!(answers, [404; 40]);
    assert!(super::asked(&world.replica.http).await < 30.0);
    // Without the feed, nobody knows.
    world.proxy.cut();
    super::until("it is cut off", || async { world.replica.http.metric("replica_feed_connected", "").await == 0.0 })
        .await;
    let reply = world.replica.http.get(&random()).await.expect(429);
    assert!(reply.body.contains("http.limits.unknown_keys"), "{}", reply.body);
    world.replica.http.get(&path).await.expect(200);
    world.replica.http.get(&format!("/jwt/v1/accounts/%41{}", &random()[18..])).await.expect(429);
}
