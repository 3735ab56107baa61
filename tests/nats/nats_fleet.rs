//! Real nats-servers whose resolver is a replica: what is pushed at the primary takes effect in them while they run.
use std::path::PathBuf;

use crate::support::mint::User;
use crate::support::{Account, Launch, NatsServer, Operator, Proxy, Server, now, settled, until, within};
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;

/// The release to use where releases do not differ.
const NEWEST: &str = "2.15.1";

/// A primary, a replica, and a nats-server that asks the replica. Primary and replica reach the nats-server through a
/// proxy, because they start before it.
struct Fleet {
    operator: Operator,
    primary: Server,
    /// Between the replica and its primary.
    link: Proxy,
    replica: Server,
    /// Between everybody and the nats-server.
    wire: Proxy,
    nats: NatsServer,
    /// The last `iat` that was pushed: each push is newer than the one before.
    iat: std::cell::Cell<i64>,
    creds: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn start(version: &str) -> Self {
        let (operator, folder, wire) = (Operator::new(), tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        let primary = Launch::primary(&operator).dir(folder.path()).nats(wire.address(), &creds).start().await;
        let link = Proxy::to(primary.host()).await;
        let replica = Launch::replica(&operator, &link.url()).nats(wire.address(), &creds).start().await;
        primary.http.post(&operator.system().path(), operator.account(operator.system(), 90_000)).await.expect(200);
        let nats = NatsServer::start(version, &operator, &replica.url).await;
        wire.lead_to(nats.address());
        let iat = std::cell::Cell::new(now() - 80_000);
        let fleet = Self { operator, primary, link, replica, wire, nats, iat, creds, _folder: folder };
        for server in [&fleet.primary, &fleet.replica] {
            connected(server, 1.0).await;
        }
        fleet
    }

    fn next_iat(&self) -> i64 {
        self.iat.set(self.iat.get() + 1);
        self.iat.get()
    }

    /// Pushes claims at the primary.
    async fn push(&self, account: &Account, claims: &serde_json::Value) -> String {
        let jwt = self.operator.sign(claims);
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        jwt
    }

    /// Pushes an account without limits.
    async fn open(&self) -> Account {
        let account = Account::new();
        self.push(&account, &account.claims(self.next_iat())).await;
        account
    }

    /// A client of the nats-server itself.
    async fn client(&self, user: &User) -> Result<Client, async_nats::ConnectError> {
        let options = ConnectOptions::with_credentials(&user.creds()).unwrap();
        within("a connection", options.connect(format!("nats://{}", self.nats.address()))).await
    }

    /// A client of the system account.
    async fn system_client(&self) -> Client {
        let options = ConnectOptions::with_credentials_file(&self.creds).await.unwrap();
        within("a connection", options.connect(format!("nats://{}", self.nats.address()))).await.unwrap()
    }

    /// Waits until the primary has nothing left to announce.
    async fn all_is_announced(&self) {
        until("all is announced", || async { self.primary.http.metric("announce_pending", "").await == 0.0 }).await;
    }

    /// Limits an account to one connection, which closes all but one.
    async fn allow_one_connection(&self, account: &Account) {
        self.push(account, &account.with_connections(self.next_iat(), 1)).await;
    }
}

/// Waits until a server says whether it is connected to NATS.
async fn connected(server: &Server, value: f64) {
    until("the connection to NATS is as it should be", || async {
        server.http.metric("nats_connected", "").await == value
    })
    .await;
}

fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// What must hold with every release of nats-server.
async fn changes_take_effect(version: &str) {
    let fleet = Fleet::start(version).await;
    let account = fleet.open().await;
    let (first, second, third) = (account.user(), account.user(), account.user());
    let clients = [fleet.client(&first).await.unwrap(), fleet.client(&second).await.unwrap()];
    let mut heard = clients[0].subscribe("greeting").await.unwrap();
    settled(&clients[0]).await;
    clients[1].publish("greeting", "hello".into()).await.unwrap();
    assert_eq!(within("a message", heard.next()).await.unwrap().payload, "hello");

    // An account that nobody pushed, and one of a foreign operator.
    let stranger = Account::new();
    assert!(fleet.client(&stranger.user()).await.is_err(), "an unknown account is let in");
    fleet.primary.http.post(&stranger.path(), Operator::new().account(&stranger, 10)).await.expect(400);
    assert!(fleet.client(&stranger.user()).await.is_err(), "a foreign account is let in");

    // A limit.
    fleet.allow_one_connection(&account).await;
    until("one of two connections is closed", || async { clients.iter().filter(|client| is_up(client)).count() == 1 })
        .await;
    assert!(fleet.client(&third).await.is_err(), "a connection above the limit is let in");
    fleet.push(&account, &account.claims(fleet.next_iat())).await;
    until("the limit is lifted", || async { fleet.client(&third).await.is_ok() }).await;
    until("both are connected", || async { clients.iter().all(is_up) }).await;

    // A revocation.
    fleet.push(&account, &account.with_revocation(fleet.next_iat(), &first)).await;
    until("the revoked user is cut off", || async { !is_up(&clients[0]) }).await;
    assert!(fleet.client(&first).await.is_err(), "a revoked user is let in again");
    assert!(is_up(&clients[1]), "another user stays");
    fleet.client(&third).await.unwrap();

    // The nats-server said that it took what it was told.
    let metrics = &fleet.primary.http;
    assert!(metrics.metric("announce_replies_total", "result=\"updated\"").await >= 3.0);
    assert_eq!(metrics.metric("announce_replies_total", "result=\"error\"").await, 0.0);
    fleet.primary.logs(&format!("announced JWT of {}: test-{version} updated in ", account.called())).await;
    assert!(!fleet.nats.log().contains("[ERR] Error fetching"), "{}", fleet.nats.log());
}

#[tokio::test]
async fn changes_take_effect_in_a_running_nats_server_2_10() {
    changes_take_effect("2.10.26").await;
}

#[tokio::test]
async fn changes_take_effect_in_a_running_nats_server_2_12() {
    changes_take_effect("2.12.8").await;
}

#[tokio::test]
async fn changes_take_effect_in_a_running_nats_server_2_15() {
    changes_take_effect("2.15.1").await;
}

#[tokio::test]
async fn what_changed_while_nats_was_away_is_announced_when_it_is_back() {
    let fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    let (user, other) = (account.user(), account.user());
    let (revoked, kept) = (fleet.client(&user).await.unwrap(), fleet.client(&other).await.unwrap());
    fleet.all_is_announced().await;
    fleet.wire.cut();
    connected(&fleet.primary, 0.0).await;
    fleet.push(&account, &account.with_revocation(fleet.next_iat(), &user)).await;
    until("it waits", || async { fleet.primary.http.metric("announce_pending", "").await >= 1.0 }).await;
    assert!(is_up(&revoked));
    fleet.wire.heal();
    until("the revocation arrives", || async { !is_up(&revoked) }).await;
    assert!(is_up(&kept));
}

#[tokio::test]
async fn what_a_killed_primary_had_not_announced_is_announced_by_the_next() {
    let mut fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    let user = account.user();
    let client = fleet.client(&user).await.unwrap();
    fleet.all_is_announced().await;
    fleet.wire.cut();
    connected(&fleet.primary, 0.0).await;
    fleet.push(&account, &account.with_revocation(fleet.next_iat(), &user)).await;
    fleet.primary = fleet.primary.restart().await;
    assert!(is_up(&client));
    fleet.wire.heal();
    until("the revocation arrives", || async { !is_up(&client) }).await;
}

#[tokio::test]
async fn http_goes_on_without_nats_and_after_it() {
    let fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    // Killed, as far as we can see from here.
    fleet.wire.cut();
    for server in [&fleet.primary, &fleet.replica] {
        connected(server, 0.0).await;
    }
    let jwt = fleet.push(&account, &account.claims(fleet.next_iat())).await;
    until("the change has come by the feed", || async { fleet.replica.http.get(&account.path()).await.body == jwt })
        .await;
    for server in [&fleet.primary, &fleet.replica] {
        server.http.get("/readyz").await.expect(200);
    }
    let notify = format!("{}?notify=true", account.path());
    assert!(fleet.primary.http.get(&notify).await.expect(503).body.contains("no connection to NATS"));
}

#[tokio::test]
async fn a_killed_nats_server_is_found_again_wherever_it_comes_up() {
    let mut fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    fleet.nats = NatsServer::start("2.12.8", &fleet.operator, &fleet.replica.url).await;
    connected(&fleet.primary, 0.0).await;
    fleet.wire.lead_to(fleet.nats.address());
    for server in [&fleet.primary, &fleet.replica] {
        connected(server, 1.0).await;
    }
    let user = account.user();
    let client = fleet.client(&user).await.unwrap();
    fleet.push(&account, &account.with_revocation(fleet.next_iat(), &user)).await;
    until("the revocation arrives", || async { !is_up(&client) }).await;
}

#[tokio::test]
async fn a_replica_cut_off_from_its_primary_hears_changes_over_nats() {
    let fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    fleet.replica.http.get(&account.path()).await.expect(200);
    fleet.link.cut();
    until("the feed is lost", || async { fleet.replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    let jwt = fleet.push(&account, &account.claims(fleet.next_iat())).await;
    until("the change is heard", || async { fleet.replica.http.get(&account.path()).await.body == jwt }).await;
}

#[tokio::test]
async fn what_is_forged_on_nats_reaches_no_replica() {
    let fleet = Fleet::start(NEWEST).await;
    let account = fleet.open().await;
    let held = fleet.replica.http.get(&account.path()).await.expect(200).body;
    let system = fleet.system_client().await;
    let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", account.key());
    let offers = [
        ("untrusted", Operator::new().account(&account, 0)),
        ("issuer_kind", account.sign(&account.claims(now()))),
        ("wrong_account", fleet.operator.account(&Account::new(), 0)),
        ("older", fleet.operator.account(&account, 95_000)),
        ("undecodable", "{\"hello\":1}".to_owned()),
    ];
    for (reason, offer) in offers {
        system.publish(subject.clone(), offer.into()).await.unwrap();
        let label = format!("path=\"hint\",reason=\"{reason}\"");
        until(&format!("it is refused: {reason}"), || async {
            fleet.replica.http.metric("refused_total", &label).await == 1.0
        })
        .await;
        assert_eq!(fleet.replica.http.get(&account.path()).await.body, held);
    }
    assert_eq!(fleet.primary.http.get(&account.path()).await.body, held);
}

#[tokio::test]
async fn notify_announces_again_and_not_too_often() {
    let fleet = Fleet::start(NEWEST).await;
    let system = fleet.system_client().await;
    let account = Account::new();
    let mut heard = system.subscribe(format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", account.key())).await.unwrap();
    settled(&system).await;
    let jwt = fleet.push(&account, &account.claims(fleet.next_iat())).await;
    assert_eq!(within("a message", heard.next()).await.unwrap().payload, jwt);
    let notify = format!("{}?notify=true", account.path());
    assert_eq!(fleet.primary.http.get(&notify).await.expect(200).body, jwt);
    assert_eq!(within("a message", heard.next()).await.unwrap().payload, jwt);
    let refused = fleet.primary.http.get(&notify).await.expect(429);
    assert_eq!(refused.header("retry-after"), "10");
    let mut allowed = 0;
    for _ in 0..20 {
        let account = fleet.open().await;
        match fleet.primary.http.get(&format!("{}?notify=true", account.path())).await.status {
            200 => allowed += 1,
            429 => {}
            other => panic!("status {other}"),
        }
    }
    assert!((1..20).contains(&allowed), "{allowed} of 20 at once");
}

#[tokio::test]
async fn a_folder_found_at_the_first_start_is_not_announced() {
    let (operator, folder, wire) = (Operator::new(), tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
    let creds = folder.path().join("system.creds");
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let account = Account::new();
    for account in [&account, operator.system()] {
        let jwt = operator.account(account, 1_000);
        std::fs::write(folder.path().join(format!("{}.jwt", account.key())), jwt).unwrap();
    }
    let primary = Launch::primary(&operator).dir(folder.path()).nats(wire.address(), &creds).start().await;
    // The primary itself is a resolver, too.
    let nats = NatsServer::start(NEWEST, &operator, &primary.url).await;
    wire.lead_to(nats.address());
    connected(&primary, 1.0).await;
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the push is announced", || async { primary.http.metric("announced_total", "").await == 1.0 }).await;
}
