//! A nats-server that runs something newer than what is stored here: somebody told it while we were away.

use async_nats::{Client, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::login::login;
use crate::support::{Account, now, until, within};

/// A nats-server that has loaded an account while the primary was there, which it is not now.
struct World {
    cluster: Cluster,
    account: Account,
    system: Client,
    id: String,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::one().await;
        let account = cluster.open().await;
        drop(login(cluster.nats[0].address(), &account.user()).await.unwrap());
        cluster.complete(&account).await;
        let (system, id) = (cluster.system_client().await, cluster.nats[0].id().await);
        Self { cluster, account, system, id }
    }

    /// The primary is stopped. Everything was announced long before.
    async fn stopped() -> Self {
        let mut world = Self::new().await;
        let head = world.cluster.page(&world.account).await["serial"].as_i64().unwrap();
        world.cluster.primary.signal("TERM");
        world.cluster.primary.exit().await;
        world.cluster.set_cursor("nats", head);
        world
    }

    async fn started(mut self) -> Self {
        self.cluster.primary = self.cluster.primary.restart().await;
        self
    }

    /// Tells the nats-server of a JWT, as a tool does. Returns what is heard from then on.
    async fn tell(&self, jwt: &str) -> Subscriber {
        let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", self.account.key());
        let answer = within("an answer", self.system.request(subject.clone(), jwt.to_owned().into())).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.payload).contains("jwt updated"), "{answer:?}");
        assert_eq!(self.runs().await, jwt);
        let heard = self.system.subscribe(subject).await.unwrap();
        self.system.flush().await.unwrap();
        heard
    }

    async fn runs(&self) -> String {
        self.cluster.runs(&self.system, &self.id, &self.account).await
    }

    async fn held(&self) -> String {
        self.cluster.primary.http.get(&self.account.path()).await.expect(200).body
    }

    /// What `/api/v1/servers` lists as behind there.
    async fn behind(&self) -> Option<Value> {
        let standing = self.cluster.standing("n1").await;
        standing["behind"].as_array()?.iter().find(|one| one["account"] == self.account.key()).cloned()
    }
}

/// Fails if anything but `jwt` was announced.
fn only(heard: &mut Subscriber, jwt: &str) {
    while let Some(Some(message)) = heard.next().now_or_never() {
        assert_eq!(message.payload, jwt, "something else was announced over it");
    }
}

impl World {
    /// Waits until the newer JWT is stored, over which nothing may have been announced.
    async fn stores(&self, newer: &str, mut heard: Subscriber) {
        until("it is stored", || async { self.held().await == newer }).await;
        self.cluster.complete(&self.account).await;
        assert_eq!(self.runs().await, newer);
        only(&mut heard, newer);
    }
}

#[tokio::test]
async fn a_newer_jwt_that_a_nats_server_runs_is_stored_and_nothing_older_is_announced_over_it() {
    let world = World::stopped().await;
    let newer = world.cluster.version(&world.account);
    let heard = world.tell(&newer).await;
    let world = world.started().await;
    world.stores(&newer, heard).await;
}

#[tokio::test]
async fn the_same_if_the_older_one_was_announced_shortly_before_the_connection_broke() {
    let world = World::new().await;
    world.cluster.wire.cut();
    world.cluster.connected(0.0).await;
    let newer = world.cluster.version(&world.account);
    let heard = world.tell(&newer).await;
    world.cluster.wire.heal();
    world.stores(&newer, heard).await;
}

#[tokio::test]
async fn a_newer_jwt_that_is_rejected_here_is_shown_and_not_overwritten() {
    let world = World::stopped().await;
    let iat = now() + 7_200;
    let newer = world.cluster.operator.sign(&world.account.claims(iat));
    let mut heard = world.tell(&newer).await;
    let world = world.started().await;
    until("it is shown", || async { world.behind().await.is_some() }).await;
    let found = world.behind().await.unwrap();
    assert!(found["error"].as_str().unwrap().contains("future"), "{found}");
    assert_eq!(found["runs"]["iat"], iat, "{found}");
    let page = world.cluster.page(&world.account).await;
    assert_eq!((&page["servers"][0]["outcome"], &page["complete"]), (&"error".into(), &false.into()), "{page}");
    assert_ne!(world.held().await, newer);
    assert_eq!(world.runs().await, newer);
    only(&mut heard, &newer);
}
