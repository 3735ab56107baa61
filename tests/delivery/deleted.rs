//! Accounts that are deleted here, and that a nats-server goes on with: there is no message by which it would drop them.

use serde_json::Value;

use crate::cluster::{Cluster, of_server};
use crate::support::login::login;
use crate::support::{Account, until};

/// What `/api/v1/servers` lists of an account that cannot be unloaded; null if nothing.
fn listed(standing: &Value, account: &Account) -> Value {
    let mut listed = standing["cannot_unload"].as_array().unwrap().iter();
    listed.find(|one| one["account"] == account.key()).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_deleted_account_is_shown_as_one_that_cannot_be_unloaded_and_is_not_behind() {
    let cluster = Cluster::one().await;
    let (cut_off, forgotten, never) = (cluster.open().await, cluster.open().await, cluster.open().await);
    let mut sessions = Vec::new();
    for account in [&cut_off, &forgotten] {
        sessions.push(login(cluster.nats[0].address(), &account.user()).await.unwrap());
    }
    let jwt = cluster.operator.sign(&cut_off.with_connections(cluster.next_iat(), 0));
    cluster.primary.http.post(&cut_off.path(), jwt).await.expect(200);
    until("its clients are cut off", || async { !sessions[0].is_up() }).await;
    cluster.complete(&cut_off).await;
    for account in [&cut_off, &forgotten, &never] {
        let request = cluster.operator.delete_request(&[account], 0);
        cluster.primary.http.delete(&account.path(), request).await.expect(200);
    }
    let announced = cluster.primary.http.metric("announced_total", "").await;
    until("both are found there", || async {
        let standing = cluster.standing("n1").await;
        [&cut_off, &forgotten].iter().all(|account| !listed(&standing, account).is_null())
    })
    .await;
    let standing = cluster.standing("n1").await;
    let (first, second) = (listed(&standing, &cut_off), listed(&standing, &forgotten));
    for found in [&first, &second] {
        assert_eq!((&found["reason"], &found["should_run"]), (&"deleted".into(), &Value::Null));
        assert!(found["runs"]["iat"].as_i64().unwrap() > 0, "{found}");
    }
    assert_eq!(first.get("way_out"), None, "nobody can log in: {first}");
    assert!(second["way_out"].as_str().unwrap().contains(r#"push a JWT with "conn": 0"#), "{second}");
    assert_eq!(standing["cannot_unload"].as_array().unwrap().len(), 2, "{standing}");

    for account in [&cut_off, &forgotten] {
        let page = cluster.page(account).await;
        let there = of_server(&page, "n1").unwrap();
        assert_eq!((&there["outcome"], &there["reason"]), (&"cannot_unload".into(), &"deleted".into()), "{page}");
        assert_eq!(page["complete"], false);
    }
    // It never had this one.
    until("one that it has not loaded is gone", || async { cluster.page(&never).await["complete"] == true }).await;

    // All is looked at again, and nothing is announced for it.
    let swept = cluster.standing("n1").await["last_sweep"].as_i64();
    until("a sweep has ended", || async { cluster.standing("n1").await["last_sweep"].as_i64() > swept }).await;
    let standing = cluster.standing("n1").await;
    assert_eq!((&standing["state"], &standing["accounts_behind"]), (&"in_sync".into(), &0.into()), "{standing}");
    assert_eq!(cluster.primary.http.metric("announced_total", "").await, announced);
    assert_eq!(cluster.primary.http.metric("repairs_total", "").await, 0.0);
    assert!(sessions[1].is_up());
}
