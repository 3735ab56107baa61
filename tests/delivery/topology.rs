//! Further away: another cluster behind a gateway, and a connection that breaks in the middle of a comparison.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use crate::cluster::{Cluster, NEWEST, outcomes};
use crate::support::login::login;
use crate::support::{Account, NatsLaunch, Proxy, free_port, until};

/// The promise: so long after the fault is over the change is in force.
const PROMISED: Duration = Duration::from_secs(10);

/// The place of a cluster's gateway: a port, and the proxy in front of it, which is all that others are told of.
struct Gateway {
    port: u16,
    door: Proxy,
}

impl Gateway {
    async fn new() -> Self {
        let (port, door) = (free_port(), Proxy::to_nowhere().await);
        door.lead_to(&format!("127.0.0.1:{port}"));
        Self { port, door }
    }

    /// The configuration of the cluster `name` here, which is joined to the cluster `other` there.
    fn lines(&self, name: &str, other: &str, there: &Self) -> String {
        format!(
            "gateway {{ name: {name}, listen: \"127.0.0.1:{}\", advertise: {:?}, connect_retries: 1000,\n\
             gateways: [{{ name: {other}, urls: [\"nats://{}\"] }}] }}",
            self.port,
            self.door.address(),
            there.door.address()
        )
    }
}

#[tokio::test]
async fn a_nats_server_in_another_cluster_is_repaired_when_the_gateway_is_back() {
    let (here, there) = (Gateway::new().await, Gateway::new().await);
    let lines = here.lines("here", "there", &there);
    let cluster =
        Cluster::with(&[NEWEST], |launch| launch, |launch, primary| launch.asks(&primary.url).with(&lines)).await;
    let far = NatsLaunch::new("2.10.26", &cluster.operator).named("far").asks(&cluster.primary.url);
    let far = far.with(&there.lines("there", "here", &here)).start().await;
    cluster.knows(2).await;
    let account = cluster.open().await;
    let user = account.user();
    let victim = login(far.address(), &user).await.unwrap();
    here.door.cut();
    there.door.cut();
    until("the gateway is gone", || async { cluster.nats[0].log().contains("Gateway connection closed") }).await;
    let (jwt, _) = cluster.revoke(&account, &user).await;
    cluster.all_is_announced().await;
    assert!(victim.is_up());
    here.door.heal();
    there.door.heal();
    let healed = Instant::now();
    cluster.ends_before_complete(&victim, "far", &account, &jwt).await;
    victim.ends_in(PROMISED, healed).await;
    assert_eq!(outcomes(&cluster.complete(&account).await), ["far updated", "n1 not_loaded"]);
    assert_eq!(cluster.standing("far").await["cluster"], "there");
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_sweep_does_no_harm() {
    // So slow that a sweep takes six seconds.
    let slow = |launch: crate::support::Launch| launch.env("NAS_NATS__RECONCILE_RATE", "10");
    let cluster = Cluster::with(&[NEWEST], slow, |launch, primary| launch.asks(&primary.url)).await;
    let accounts: Vec<Account> = (0..60).map(|_| Account::new()).collect();
    for account in &accounts {
        cluster.primary.http.post(&account.path(), cluster.version(account)).await.expect(200);
        drop(login(cluster.nats[0].address(), &account.user()).await.unwrap());
    }
    // When everything that changed is compared, nothing but a sweep compares anything.
    until("what changed is compared", || async {
        let standing = cluster.standing("n1").await;
        standing["accounts_loaded"].as_u64() >= Some(61) && standing["accounts_pending"] == 0
    })
    .await;
    let before = cluster.standing("n1").await;
    until("a sweep is under way", || async {
        cluster.standing("n1").await["last_compared"].as_i64() > before["last_compared"].as_i64()
    })
    .await;
    assert_eq!(cluster.standing("n1").await["last_sweep"], before["last_sweep"]);
    cluster.wire.cut();
    cluster.connected(0.0).await;
    // One changes just now.
    let user = accounts[30].user();
    let victim = login(cluster.nats[0].address(), &user).await.unwrap();
    let (jwt, _) = cluster.revoke(&accounts[30], &user).await;
    cluster.wire.heal();
    let healed = Instant::now();
    cluster.ends_before_complete(&victim, "n1", &accounts[30], &jwt).await;
    victim.ends_in(PROMISED, healed).await;
    until("a sweep has ended", || async {
        let standing = cluster.standing("n1").await;
        standing["in_sync"] == true && standing["last_sweep"].as_i64() > before["last_sweep"].as_i64()
    })
    .await;
    // What was equal was not taken for older. The one that changed may be compared before it is announced again.
    let repairs = cluster.primary.http.metric("repairs_total", "").await;
    assert!(repairs <= 1.0, "{repairs} repairs");
    assert_eq!(cluster.primary.http.metric("nats_slow_consumer_messages_total", "").await, 0.0);
    stream::iter(&accounts).for_each(|account| async { drop(cluster.complete(account).await) }).await;
}
