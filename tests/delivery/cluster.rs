//! A primary and the nats-servers that it announces changes to.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;
use rusqlite::OptionalExtension as _;
use serde_json::Value;

pub(crate) use crate::support::fleet::{NEWEST, or_newest};
use crate::support::login::Session;
use crate::support::mint::User;
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, Proxy, Server, free_port, now, until, within};

/// A primary with its nats-servers, which it reaches through a proxy.
pub(crate) struct Cluster {
    pub(crate) operator: Operator,
    pub(crate) primary: Server,
    pub(crate) wire: Proxy,
    pub(crate) nats: Vec<NatsServer>,
    iat: Cell<i64>,
    pub(crate) creds: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    /// Three nats-servers, `n1` to `n3`, of which the primary knows.
    pub(crate) async fn three() -> Self {
        Self::of(&["2.10.26", "2.12.8", "2.15.1"]).await
    }

    /// One nats-server.
    pub(crate) async fn one() -> Self {
        Self::of(&[NEWEST]).await
    }

    async fn of(versions: &[&str]) -> Self {
        Self::with(versions, |launch| launch, |launch, primary| launch.asks(&primary.url)).await
    }

    /// One nats-server that takes leafnode connections, and a proxy to where it does.
    pub(crate) async fn with_leafnodes() -> (Self, Proxy) {
        Self::with_leafnodes_and(|launch| launch).await
    }

    /// The same, with a primary that is started in another way.
    pub(crate) async fn with_leafnodes_and(setup: impl FnOnce(Launch) -> Launch) -> (Self, Proxy) {
        let (port, link) = (free_port(), Proxy::to_nowhere().await);
        link.lead_to(&format!("127.0.0.1:{port}"));
        // Leafnodes are told of this address, and would find a way around the proxy.
        let advertise = link.address();
        let listen = format!("leafnodes {{ listen: \"127.0.0.1:{port}\", advertise: \"{advertise}\" }}");
        let cluster = Self::with(&[NEWEST], setup, |launch, primary| launch.asks(&primary.url).with(&listen)).await;
        (cluster, link)
    }

    /// A nats-server without a cluster that takes part in the system account as a leafnode of what `link` leads to. Its
    /// resolver is up to `nats`.
    pub(crate) async fn leafnode(
        &self,
        name: &str,
        link: &Proxy,
        nats: impl FnOnce(NatsLaunch) -> NatsLaunch,
    ) -> NatsServer {
        let remote = format!(
            "leafnodes {{ reconnect: \"1s\", remotes: [{{ url: \"nats://{}\", credentials: {:?}, account: {} }}] }}",
            link.address(),
            self.creds,
            self.operator.system().key()
        );
        nats(NatsLaunch::new("2.12.8", &self.operator).named(name)).with(&remote).start().await
    }

    /// Nats-servers that form a cluster, unless it is one, and that the primary knows of. `setup`: how the primary is
    /// started; `nats`: what else is configured in each nats-server, a resolver at least.
    pub(crate) async fn with(
        versions: &[&str],
        setup: impl FnOnce(Launch) -> Launch,
        nats: impl Fn(NatsLaunch, &Server) -> NatsLaunch,
    ) -> Self {
        let cluster = Self::unconnected(Operator::new(), versions, setup, nats).await;
        cluster.wire.lead_to(cluster.nats[0].address());
        cluster.knows(versions.len()).await;
        cluster
    }

    /// The same nats-servers, which the primary cannot reach yet.
    pub(crate) async fn unconnected(
        operator: Operator,
        versions: &[&str],
        setup: impl FnOnce(Launch) -> Launch,
        configure: impl Fn(NatsLaunch, &Server) -> NatsLaunch,
    ) -> Self {
        let (folder, wire) = (tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        // Short, so that a nats-server that was paused answers later than that.
        let launch = Launch::primary(&operator).env("NAS_NATS__RECEIPTS_TIMEOUT", "500ms");
        let primary = setup(launch.dir(folder.path()).nats(wire.address(), &creds)).start().await;
        primary.http.post(&operator.system().path(), operator.account(operator.system(), 90_000)).await.expect(200);
        let mut nats: Vec<NatsServer> = Vec::new();
        for (number, version) in versions.iter().enumerate() {
            let seed = nats.first().map(NatsServer::cluster_address);
            let launch = NatsLaunch::new(version, &operator).named(&format!("n{}", number + 1));
            let launch = configure(launch, &primary);
            nats.push(if versions.len() > 1 { launch.cluster(seed) } else { launch }.start().await);
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
            while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(200), answers.next()).await {
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

    /// Waits until the primary has nothing left to announce.
    pub(crate) async fn all_is_announced(&self) {
        until("all is announced", || async { self.primary.http.metric("announce_pending", "").await == 0.0 }).await;
    }

    /// Waits until the nats-server that takes leafnode connections has noticed that one is gone.
    pub(crate) async fn leafnode_is_away(&self) {
        until("the leafnode is away", || async { self.nats[0].log().contains("Leafnode connection closed") }).await;
    }

    fn journal(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join(".nats-account-server/journal.sqlite")).unwrap()
    }

    /// Up to which change the journal says that a nats-server was compared; 0 if it does not know it.
    pub(crate) fn compared(&self, id: &str) -> i64 {
        let serial = self.journal().query_row("SELECT compared FROM nats_server WHERE id = ?1", [id], |row| row.get(0));
        serial.optional().unwrap().unwrap_or(0)
    }

    /// Sets how far the journal of a stopped server says that one of its followers is. For `nats`: as if its connection
    /// had lived on for long.
    pub(crate) fn set_cursor(&self, name: &str, serial: i64) {
        let row = (name, serial);
        self.journal().execute("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)", row).unwrap();
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
        connect(&self.creds, self.nats[0].address()).await
    }

    /// What a nats-server runs of an account; empty if it has not loaded it. `system`: asks it.
    pub(crate) async fn runs(&self, system: &Client, id: &str, account: &Account) -> String {
        let request = serde_json::json!({ "account": account.key() }).to_string();
        let asked = system.request(format!("$SYS.REQ.SERVER.{id}.ACCOUNTZ"), request.into());
        let answer: Value = serde_json::from_slice(&within("an answer", asked).await.unwrap().payload).unwrap();
        answer["data"]["account_detail"]["jwt"].as_str().unwrap_or_default().to_owned()
    }

    /// Pushes a new version of an account that revokes a user. Returns it, and when it was acknowledged.
    pub(crate) async fn revoke(&self, account: &Account, user: &User) -> (String, Instant) {
        let jwt = self.operator.sign(&account.with_revocation(self.next_iat(), user));
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        (jwt, Instant::now())
    }

    /// What is known of a nats-server, as `/api/v1/servers` shows it; null if nothing is.
    pub(crate) async fn standing(&self, name: &str) -> Value {
        let report = self.primary.http.get("/api/v1/servers").await.expect(200).json();
        let mut servers = report["servers"].as_array().unwrap().iter();
        servers.find(|server| server["name"] == name).cloned().unwrap_or_default()
    }

    /// What is known of an account's newest change, `jwt`, without a comparison for that.
    pub(crate) async fn known(&self, account: &Account, jwt: &str) -> Value {
        let push = self.primary.http.request("POST", &waiting(account, "0s")).header("accept", "application/json");
        push.body(jwt.to_owned()).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until `session` is closed. Before that, nothing that tells of the nats-server `name` may say that the change
    /// that brought `jwt` is complete. Nothing is compared for that.
    pub(crate) async fn ends_before_complete(&self, session: &Session, name: &str, account: &Account, jwt: &str) {
        until("the connection is closed", || async {
            let known = self.known(account, jwt).await;
            if known["complete"] == true && of_server(&known, name).is_some() {
                // The end of the connection may still be on its way to us.
                session.ends_in(Duration::from_millis(300), Instant::now()).await;
            }
            !session.is_up()
        })
        .await;
    }

    /// What the primary tells of the way of an account's newest change. The nats-servers are compared for that.
    pub(crate) async fn page(&self, account: &Account) -> Value {
        self.primary.http.get(&page(account)).await.expect(200).json()
    }

    /// Waits until all nats-servers have answered an account's newest change.
    pub(crate) async fn complete(&self, account: &Account) -> Value {
        until("all have answered", || async { self.page(account).await["complete"] == true }).await;
        self.page(account).await
    }
}

/// A client of the nats-server at `address`.
pub(crate) async fn connect(creds: &Path, address: &str) -> Client {
    let options = ConnectOptions::with_credentials_file(creds).await.unwrap();
    within("a connection", options.connect(format!("nats://{address}"))).await.unwrap()
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

/// What a page tells of one nats-server.
pub(crate) fn of_server<'p>(page: &'p Value, name: &str) -> Option<&'p Value> {
    let all = ["servers", "silent"].into_iter().flat_map(|list| page[list].as_array().unwrap());
    all.into_iter().find(|server| server["name"] == name)
}

/// The names of those that have not answered.
pub(crate) fn silent(page: &Value) -> Vec<&str> {
    page["silent"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect()
}
