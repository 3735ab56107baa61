//! Behind a primary of the old kind, without a change feed, entries are checked again after a time-to-live.

use crate::fetches;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, until};

#[tokio::test]
async fn a_change_is_seen_after_the_time_to_live() {
    let operator = Operator::new();
    let account = Account::new();
    let mut current = operator.account(&account, 100);
    let answer = current.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, answer.clone())).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "500ms").start_unready().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, current);
    replica.logs("has no change feed").await;
    replica.http.get("/readyz").await.expect(200);
    for _ in 0..20 {
        replica.http.get(&account.path()).await.expect(200);
    }
    assert!(fetches(&replica).await <= 2.0, "what is fresh is not asked about");
    for age in [50, 20] {
        current = operator.account(&account, age);
        let answer = current.clone();
        primary.now_answers(move |_| Answer::new(200, answer.clone()));
        until("the change is seen", || async { replica.http.get(&account.path()).await.body == current }).await;
    }
}

#[tokio::test]
async fn an_account_that_vanishes_there_stays_here() {
    let operator = Operator::new();
    let account = Account::new();
    let jwt = operator.account(&account, 100);
    let answer = jwt.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, answer.clone())).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "200ms").start_unready().await;
    replica.http.get(&account.path()).await.expect(200);
    primary.now_answers(|_| Answer::new(404, "no\n"));
    until("its absence is seen", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
        replica.http.metric("replica_fetches_total", "result=\"absent\"").await > 0.0
    })
    .await;
}
