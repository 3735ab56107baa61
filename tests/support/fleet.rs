//! A primary and nats-servers that ask it, with a client of the system account that speaks as tools do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, Message};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::nats_server::OWN_FOLDER;
use super::{Account, Launch, NatsLaunch, NatsServer, Operator, Proxy, Server, now, until, within};

/// The release to use where releases do not differ.
pub(crate) const NEWEST: &str = "2.15.1";
/// Releases that are asked where they may differ.
pub(crate) const VERSIONS: [&str; 3] = ["2.10.26", "2.12.8", NEWEST];

/// The release, or the newest one where it is missing.
#[allow(clippy::print_stdout)]
pub(crate) fn or_newest(version: &'static str) -> &'static str {
    if NatsServer::has(version) {
        return version;
    }
    println!("skipped: nats-server {version} is missing");
    NEWEST
}

pub(crate) const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";
pub(crate) const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
pub(crate) const DELETE: &str = "$SYS.REQ.CLAIMS.DELETE";
pub(crate) const PACK: &str = "$SYS.REQ.CLAIMS.PACK";

/// How long answers are collected where more than one may come, or none should.
const WINDOW: Duration = Duration::from_millis(700);

pub(crate) struct Fleet {
    pub(crate) operator: Operator,
    pub(crate) primary: Server,
    pub(crate) nats: NatsServer,
    /// A tool's connection, which is not told of what it says itself.
    pub(crate) system: Client,
    /// Between the primary and the nats-server.
    pub(crate) wire: Proxy,
    pub(crate) creds: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

impl Fleet {
    /// A nats-server whose URL resolver is the primary.
    pub(crate) async fn url(version: &str) -> Self {
        Self::with(version, |launch| launch).await
    }

    /// The same, with a primary that is started in another way.
    pub(crate) async fn with(version: &str, setup: impl FnOnce(Launch) -> Launch) -> Self {
        Self::of(version, Operator::new(), setup, |launch, primary, _| launch.asks(&primary.url)).await
    }

    /// A nats-server with a full resolver in a folder of its own, and a primary.
    pub(crate) async fn full(version: &str, setup: impl FnOnce(Launch) -> Launch) -> Self {
        Self::of(version, Operator::new(), setup, |launch, _, system| {
            launch.with(&format!(
                "resolver: {{ type: full, dir: \"{OWN_FOLDER}/jwt\", allow_delete: true, interval: \"1s\" }}\n\
                 resolver_preload: {{ {system} }}"
            ))
        })
        .await
    }

    /// As said by `resolver`, and with a primary that knows which resolvers are there.
    pub(crate) async fn of(
        version: &str,
        operator: Operator,
        setup: impl FnOnce(Launch) -> Launch,
        resolver: impl FnOnce(NatsLaunch, &Server, String) -> NatsLaunch,
    ) -> Self {
        let fleet = Self::start(version, operator, setup, resolver).await;
        fleet.is_connected().await;
        fleet
    }

    /// The same, with a primary that may still be connecting.
    pub(crate) async fn start(
        version: &str,
        operator: Operator,
        setup: impl FnOnce(Launch) -> Launch,
        resolver: impl FnOnce(NatsLaunch, &Server, String) -> NatsLaunch,
    ) -> Self {
        let (folder, wire) = (tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let creds = folder.path().join("system.creds");
        // A strict operator wants users to be signed by a signing key.
        let (system, signing) = (operator.system(), nkeys::KeyPair::new_account());
        let system_jwt = operator.sign(&system.with_signing_key(now() - 90_000, &signing));
        std::fs::write(&creds, system.user_of(&signing).creds()).unwrap();
        let launch = Launch::primary(&operator).dir(folder.path()).nats(wire.address(), &creds);
        let primary = setup(launch).start().await;
        primary.http.post(&system.path(), system_jwt.clone()).await.expect(200);
        let preload = format!("{}: {system_jwt}", system.key());
        let nats = resolver(NatsLaunch::new(version, &operator), &primary, preload).start().await;
        wire.lead_to(nats.address());
        let system = tool(&creds, nats.address()).await;
        Self { operator, primary, nats, system, wire, creds, folder }
    }

    /// A connection of another tool.
    pub(crate) async fn another(&self) -> Client {
        tool(&self.creds, self.nats.address()).await
    }

    /// Waits until the primary is connected and knows which resolvers are there.
    pub(crate) async fn is_connected(&self) {
        until("the primary is connected", || async { self.primary.http.metric("nats_connected", "").await == 1.0 })
            .await;
        until("the primary knows which resolvers are there", || async {
            let ready = self.resolver_line().await;
            !ready.contains("not known yet")
        })
        .await;
    }

    /// What the readiness report says of the resolver.
    pub(crate) async fn resolver_line(&self) -> String {
        let report = self.primary.http.get("/readyz?verbose").await.body;
        report.lines().find(|line| line.contains("resolver")).unwrap_or_default().to_owned()
    }

    /// The one answer to a request.
    pub(crate) async fn ask(&self, subject: &str, payload: impl Into<bytes::Bytes>) -> Value {
        json(&self.request(subject, payload).await)
    }

    pub(crate) async fn request(&self, subject: &str, payload: impl Into<bytes::Bytes>) -> Message {
        within("an answer", self.system.request(subject.to_owned(), payload.into())).await.unwrap()
    }

    /// All answers that come within a while.
    pub(crate) async fn ask_all(&self, subject: &str, payload: impl Into<bytes::Bytes>) -> Vec<Message> {
        self.ask_with(subject, HeaderMap::new(), payload).await
    }

    pub(crate) async fn ask_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: impl Into<bytes::Bytes>,
    ) -> Vec<Message> {
        let inbox = self.system.new_inbox();
        let mut answers = self.system.subscribe(inbox.clone()).await.unwrap();
        let (subject, payload) = (subject.to_owned(), payload.into());
        if headers.is_empty() {
            self.system.publish_with_reply(subject, inbox, payload).await.unwrap();
        } else {
            self.system.publish_with_reply_and_headers(subject, inbox, headers, payload).await.unwrap();
        }
        let mut found = Vec::new();
        while let Ok(Some(answer)) = tokio::time::timeout(WINDOW, answers.next()).await {
            found.push(answer);
        }
        found
    }

    /// Those of the answers that are ours.
    pub(crate) fn ours(answers: &[Message]) -> Vec<Value> {
        let answers = answers.iter().filter(|answer| answer.status.is_none()).map(json);
        answers.filter(|answer| answer["server"]["name"] == "nats-account-server").collect()
    }

    /// A pack, to its end: the lines, without the empty message behind them.
    pub(crate) async fn pack(&self, hash: impl Into<bytes::Bytes>) -> Vec<String> {
        let inbox = self.system.new_inbox();
        let mut lines = self.system.subscribe(inbox.clone()).await.unwrap();
        self.system.publish_with_reply(PACK, inbox, hash.into()).await.unwrap();
        let mut found = Vec::new();
        loop {
            let line = within("the end of the pack", lines.next()).await.unwrap();
            assert!(line.status.is_none(), "nobody answers PACK");
            if line.payload.is_empty() {
                return found;
            }
            found.push(String::from_utf8(line.payload.to_vec()).unwrap());
        }
    }

    /// Pushes a new account, issued `age` seconds ago.
    pub(crate) async fn open(&self, age: i64) -> (Account, String) {
        let account = Account::new();
        let jwt = self.operator.account(&account, age);
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        (account, jwt)
    }

    /// What the primary serves over HTTP; empty if nothing.
    pub(crate) async fn held(&self, account: &Account) -> String {
        let reply = self.primary.http.get(&account.path()).await;
        if reply.status == 200 { reply.body } else { String::new() }
    }

    /// Packs that were given, in whatever way.
    pub(crate) async fn packs_given(&self) -> f64 {
        self.primary.http.metric("nats_requests_total", "operation=\"pack\"").await
    }

    /// A counter of requests.
    pub(crate) async fn counted(&self, operation: &str, outcome: &str) -> f64 {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
        self.primary.http.metric("nats_requests_total", &labels).await
    }
}

pub(crate) fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap_or_else(|_| panic!("no JSON: {:?}", message.payload))
}

pub(crate) fn lookup(key: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP")
}

/// Connects to a nats-server without being told of what one says oneself.
pub(crate) async fn tool(creds: &Path, address: &str) -> Client {
    let options = ConnectOptions::with_credentials_file(creds).await.unwrap().no_echo();
    within("a connection", options.connect(format!("nats://{address}"))).await.unwrap()
}

pub(crate) fn update(key: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.UPDATE")
}

/// Claims of now that allow so many connections.
pub(crate) fn limited(account: &Account, connections: i64) -> Value {
    account.with_connections(now(), connections)
}
