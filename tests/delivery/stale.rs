//! A replica that is cut off goes on serving what it has, and nats-servers load it.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, outcomes};
use crate::support::login::{Session, login};
use crate::support::mint::User;
use crate::support::{Account, NatsServer, Proxy, Server, until};

/// The promise: so long after the fault is over the change is in force.
const PROMISED: Duration = Duration::from_secs(10);

/// A replica and a nats-server that asks it, far away from the primary and its nats-server.
struct Region {
    cluster: Cluster,
    /// Between the nats-servers.
    wan: Proxy,
    /// Between the replica and the primary.
    feed: Proxy,
    replica: Server,
}

/// An account of which the primary revoked a user, and the replica does not know.
struct Stale {
    account: Account,
    user: User,
    jwt: String,
}

impl Region {
    async fn new() -> Self {
        let (cluster, wan) = Cluster::with_leafnodes().await;
        let feed = Proxy::to(cluster.primary.host()).await;
        let replica = Server::replica(&cluster.operator, &feed.url()).await;
        // A nats-server that starts asks for the system account first.
        replica.http.get(&cluster.operator.system().path()).await.expect(200);
        Self { cluster, wan, feed, replica }
    }

    async fn nats(&self) -> NatsServer {
        self.cluster.leafnode("far", &self.wan, |launch| launch.asks(&self.replica.url)).await
    }

    /// Cuts the replica off while it serves what is then changed.
    async fn cut(&self) -> Stale {
        let account = self.cluster.open().await;
        let user = account.user();
        let old = self.cluster.primary.http.get(&account.path()).await.expect(200).body;
        until("the replica serves it", || async { self.replica.http.get(&account.path()).await.body == old }).await;
        self.feed.cut();
        let (jwt, _) = self.cluster.revoke(&account, &user).await;
        assert_eq!(self.replica.http.get(&account.path()).await.expect(200).body, old);
        Stale { account, user, jwt }
    }

    /// Whether the replica is all that keeps the change from being complete.
    async fn is_named(&self, stale: &Stale) -> bool {
        let known = self.cluster.known(&stale.account, &stale.jwt).await;
        let behind = known["replicas_behind"].as_array().unwrap();
        assert_eq!((&known["complete"], behind.len()), (&false.into(), 1), "{known}");
        behind[0]["serial"].as_i64() < known["serial"].as_i64()
    }

    /// Waits until the revoked user is cut off, and looks at what is left.
    async fn is_repaired(&self, far: &NatsServer, stale: &Stale, session: &Session, since: Instant) {
        session.ends_in(PROMISED, since).await;
        let system = self.cluster.system_client().await;
        assert_eq!(self.cluster.runs(&system, &far.id().await, &stale.account).await, stale.jwt);
        assert!(login(far.address(), &stale.user).await.is_err(), "the revoked user is let in again");
    }
}

#[tokio::test]
async fn a_nats_server_that_starts_at_a_stale_replica_is_repaired_while_the_replica_is_cut_off() {
    let region = Region::new().await;
    let stale = region.cut().await;
    let far = region.nats().await;
    let (session, since) = (login(far.address(), &stale.user).await.unwrap(), Instant::now());
    region.cluster.ends_before_complete(&session, "far", &stale.account, &stale.jwt).await;
    region.is_repaired(&far, &stale, &session, since).await;
    assert_ne!(region.replica.http.get(&stale.account.path()).await.expect(200).body, stale.jwt);
    // Another nats-server may load it there.
    assert!(region.is_named(&stale).await);
    // It is told of what it has loaded, and keeps that when the replica is back.
    region.feed.heal();
    until("the replica catches up", || async {
        region.replica.http.get(&stale.account.path()).await.body == stale.jwt
    })
    .await;
    assert!(login(far.address(), &stale.user).await.is_err(), "the revoked user is let in again");
    assert_eq!(outcomes(&region.cluster.complete(&stale.account).await), ["far updated", "n1 not_loaded"]);
}

#[tokio::test]
async fn a_nats_server_that_starts_in_a_region_that_is_cut_off_is_repaired_when_it_is_back() {
    let region = Region::new().await;
    let stale = region.cut().await;
    region.wan.cut();
    let far = region.nats().await;
    let session = login(far.address(), &stale.user).await.unwrap();
    region.feed.heal();
    region.wan.heal();
    let healed = Instant::now();
    region.cluster.ends_before_complete(&session, "far", &stale.account, &stale.jwt).await;
    region.is_repaired(&far, &stale, &session, healed).await;
}

#[tokio::test]
async fn a_nats_server_that_loads_from_a_stale_replica_long_after_the_change_is_repaired() {
    let region = Region::new().await;
    let far = region.nats().await;
    region.cluster.knows(2).await;
    let stale = region.cut().await;
    until("both have said that they have not loaded it", || async {
        outcomes(&region.cluster.known(&stale.account, &stale.jwt).await) == ["far not_loaded", "n1 not_loaded"]
    })
    .await;
    // For longer than a fetch takes: that alone proves nothing while a replica is behind.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(region.is_named(&stale).await);
    let session = login(far.address(), &stale.user).await.unwrap();
    region.feed.heal();
    let healed = Instant::now();
    region.cluster.ends_before_complete(&session, "far", &stale.account, &stale.jwt).await;
    region.is_repaired(&far, &stale, &session, healed).await;
}
