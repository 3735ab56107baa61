//! A signing service behind a real nats-server: what accounts signed themselves is pushed, and what the service makes of it
//! is held. The service of these tests is a client of the system account that has the operator's key.
use std::path::PathBuf;
use std::sync::Arc;

use crate::support::{
    Account, Launch, NatsLaunch, NatsServer, Operator, Proxy, Reply, Server, now, settled, until, within,
};
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures_util::StreamExt as _;
use nats_account_server::jwt::AccountJwt;
use nkeys::KeyPair;
use serde_json::Value;

/// The release to use where releases do not differ.
const NEWEST: &str = "2.15.1";
const SUBJECT: &str = "sign.accounts";

const NOT_ENABLED: &str = "Signing service not enabled\n";
const NO_NATS: &str = "Failure during signature request. nats-server unavailable.\n";
const SILENT: &str = "Failure during signature request. signing service unavailable.\n";
const NO_RESPONDERS: &str = "Failure during signature request. Try again at a later time. Error: nats: no responders \
                             available for request\n";
const UNUSABLE: &str = "the signing service gave no usable answer\n";

/// A primary, and a nats-server that asks it for accounts, with a wire between them that can be cut.
struct World {
    operator: Arc<Operator>,
    primary: Server,
    wire: Proxy,
    nats: NatsServer,
    creds: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with(NEWEST, Operator::new(), "10s").await
    }

    async fn with(version: &str, operator: Operator, timeout: &str) -> Self {
        let (folder, wire) = (tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        let launch = Launch::primary(&operator).nats(wire.address(), &creds);
        let launch =
            launch.env("NAS_NATS__SIGN_REQUEST_SUBJECT", SUBJECT).env("NAS_NATS__SIGN_REQUEST_TIMEOUT", timeout);
        let primary = launch.start().await;
        primary.http.post(&operator.system().path(), operator.account(operator.system(), 90_000)).await.expect(200);
        // A strict operator's nats-server would let no user in whom an account's own key signed.
        let mut lenient = claims(&operator.jwt());
        lenient["nats"]["strict_signing_key_usage"] = false.into();
        let lenient = operator.sign_by_identity_key(&lenient);
        let lines = format!("operator: {lenient:?}\nsystem_account: {}", operator.system().key());
        let nats = NatsLaunch::bare(version).with(&lines).asks(&primary.url).start().await;
        wire.lead_to(nats.address());
        let world = Self { operator: Arc::new(operator), primary, wire, nats, creds, _folder: folder };
        world.connected(1.0).await;
        world
    }

    async fn connected(&self, value: f64) {
        until("the connection to NATS is as it should be", || async {
            self.primary.http.metric("nats_connected", "").await == value
        })
        .await;
    }

    async fn post(&self, account: &Account, token: impl Into<String>) -> Reply {
        self.primary.http.post(&account.path(), token.into()).await
    }

    async fn get(&self, account: &Account) -> Reply {
        self.primary.http.get(&account.path()).await
    }

    async fn outcomes(&self, outcome: &str) -> f64 {
        self.primary.http.metric("sign_requests_total", &format!("outcome=\"{outcome}\"")).await
    }

    async fn in_flight(&self) -> f64 {
        self.primary.http.metric("sign_requests_in_flight", "").await
    }

    /// A signing service that is asked, and answers when the test does.
    async fn service(&self) -> Service {
        let options = ConnectOptions::with_credentials_file(&self.creds).await.unwrap();
        let client = within("a connection", options.connect(format!("nats://{}", self.nats.address()))).await.unwrap();
        let asked = client.subscribe(SUBJECT).await.unwrap();
        settled(&client).await;
        Service { client, asked }
    }

    /// A signing service that answers each request with what `answer` makes of it, for as long as the test runs.
    async fn serves(&self, answer: impl Fn(&Operator, &str) -> Vec<u8> + Send + 'static) {
        let (mut service, operator) = (self.service().await, self.operator.clone());
        tokio::spawn(async move {
            while let Some(request) = service.asked.next().await {
                let token = std::str::from_utf8(&request.payload).unwrap();
                service.answer(&request, answer(&operator, token)).await;
            }
        });
    }
}

struct Service {
    client: Client,
    asked: Subscriber,
}

impl Service {
    async fn request(&mut self) -> Message {
        within("a request", self.asked.next()).await.unwrap()
    }

    async fn answer(&self, request: &Message, answer: impl Into<bytes::Bytes>) {
        self.client.publish(request.reply.clone().unwrap(), answer.into()).await.unwrap();
    }

    /// Fails the test if anything was asked so far.
    async fn was_not_asked(&mut self) {
        settled(&self.client).await;
        let asked = futures_util::FutureExt::now_or_never(self.asked.next());
        assert!(asked.is_none(), "the signing service was asked: {asked:?}");
    }
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// What a proper signing service makes of a JWT whose clock is so many seconds ahead.
fn signed_ahead(operator: &Operator, token: &str, ahead: i64) -> String {
    let mut claims = claims(token);
    claims["iat"] = (now() + ahead).into();
    operator.sign(&claims)
}

fn signed(operator: &Operator, token: &str) -> Vec<u8> {
    signed_ahead(operator, token, 0).into()
}

/// What an account signs itself, `age` seconds ago.
fn request(account: &Account, age: i64) -> String {
    account.sign(&account.claims(now() - age))
}

/// A managed store of nsc: pushes what the account signed, and gets at once what the operator signed.
async fn a_managed_store_works(version: &str) {
    let world = World::with(version, Operator::new(), "10s").await;
    let mut service = world.service().await;
    let account = Account::new();
    let first = request(&account, 0);
    let push = async {
        world.post(&account, format!("{first}\n")).await.expect(200);
        world.get(&account).await.expect(200).body
    };
    let serve = async {
        let asked = service.request().await;
        assert!(asked.headers.is_none(), "{:?}", asked.headers);
        assert_eq!(asked.payload, first, "the JWT, and nothing behind it");
        let jwt = signed_ahead(&world.operator, &first, 0);
        service.answer(&asked, jwt.clone()).await;
        jwt
    };
    let (held, jwt) = tokio::join!(push, serve);
    assert_eq!(held, jwt);
    assert_eq!(AccountJwt::decode(&held).unwrap().claims.iss, world.operator.key());

    // The nats-server lets its users in, and is told of an edit.
    let user = account.user();
    let options = ConnectOptions::with_credentials(&user.creds()).unwrap();
    let client = within("a connection", options.connect(format!("nats://{}", world.nats.address()))).await.unwrap();
    let edited = account.sign(&account.with_revocation(now(), &user));
    let path = format!("{}?wait=20s", account.path());
    let edit = world.primary.http.post(&path, edited.clone());
    let serve = async {
        let asked = service.request().await;
        service.answer(&asked, signed(&world.operator, &edited)).await;
    };
    let (edit, ()) = tokio::join!(edit, serve);
    assert!(edit.expect(200).header("nas-receipts").contains("=updated;"));
    until("the revoked user is cut off", || async {
        client.connection_state() != async_nats::connection::State::Connected
    })
    .await;
    assert_eq!(world.outcomes("signed").await, 2.0);
    assert_eq!(world.primary.http.metric("refused_total", "").await, 0.0);
    assert_eq!(world.in_flight().await, 0.0);
}

#[tokio::test]
async fn a_managed_store_works_with_the_newest_nats_server() {
    a_managed_store_works(NEWEST).await;
}

#[tokio::test]
async fn a_managed_store_works_with_an_older_nats_server() {
    a_managed_store_works("2.10.26").await;
}

#[tokio::test]
async fn a_text_is_passed_on_and_the_jwt_may_come_later() {
    let world = World::start().await;
    let mut service = world.service().await;
    let account = Account::new();
    let token = request(&account, 0);
    for text in ["Filed as case 7. See https://cases.example.com/7 for it.\n", "", "ja, später"] {
        let serve = async {
            let asked = service.request().await;
            service.answer(&asked, text).await;
        };
        let (reply, ()) = tokio::join!(world.post(&account, token.clone()), serve);
        let reply = reply.expect(202);
        assert_eq!(reply.body, text);
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        world.get(&account).await.expect(404);
    }
    let jti = claims(&token)["jti"].as_str().unwrap().to_owned();
    world.primary.logs(&format!("{} Initiated JWT signing process for {jti}", &account.key()[..12])).await;
    assert_eq!(world.outcomes("pending").await, 3.0);

    let later = signed_ahead(&world.operator, &token, 0);
    world.post(&account, later.clone()).await.expect(200);
    assert_eq!(world.get(&account).await.expect(200).body, later);
    service.was_not_asked().await;
}

#[tokio::test]
async fn what_the_service_gets_wrong_is_a_502_with_the_reason_and_changes_nothing() {
    type Wrong = fn(&Operator, &str) -> Vec<u8>;
    let table: [(Wrong, &str); 8] = [
        (|operator, _| operator.account(&Account::new(), 0).into(), "but was sent for"),
        (|_, token| token.into(), "is not an operator key"),
        (|_, token| Operator::new().sign(&claims(token)).into(), "is not a key of the configured operator"),
        (|operator, token| operator.sign_by_identity_key(&claims(token)).into(), "not by its identity key"),
        (|_, _| "not.a.jwt".into(), "the JWT that it sent is refused"),
        (|operator, token| [&signed(operator, token)[..], b"x"].concat(), "the JWT that it sent is refused"),
        (|_, _| vec![0xFF, 0xFE], "2 bytes that are neither a JWT nor text"),
        (|_, _| "x".repeat(64 * 1024 + 1).into(), "a text of 65537 bytes"),
    ];
    let world = World::with(NEWEST, Operator::strict(), "10s").await;
    let mut service = world.service().await;
    let account = Account::new();
    for (wrong, reason) in table {
        let token = request(&account, 0);
        let serve = async {
            let asked = service.request().await;
            service.answer(&asked, wrong(&world.operator, &token)).await;
        };
        let (reply, ()) = tokio::join!(world.post(&account, token.clone()), serve);
        let reply = reply.expect(502);
        assert!(reply.body.starts_with(UNUSABLE) && reply.body.contains(reason), "{reason}: {}", reply.body);
        world.get(&account).await.expect(404);
    }
    assert_eq!(world.outcomes("bad_answer").await, 8.0);
    assert_eq!(world.primary.http.metric("accounts", "").await, 1.0, "the system account");
}

#[tokio::test]
async fn what_it_signs_is_judged_as_any_push() {
    let world = World::start().await;
    let mut service = world.service().await;
    let account = Account::new();
    let mut answered = async |answer: &dyn Fn(&str) -> String, status: u16| {
        let token = request(&account, 0);
        let serve = async {
            let asked = service.request().await;
            service.answer(&asked, answer(&token)).await;
        };
        let (reply, ()) = tokio::join!(world.post(&account, token.clone()), serve);
        reply.expect(status).body
    };
    let expired = |token: &str| {
        let mut claims = claims(token);
        claims["exp"] = (now() - 10).into();
        world.operator.sign(&claims)
    };
    assert!(answered(&expired, 400).await.contains("\t - claim is expired"));
    let far = |token: &str| signed_ahead(&world.operator, token, 7200);
    assert!(answered(&far, 400).await.contains("in the future"));
    let good = |token: &str| signed_ahead(&world.operator, token, 0);
    answered(&good, 200).await;
    let late = |token: &str| signed_ahead(&world.operator, token, -1000);
    assert!(answered(&late, 409).await.starts_with("stale JWT"));
    assert_eq!(world.outcomes("refused").await, 3.0);
}

#[tokio::test]
async fn without_an_answer_the_old_texts_say_why() {
    let world = World::with(NEWEST, Operator::new(), "300ms").await;
    let account = Account::new();
    let fails = async |first: &str| {
        let reply = world.post(&account, request(&account, 0)).await.expect(500);
        assert!(reply.body.starts_with(first), "{}", reply.body);
    };
    fails(NO_RESPONDERS).await;
    let service = world.service().await;
    fails(SILENT).await;
    world.wire.cut();
    world.connected(0.0).await;
    fails(NO_NATS).await;
    for (outcome, count) in [("failed", 1.0), ("timeout", 1.0), ("not_connected", 1.0)] {
        assert_eq!(world.outcomes(outcome).await, count, "{outcome}");
    }
    world.get(&account).await.expect(404);

    drop(service);
    world.wire.heal();
    world.connected(1.0).await;
    world.serves(signed).await;
    world.post(&account, request(&account, 0)).await.expect(200);
}

#[tokio::test]
async fn an_old_request_takes_nothing_back() {
    let world = World::start().await;
    let mut service = world.service().await;
    let account = Account::new();
    let older = async |token: String| {
        let reply = world.post(&account, token).await.expect(409);
        assert!(reply.body.starts_with("stale JWT"), "{}", reply.body);
    };
    world.post(&account, world.operator.account(&account, 1000)).await.expect(200);
    older(request(&account, 2000)).await;
    // The difference is one that clocks may have, but the request is not new.
    older(request(&account, 1010)).await;
    service.was_not_asked().await;
    drop(service);

    // The clock of who signs is ahead of the account's.
    world.serves(|operator, token| signed_ahead(operator, token, 40).into()).await;
    let (first, second) = (request(&account, 20), request(&account, 10));
    world.post(&account, first.clone()).await.expect(200);
    world.post(&account, second.clone()).await.expect(200);
    older(first).await;
    // Who did not get the answer pushes the same again.
    world.post(&account, second).await.expect(200);
    world.post(&account, world.operator.sign(&account.claims(now() + 100))).await.expect(200);
    older(request(&account, 0)).await;
    let reply = world.post(&account, request(&account, -7200)).await.expect(400);
    assert!(reply.body.contains("in the future"), "{}", reply.body);
}

#[tokio::test]
async fn a_deleted_account_comes_back_only_with_a_request_from_after_the_deletion() {
    let world = World::start().await;
    let mut service = world.service().await;
    let account = Account::new();
    world.post(&account, world.operator.account(&account, 1000)).await.expect(200);
    let delete = async |age| {
        let request = world.operator.delete_request(&[&account], age);
        world.primary.http.delete(&account.path(), request).await.expect(200);
    };
    delete(50).await;
    let reply = world.post(&account, request(&account, 60)).await.expect(409);
    assert!(reply.body.starts_with("the account was deleted"), "{}", reply.body);
    service.was_not_asked().await;

    // It is deleted while the service is at it.
    let token = request(&account, 40);
    let serve = async {
        let asked = service.request().await;
        delete(30).await;
        service.answer(&asked, signed(&world.operator, &token)).await;
    };
    let (reply, ()) = tokio::join!(world.post(&account, token.clone()), serve);
    assert!(reply.expect(409).body.starts_with("the account was deleted"));
    world.get(&account).await.expect(404);

    drop(service);
    world.serves(signed).await;
    world.post(&account, request(&account, 0)).await.expect(200);
    world.get(&account).await.expect(200);
}

#[tokio::test]
async fn so_many_requests_wait_at_a_time_and_not_one_more() {
    let world = World::with(NEWEST, Operator::new(), "10m").await;
    let _service = world.service().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (http, account) = (world.primary.http.clone(), Account::new());
        waiting.spawn(async move { http.try_post(&account.path(), request(&account, 0)).await });
    }
    until("64 requests wait", || async { world.in_flight().await == 64.0 }).await;
    let account = Account::new();
    let reply = world.post(&account, request(&account, 0)).await.expect(503);
    assert!(reply.body.starts_with("too many JWTs wait for the signing service\n"), "{}", reply.body);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(world.outcomes("busy").await, 1.0);
    // What the operator signed needs no place.
    world.post(&account, world.operator.account(&account, 100)).await.expect(200);
}

#[tokio::test]
async fn only_the_account_itself_can_ask() {
    let world = World::start().await;
    let mut service = world.service().await;
    let (account, signing_key) = (Account::new(), KeyPair::new_account());
    let claims = account.with_signing_key(now(), &signing_key);
    let by_signing_key = nats_account_server::testkit::sign(&claims, &signing_key);
    let refused = async |token: &str, first: &str| {
        let reply = world.post(&account, token).await.expect(400);
        assert!(reply.body.starts_with(first), "{}", reply.body);
    };
    refused(&by_signing_key, "bad JWT Issuer/Subject pair in request\n").await;
    let held = world.operator.sign(&account.with_signing_key(now() - 100, &signing_key));
    world.post(&account, held.clone()).await.expect(200);
    refused(&by_signing_key, "bad JWT issuer is not trusted\n").await;
    refused(&request(&Account::new(), 0), "pub keys don't match\n").await;
    let mut broken = request(&account, 0);
    broken.truncate(broken.len() - 4);
    refused(&broken, "bad JWT in request\n").await;
    refused(&Operator::new().account(&account, 0), "untrusted issuer in request\n").await;
    service.was_not_asked().await;
    assert_eq!(world.get(&account).await.expect(200).body, held);
    assert_eq!(world.primary.http.metric("refused_total", "issuer_kind").await, 2.0);
}

#[tokio::test]
async fn without_a_subject_nothing_is_signed() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    let reply = primary.http.post(&account.path(), request(&account, 0)).await.expect(400);
    assert!(reply.body.starts_with(NOT_ENABLED), "{}", reply.body);
}
