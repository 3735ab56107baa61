//! Three nats-servers of three releases in a cluster, with the primary as their resolver.

use std::cell::Cell;
use std::path::PathBuf;

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::support::mint::User;
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, Proxy, Server, now, until, within};

/// A primary with its nats-servers, which it reaches through a proxy.
pub(crate) struct Cluster {
    pub(crate) operator: Operator,
    pub(crate) primary: Server,
    pub(crate) wire: Proxy,
    pub(crate) nats: Vec<NatsServer>,
    iat: Cell<i64>,
    creds: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    /// Three nats-servers, `n1` to `n3`, of which the primary knows.
    pub(crate) async fn three() -> Self {
        Self::of(&["2.10.26", "2.12.8", "2.15.1"]).await
    }

    /// One nats-server.
    pub(crate) async fn one() -> Self {
        Self::of(&["2.15.1"]).await
    }

    async fn of(versions: &[&str]) -> Self {
        let cluster = Self::unconnected(versions, None).await;
        cluster.wire.lead_to(cluster.nats[0].address());
        cluster.knows(versions.len()).await;
        cluster
    }

    /// One nats-server that takes leafnode connections on this port.
    pub(crate) async fn with_leafnodes_at(port: u16) -> Self {
        let cluster = Self::unconnected(&["2.15.1"], Some(port)).await;
        cluster.wire.lead_to(cluster.nats[0].address());
        cluster.knows(1).await;
        cluster
    }

    /// A nats-server without a cluster that takes part in the system account as a leafnode of what is at `address`.
    pub(crate) async fn leafnode(&self, name: &str, address: &str) -> NatsServer {
        let remote = format!(
            "leafnodes {{ reconnect: 1, remotes: [{{ url: \"nats://{address}\", credentials: {:?}, account: {} }}] }}",
            self.creds,
            self.operator.system().key()
        );
        let launch = NatsLaunch::new("2.12.8", &self.operator).named(name).asks(&self.primary.url);
        launch.with(&remote).start().await
    }

    /// Nats-servers that the primary cannot reach yet.
    async fn unconnected(versions: &[&str], leaf_port: Option<u16>) -> Self {
        let (operator, folder, wire) = (Operator::new(), tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        // Short, so that a nats-server that was paused answers later than that.
        let launch = Launch::primary(&operator).env("NAS_NATS__RECEIPTS_TIMEOUT", "500ms");
        let primary = launch.dir(folder.path()).nats(wire.address(), &creds).start().await;
        primary.http.post(&operator.system().path(), operator.account(operator.system(), 90_000)).await.expect(200);
        let mut nats: Vec<NatsServer> = Vec::new();
        for (number, version) in versions.iter().enumerate() {
            let seed = nats.first().map(NatsServer::cluster_address);
            let launch = NatsLaunch::new(version, &operator).named(&format!("n{}", number + 1)).asks(&primary.url);
            let launch = match leaf_port {
                Some(port) => launch.with(&format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}")),
                None => launch.cluster(seed),
            };
            nats.push(launch.start().await);
        }
        let cluster = Self { operator, primary, wire, nats, iat: Cell::new(now() - 80_000), creds, folder };
        cluster.is_formed().await;
        cluster
    }

    /// Waits until the nats-servers know each other: a question at one is answered by all.
    async fn is_formed(&self) {
        let system = self.system_client().await;
        until("the cluster is formed", || async {
            let inbox = system.new_inbox();
            let mut answers = system.subscribe(inbox.clone()).await.unwrap();
            system.publish_with_reply("$SYS.REQ.SERVER.PING", inbox, "".into()).await.unwrap();
            let mut count = 0;
            while let Ok(Some(_)) = tokio::time::timeout(std::time::Duration::from_millis(200), answers.next()).await {
                count += 1;
            }
            count == self.nats.len()
        })
        .await;
    }

    /// Waits until the primary knows of so many nats-servers.
    pub(crate) async fn knows(&self, count: usize) {
        until(&format!("{count} nats-servers are known"), || async {
            self.primary.http.metric("nats_servers", "").await == count as f64
        })
        .await;
    }

    /// Waits until the primary says whether it is connected to NATS.
    pub(crate) async fn connected(&self, value: f64) {
        until("the connection to NATS is as it should be", || async {
            self.primary.http.metric("nats_connected", "").await == value
        })
        .await;
    }

    pub(crate) fn next_iat(&self) -> i64 {
        self.iat.set(self.iat.get() + 1);
        self.iat.get()
    }

    /// A new version of an account.
    pub(crate) fn version(&self, account: &Account) -> String {
        self.operator.sign(&account.claims(self.next_iat()))
    }

    /// Pushes an account without limits.
    pub(crate) async fn open(&self) -> Account {
        let account = Account::new();
        self.primary.http.post(&account.path(), self.version(&account)).await.expect(200);
        account
    }

    /// A client of the nats-server with this number.
    pub(crate) async fn client(&self, number: usize, user: &User) -> Client {
        let options = ConnectOptions::with_credentials(&user.creds()).unwrap();
        within("a connection", options.connect(format!("nats://{}", self.nats[number - 1].address()))).await.unwrap()
    }

    /// A client of the system account.
    pub(crate) async fn system_client(&self) -> Client {
        let options = ConnectOptions::with_credentials_file(&self.creds).await.unwrap();
        within("a connection", options.connect(format!("nats://{}", self.nats[0].address()))).await.unwrap()
    }

    /// What the primary tells of the way of an account's newest change.
    pub(crate) async fn page(&self, account: &Account) -> Value {
        self.primary.http.get(&page(account)).await.expect(200).json()
    }

    /// Waits until all nats-servers have answered an account's newest change.
    pub(crate) async fn complete(&self, account: &Account) -> Value {
        until("all have answered", || async { self.page(account).await["complete"] == true }).await;
        self.page(account).await
    }
}

/// The path of the page.
pub(crate) fn page(account: &Account) -> String {
    format!("{}/propagation", account.path())
}

/// The path of a push that waits for its receipts.
pub(crate) fn waiting(account: &Account, time: &str) -> String {
    format!("{}?wait={time}", account.path())
}

/// Names and outcomes, as in `n1 updated`, in the order of the names.
pub(crate) fn outcomes(page: &Value) -> Vec<String> {
    let servers = page["servers"].as_array().unwrap().iter();
    let mut found: Vec<String> = servers
        .map(|server| format!("{} {}", server["name"].as_str().unwrap(), server["outcome"].as_str().unwrap()))
        .collect();
    found.sort();
    found
}

/// The names of those that have not answered.
pub(crate) fn silent(page: &Value) -> Vec<&str> {
    page["silent"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect()
}
