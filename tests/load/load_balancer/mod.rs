//! Behind a load balancer: nothing is lost while servers come and go, and clients that take nothing are cut off.
// Says which tests were skipped.
mod drain;
mod load;
mod slow_clients;
mod smuggling;
mod through;

use crate::support::haproxy::HaProxy;
use crate::support::{Account, Launch, NatsServer, Operator, Server, until};
use load::Load;

const NATS: &str = "2.12.8";

#[tokio::test]
async fn servers_behind_haproxy_are_restarted_and_killed_and_no_read_fails() {
    let Some(ports) = HaProxy::or_skip() else { return };
    let operator = Operator::new();
    let accounts: Vec<Account> = (0..20).map(|_| Account::new()).collect();
    let drain = |launch: Launch| launch.env("NAS_HTTP__DRAIN_DELAY", "1500ms").env("NAS_REPLICA__TIMEOUT", "600ms");
    let primary = drain(Launch::primary(&operator).at(&ports.primary)).start().await;
    let replica = |at: &str| drain(Launch::replica(&operator, &primary.url).at(at)).start();
    let mut replicas = vec![replica(&ports.replicas[0]).await, replica(&ports.replicas[1]).await];
    let balancer = HaProxy::start(&ports).await;
    for account in accounts.iter().chain([operator.system()]) {
        balancer.http.post(&account.path(), operator.account(account, 1000)).await.expect(200);
    }
    // The feed, which only the primary has; the operator's JWT is its first change.
    assert_eq!(balancer.http.get("/jwt/v1/changes?after=0").await.expect(200).json()["head"], 22);
    balancer.http.get("/metrics").await.expect(404);
    balancer.http.get("/load-balancer/healthz").await.expect(200);

    let load = Load::begin(&balancer.http, operator, accounts);
    for _ in 0..2 {
        let restarted = replicas.remove(0).stop_and_start().await;
        serves(&restarted).await;
        replicas.push(restarted);
    }
    balancer.reload().await;
    load.goes_on().await;
    let mut killed = replicas.remove(0);
    killed.kill();
    load.goes_on().await;
    let restarted = killed.restart().await;
    serves(&restarted).await;
    let nats = NatsServer::start(NATS, load.operator(), balancer.url()).await;
    assert!(!nats.log().contains("[ERR]"), "{}", nats.log());
    load.end().await;
}

/// Waits until the load balancer sends reads to a replica.
async fn serves(replica: &Server) {
    until("the replica is asked", || async {
        replica.http.metric("http_requests_total", "route=\"account\"").await > 10.0
    })
    .await;
}
