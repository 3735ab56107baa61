//! Which claims reach clients that are connected: what real nats-servers do, against what the library says of their release.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use nats_account_server::jwt::AccountJwt;
use nats_account_server::node::not_live;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::fleet::{Fleet, VERSIONS};
use super::pair::OLDEST;
use crate::support::mint::User;
use crate::support::{Account, NatsLaunch, NatsServer, Operator, PATIENCE, now, settled, until, within};

#[tokio::test]
async fn connected_clients_feel_what_the_table_says() {
    let oldest = NatsServer::has(OLDEST).then_some(OLDEST);
    join_all(VERSIONS.into_iter().chain(oldest).map(tried)).await;
}

async fn tried(version: &'static str) {
    let port = crate::support::free_port();
    let listen = format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}");
    let resolver = |launch: NatsLaunch, primary: &crate::support::Server, _| launch.asks(&primary.url).with(&listen);
    let fleet = Fleet::of(version, Operator::new(), |launch| launch, resolver).await;
    let at = At { version, fleet, leafnodes: format!("127.0.0.1:{port}") };
    tokio::join!(
        default_permissions(&at),
        authorization(&at),
        leafnodes(&at),
        data(&at),
        response_type(&at),
        trace(&at),
        closings(&at),
    );
}

/// A nats-server of one release.
struct At {
    version: &'static str,
    fleet: Fleet,
    leafnodes: String,
}

impl At {
    /// A new account with these claims beside open limits.
    async fn open(&self, claims: Value) -> Tried<'_> {
        self.hold(Account::new(), claims).await
    }

    async fn hold(&self, account: Account, claims: Value) -> Tried<'_> {
        let jwt = self.fleet.operator.sign(&with(account.claims(now() - 60), &claims));
        self.fleet.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        Tried { at: self, account, jwt }
    }

    async fn login(&self, user: &User) -> Result<Connected, async_nats::ConnectError> {
        let closed = Arc::new(AtomicBool::new(false));
        let noted = closed.clone();
        let options = ConnectOptions::with_credentials(&user.creds()).unwrap().event_callback(move |event| {
            noted.fetch_or(event == Event::Disconnected, Ordering::Relaxed);
            async {}
        });
        let client = options.connect(format!("nats://{}", self.fleet.nats.address())).await?;
        Ok(Connected { client, closed })
    }

    async fn client(&self, user: &User) -> Connected {
        within("a login", self.login(user)).await.unwrap()
    }

    /// What was seen has to be what the library said.
    fn compare(&self, claim: &str, missed: &[&str], live: bool) {
        assert_eq!(
            missed.contains(&claim),
            !live,
            "{claim} at {}: live {live}, said to be missed: {missed:?}",
            self.version
        );
    }
}

/// A connection that remembers whether it was ever closed.
struct Connected {
    client: Client,
    closed: Arc<AtomicBool>,
}

impl Connected {
    fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    async fn hears(&self, subject: &'static str) -> Subscriber {
        let heard = self.client.subscribe(subject).await.unwrap();
        settled(&self.client).await;
        heard
    }

    async fn says(&self, subject: &'static str, payload: impl Into<bytes::Bytes>) {
        self.client.publish(subject, payload.into()).await.unwrap();
    }
}

/// An account that changes.
struct Tried<'a> {
    at: &'a At,
    account: Account,
    jwt: String,
}

impl Tried<'_> {
    /// Gives it these claims, and returns what clients are said to miss once the nats-server has answered `jwt updated`.
    async fn change(&mut self, claims: Value) -> Vec<&'static str> {
        let jwt = self.at.fleet.operator.sign(&with(self.account.claims(now()), &claims));
        let path = format!("{}?wait=10s", self.account.path());
        let reply = self.at.fleet.primary.http.post(&path, jwt.clone()).await.expect(200);
        assert!(reply.header("nas-receipts").contains("=updated"), "{}", reply.header("nas-receipts"));
        let [before, after] = [&self.jwt, &jwt].map(|jwt| AccountJwt::decode(jwt).unwrap().body);
        self.jwt = jwt;
        not_live(&before, &after, self.at.version).iter().map(|missed| missed.claim.label()).collect()
    }

    async fn client(&self) -> Connected {
        self.at.client(&self.account.user()).await
    }
}

/// `claims` with these in its body; limits replace those of the same name.
fn with(mut claims: Value, body: &Value) -> Value {
    for (name, value) in body.as_object().unwrap() {
        match value.as_object() {
            Some(limits) if name == "limits" => {
                claims["nats"]["limits"].as_object_mut().unwrap().extend(limits.clone());
            }
            _ => claims["nats"][name] = value.clone(),
        }
    }
    claims
}

async fn default_permissions(at: &At) {
    let denied = json!({ "default_permissions": { "pub": { "deny": ["t.no"] } } });
    for (before, after) in [(json!({}), denied.clone()), (denied, json!({}))] {
        let mut account = at.open(before).await;
        let all = json!({ "allow": [">"] });
        let listener = at.client(&account.account.user_with(all.clone(), all)).await;
        let (client, mut heard) = (account.client().await, listener.hears("t.>").await);
        let passed = passes(&client, &mut heard).await;
        let missed = account.change(after).await;
        at.compare("default_permissions", &missed, passes(&client, &mut heard).await != passed);
    }
}

/// Whether what is said to `t.no` arrives.
async fn passes(client: &Connected, heard: &mut Subscriber) -> bool {
    client.says("t.no", "").await;
    client.says("t.end", "").await;
    let passed = within("the end", heard.next()).await.unwrap().subject.as_str() == "t.no";
    if passed {
        within("the end", heard.next()).await.unwrap();
    }
    passed
}

async fn authorization(at: &At) {
    let mut account = at.open(json!({})).await;
    let (client, service) = (account.client().await, account.account.user());
    let called = json!({ "authorization": { "auth_users": [service.key()], "allowed_accounts": ["*"] } });
    let missed = account.change(called).await;
    settled(&client.client).await;
    at.compare("authorization", &missed, client.was_closed());

    let service = at.client(&service).await;
    let mut asked = service.hears("$SYS.REQ.USER.AUTH").await;
    let missed = account.change(json!({})).await;
    let newcomer = account.account.user();
    let direct = within("a login, or a question about it", async {
        tokio::select! {
            login = at.login(&newcomer) => login.is_ok(),
            _ = asked.next() => false,
        }
    });
    at.compare("authorization_removed", &missed, direct.await);
}

async fn leafnodes(at: &At) {
    let mut account = at.open(json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let creds = folder.path().join("leaf.creds");
    std::fs::write(&creds, account.account.user().creds()).unwrap();
    let remote = format!(
        "leafnodes {{ reconnect: 1, remotes: [{{ url: \"nats://{}\", credentials: {creds:?} }}] }}",
        at.leafnodes
    );
    let _leafnode = NatsLaunch::bare(at.version).named("leaf").with(&remote).start().await;
    let subject = format!("$SYS.REQ.SERVER.{}.ACCOUNTZ", at.fleet.system.server_info().server_id);
    let question = json!({ "account": account.account.key() }).to_string();
    let connected = async || {
        at.fleet.ask(&subject, question.clone()).await["data"]["account_detail"]["leafnode_connections"].clone()
    };
    until("the leafnode is connected", async || connected().await == 1).await;
    let missed = account.change(json!({ "limits": { "leaf": 0 } })).await;
    at.compare("limits.leaf", &missed, connected().await == 0);
    // This is how an operator gets rid of it.
    account.change(json!({ "limits": { "leaf": 0, "conn": 0 } })).await;
    until("the leafnode is gone", async || connected().await == 0).await;
}

async fn data(at: &At) {
    let mut account = at.open(json!({})).await;
    let client = account.client().await;
    let mut heard = client.hears("d").await;
    let missed = account.change(json!({ "limits": { "data": 10 } })).await;
    client.says("d", vec![0; 1000]).await;
    settled(&client.client).await;
    let arrived = heard.next().await.is_some() && !client.was_closed();
    at.compare("limits.data", &missed, !arrived);
}

async fn response_type(at: &At) {
    let service =
        |kind: &str| json!({ "exports": [{ "name": "s", "subject": "s", "type": "service", "response_type": kind }] });
    let mut exporter = at.open(service("Singleton")).await;
    let import = json!({ "name": "s", "account": exporter.account.key(), "subject": "s", "type": "service" });
    let mut importer = at.open(json!({ "imports": [import.clone()] })).await;
    let (provider, client) = (exporter.client().await, importer.client().await);
    let mut asked = provider.hears("s").await;
    assert_eq!(answers(&provider, &mut asked, &client).await, 1);
    let missed = exporter.change(service("Stream")).await;
    let live = answers(&provider, &mut asked, &client).await == 2;
    at.compare("exports.response_type", &missed, live);
    importer.change(json!({ "imports": [import], "tags": ["changed"] })).await;
    assert_eq!(answers(&provider, &mut asked, &client).await, 2, "at {}", at.version);
}

/// How many of two answers to one request arrive.
async fn answers(provider: &Connected, asked: &mut Subscriber, client: &Connected) -> usize {
    let inbox = client.client.new_inbox();
    let mut heard = client.client.subscribe(inbox.clone()).await.unwrap();
    for answers in [&["first", "second"][..], &["end"]] {
        client.client.publish_with_reply("s", inbox.clone(), "".into()).await.unwrap();
        let reply = within("a request", asked.next()).await.unwrap().reply.unwrap();
        for answer in answers {
            provider.client.publish(reply.clone(), (*answer).into()).await.unwrap();
        }
    }
    let mut arrived = 0;
    while within("an answer", heard.next()).await.unwrap().payload != "end" {
        arrived += 1;
    }
    arrived
}

async fn trace(at: &At) {
    let mut account = at.open(json!({})).await;
    let client = account.client().await;
    let mut traces = client.hears("traces").await;
    let missed = account.change(json!({ "trace": { "dest": "traces", "sampling": 100 } })).await;
    let mut sampled = HeaderMap::new();
    sampled.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    client.client.publish_with_headers("t", sampled, "".into()).await.unwrap();
    settled(&client.client).await;
    let wait = if missed.contains(&"trace") { Duration::from_millis(300) } else { PATIENCE };
    at.compare("trace", &missed, tokio::time::timeout(wait, traces.next()).await.is_ok());
}

/// What closes connections at once, everywhere.
async fn closings(at: &At) {
    let signing = KeyPair::new_account();
    let (mut revoking, mut rotating) =
        (at.open(json!({})).await, at.open(json!({ "signing_keys": [signing.public_key()] })).await);
    let mut limited = at.open(json!({})).await;
    let user = revoking.account.user();
    let (revoked, other) = (at.client(&user).await, revoking.client().await);
    let (signed, own) = (at.client(&rotating.account.user_of(&signing)).await, rotating.client().await);
    let (subscriber, idle) = (limited.client().await, limited.client().await);
    let _heard = (subscriber.hears("a").await, subscriber.hears("b").await);

    let mut missed = revoking.change(json!({ "revocations": { user.key(): now() } })).await;
    missed.extend(rotating.change(json!({ "signing_keys": [] })).await);
    missed.extend(limited.change(json!({ "limits": { "subs": 1 } })).await);
    assert!(missed.is_empty(), "{missed:?}");
    for (client, what) in
        [(&revoked, "revoked"), (&signed, "signed by a key that is gone"), (&subscriber, "over its limit")]
    {
        until(&format!("at {}, the client that is {what} is cut off", at.version), async || client.was_closed()).await;
    }
    for stays in [&other, &own, &idle] {
        settled(&stays.client).await;
        assert!(!stays.was_closed());
    }
    // Whatever the nats-server sent about it before, it did close the connection of one of the two.
    let second = limited.client().await;
    assert!(limited.change(json!({ "limits": { "conn": 1 } })).await.is_empty());
    until("one of two is cut off", async || idle.was_closed() != second.was_closed()).await;
}
