//! A nats-server misses changes because it is away: cut off, frozen, or both.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use crate::cluster::{Cluster, connect, of_server, outcomes, silent};
use crate::support::command::run;
use crate::support::login::login;
use crate::support::{Account, NatsServer, Proxy, until, until_in};

/// The promise: so long after the fault is over the changes are in force.
const PROMISED: Duration = Duration::from_secs(10);
/// Requests under way at the same time.
const AT_ONCE: usize = 32;

/// A cluster, and a nats-server that can be cut off from it.
async fn with_leaf() -> (Cluster, Proxy, NatsServer) {
    let (cluster, link) = Cluster::with_leafnodes().await;
    let leaf = cluster.leafnode("leaf", &link, |launch| launch.asks(&cluster.primary.url)).await;
    cluster.knows(2).await;
    (cluster, link, leaf)
}

#[tokio::test]
async fn a_change_is_in_force_also_if_the_primary_restarts_while_a_nats_server_is_cut_off() {
    let (mut cluster, link, leaf) = with_leaf().await;
    let account = cluster.open().await;
    let user = account.user();
    let victim = login(leaf.address(), &user).await.unwrap();
    let id = leaf.id().await;
    until("it is remembered that it is there", || async { cluster.compared(&id) > 0 }).await;
    link.cut();
    cluster.leafnode_is_away().await;
    let (jwt, _) = cluster.revoke(&account, &user).await;
    cluster.all_is_announced().await;
    cluster.primary = cluster.primary.restart().await;
    // It counts as there until it has missed three calls.
    until("the other one has answered, and this one is waited for", || async {
        let known = cluster.known(&account, &jwt).await;
        assert_eq!(known["complete"], false);
        outcomes(&known) == ["n1 not_loaded"] && silent(&known) == ["leaf"]
    })
    .await;
    assert!(victim.is_up());
    link.heal();
    let healed = Instant::now();
    cluster.ends_before_complete(&victim, "leaf", &account, &jwt).await;
    victim.ends_in(PROMISED, healed).await;
}

#[tokio::test]
async fn a_question_about_a_nats_server_that_is_away_does_not_set_it_back() {
    let (cluster, link, leaf) = with_leaf().await;
    let account = cluster.open().await;
    let serial = cluster.complete(&account).await["serial"].as_i64().unwrap();
    let (here, away) = (cluster.nats[0].id().await, leaf.id().await);
    until("it is compared", || async { cluster.compared(&away) >= serial }).await;
    link.cut();
    cluster.leafnode_is_away().await;
    cluster.page(&account).await;
    let later = cluster.open().await;
    let serial = cluster.page(&later).await["serial"].as_i64().unwrap();
    // That is written down for all nats-servers at once.
    until("the other one is compared", || async { cluster.compared(&here) >= serial }).await;
    assert_eq!(cluster.compared(&away), serial - 1);
}

#[tokio::test]
async fn a_frozen_nats_server_that_lost_an_announcement_is_repaired_when_it_wakes_up() {
    let (cluster, link, leaf) = with_leaf().await;
    let account = cluster.open().await;
    let user = account.user();
    let victim = login(leaf.address(), &user).await.unwrap();
    // Else it would find the announcement in its socket when it wakes up.
    link.black_hole();
    leaf.signal("STOP");
    let (jwt, _) = cluster.revoke(&account, &user).await;
    until("the other one has answered, and this one is waited for", || async {
        let known = cluster.known(&account, &jwt).await;
        assert_eq!(known["complete"], false);
        silent(&known) == ["leaf"]
    })
    .await;
    // It misses three roll calls.
    until_in(Duration::from_secs(30), "it is gone", || async {
        let report = cluster.primary.http.get("/api/v1/servers").await.expect(200).json();
        let gone = report["silent"].as_array().unwrap();
        let is_gone = gone.iter().any(|server| server["name"] == "leaf");
        assert_ne!(is_gone, report["servers"].as_array().unwrap().iter().any(|server| server["name"] == "leaf"));
        is_gone
    })
    .await;
    assert_eq!(outcomes(&cluster.complete(&account).await), ["n1 not_loaded"]);
    assert_eq!(cluster.primary.http.metric("nats_servers_by_state", "\"silent\"").await, 1.0);
    link.cut();
    link.heal();
    leaf.signal("CONT");
    victim.ends_in(PROMISED, Instant::now()).await;
    until("it is known again", || async { cluster.standing("leaf").await["in_sync"] == true }).await;
    assert!(of_server(&cluster.complete(&account).await, "leaf").is_some());
}

/// Pushes a version of each account. Returns them in the same order.
async fn push_all(cluster: &Cluster, accounts: &[Account]) -> Vec<String> {
    let versions: Vec<String> = accounts.iter().map(|account| cluster.version(account)).collect();
    let pushes = accounts.iter().zip(&versions).map(|(account, jwt)| async {
        cluster.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
    });
    stream::iter(pushes).buffer_unordered(AT_ONCE).collect::<()>().await;
    versions
}

/// New accounts that the leafnode has loaded.
async fn loaded(cluster: &Cluster, leaf: &NatsServer, count: usize) -> Vec<Account> {
    let accounts: Vec<Account> = (0..count).map(|_| Account::new()).collect();
    push_all(cluster, &accounts).await;
    let logins = accounts.iter().map(|account| async { drop(login(leaf.address(), &account.user()).await.unwrap()) });
    stream::iter(logins).buffer_unordered(8).collect::<()>().await;
    accounts
}

/// Waits until the leafnode runs these, for twice the promised time after `healed` at most.
async fn are_in_force(
    cluster: &Cluster,
    leaf: &NatsServer,
    accounts: &[Account],
    versions: &[String],
    healed: Instant,
) {
    let system = connect(&cluster.creds, leaf.address()).await;
    let id = leaf.id().await;
    for (at, (account, jwt)) in accounts.iter().zip(versions).enumerate() {
        while cluster.runs(&system, &id, account).await != *jwt {
            // The promise is for a machine that has nothing else to do.
            assert!(healed.elapsed() < PROMISED * 2, "account {at} is behind after {:?}", PROMISED * 2);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_thousand_changes_that_a_nats_server_missed_are_soon_in_force() {
    let (cluster, link, leaf) = with_leaf().await;
    let accounts = loaded(&cluster, &leaf, 1_000).await;
    link.cut();
    cluster.leafnode_is_away().await;
    let versions = push_all(&cluster, &accounts).await;
    cluster.all_is_announced().await;
    link.heal();
    are_in_force(&cluster, &leaf, &accounts, &versions, Instant::now()).await;
}

#[tokio::test]
async fn ten_thousand_other_changes_and_a_restart_do_not_hide_those_that_matter_to_a_nats_server() {
    let (mut cluster, link, leaf) = with_leaf().await;
    let accounts = loaded(&cluster, &leaf, 20).await;
    let head = cluster.page(&accounts[19]).await["serial"].as_i64().unwrap();
    // It is remembered how far the leafnode was compared.
    let id = leaf.id().await;
    until("it is compared", || async { cluster.compared(&id) >= head }).await;
    link.cut();
    cluster.leafnode_is_away().await;
    let versions = push_all(&cluster, &accounts).await;
    cluster.all_is_announced().await;

    cluster.primary.signal("TERM");
    cluster.primary.exit().await;
    let pack = cluster.folder.path().join("pack");
    std::fs::write(&pack, cluster.operator.pack_of_versions(&Account::new(), 10_100)).unwrap();
    let dir = cluster.folder.path().to_str().unwrap();
    let operator = cluster.operator.jwt();
    let args = ["-dir", dir, "-operator", &operator, "import", pack.to_str().unwrap()];
    run(args).await.expect(0);
    // They are no news to anybody.
    cluster.set_cursor("nats", head + 20 + 10_100);
    cluster.primary = cluster.primary.restart().await;
    cluster.knows(1).await;
    link.heal();
    are_in_force(&cluster, &leaf, &accounts, &versions, Instant::now()).await;
}
