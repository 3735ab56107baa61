//! Activations over NATS: told to other account servers when they change, and taken in when others tell of them.
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, Proxy, Server, now, until, within};
use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use nats_account_server::jwt::activation_hash_id;
use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use serde_json::json;

/// The release to use where releases do not differ.
const NEWEST: &str = "2.15.1";
const ROUTE: &str = "/jwt/v1/activations";
/// Where each is announced.
const ALL: &str = "$SYS.ACCOUNT.*.CLAIMS.ACTIVATE.*";

/// A nats-server and who speaks over it. The servers under test reach it through `wire`.
struct Stage {
    operator: Operator,
    /// Holds the accounts.
    primary: Server,
    wire: Proxy,
    nats: NatsServer,
    creds: PathBuf,
    exporter: Account,
    importer: Account,
    folder: tempfile::TempDir,
}

impl Stage {
    /// With a primary that is connected to NATS, and listens to it.
    async fn with_primary(version: &str, prepare: impl FnOnce(Launch) -> Launch) -> Self {
        let stage = Self::new(version, |launch, wire, creds| prepare(launch).nats(wire, creds)).await;
        connected(&stage.primary).await;
        stage.is_heard_by(&stage.primary, "update").await;
        stage
    }

    /// With a primary that has no NATS.
    async fn without() -> Self {
        Self::new(NEWEST, |launch, _, _| launch).await
    }

    async fn new(version: &str, prepare: impl FnOnce(Launch, &str, &std::path::Path) -> Launch) -> Self {
        let (operator, folder, wire) = (Operator::new(), tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
        let (exporter, importer) = (Account::named("exporter"), Account::named("importer"));
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        let launch = Launch::primary(&operator).dir(&folder.path().join("primary"));
        let primary = prepare(launch, wire.address(), &creds).start().await;
        for account in [operator.system(), &exporter] {
            primary.http.post(&account.path(), operator.account(account, 1_000)).await.expect(200);
        }
        // Larger than anything that is taken in.
        let nats = NatsLaunch::new(version, &operator).asks(&primary.url).with("max_payload: 4MB").start().await;
        wire.lead_to(nats.address());
        Self { operator, primary, wire, nats, creds, exporter, importer, folder }
    }

    /// A client of the system account, which is another party.
    async fn other(&self) -> Client {
        let options = ConnectOptions::with_credentials_file(&self.creds).await.unwrap();
        within("a connection", options.connect(format!("nats://{}", self.nats.address()))).await.unwrap()
    }

    /// Hears what is announced from now on.
    async fn listen(&self) -> Subscriber {
        let other = self.other().await;
        let heard = other.subscribe(ALL).await.unwrap();
        // A message of its own comes back when the nats-server has taken in what was sent before it.
        let inbox = other.new_inbox();
        let mut own = other.subscribe(inbox.clone()).await.unwrap();
        other.publish(inbox, "".into()).await.unwrap();
        within("our own message", own.next()).await.unwrap();
        heard
    }

    /// Waits until a server has subscribed, if it is the only one. Sends it one message that it refuses.
    async fn is_heard_by(&self, server: &Server, path: &str) {
        let other = self.other().await;
        let request = || Request::new().payload(Bytes::new()).timeout(Some(Duration::from_millis(300)));
        until("somebody has subscribed", || async {
            let answer = other.send_request("$SYS.ACCOUNT.x.CLAIMS.ACTIVATE.y", request()).await;
            answer.expect_err("nobody answers an activation").kind() != RequestErrorKind::NoResponders
        })
        .await;
        refused(server, path, "malformed", 1.0).await;
    }

    /// A replica of the primary behind `link`, which is the only one to listen.
    async fn replica(&self, link: &Proxy) -> Server {
        let launch = Launch::replica(&self.operator, &link.url()).env("NAS_REPLICA__NEGATIVE_TTL", "10m");
        let replica = launch.nats(self.wire.address(), &self.creds).start().await;
        connected(&replica).await;
        self.is_heard_by(&replica, "hint").await;
        replica
    }

    fn activation(&self, subject: &str, age: i64) -> Told {
        Told::of(&self.exporter, &self.importer, subject, age)
    }

    async fn push(&self, told: &Told) {
        self.primary.http.post(ROUTE, told.token.clone()).await.expect(200);
    }
}

/// An activation, where it is announced and where it is served.
#[derive(Clone)]
struct Told {
    token: String,
    subject: String,
    path: String,
}

impl Told {
    fn of(exporter: &Account, importer: &Account, subject: &str, age: i64) -> Self {
        Self::signed(exporter.activation(importer, subject, age), &exporter.key(), importer, subject)
    }

    fn signed(token: String, signer: &str, importer: &Account, subject: &str) -> Self {
        let hash = activation_hash_id(signer, &importer.key(), subject).unwrap();
        Self {
            token,
            subject: format!("$SYS.ACCOUNT.{signer}.CLAIMS.ACTIVATE.{hash}"),
            path: format!("{ROUTE}/{hash}"),
        }
    }

    async fn publish(&self, by: &Client) {
        by.publish(self.subject.clone(), self.token.clone().into()).await.unwrap();
        by.flush().await.unwrap();
    }

    async fn is_served(&self, server: &Server) {
        until("the activation is served", || async { server.http.get(&self.path).await.body == self.token }).await;
    }

    /// Waits for the next announcement, which has to be this one.
    async fn is_next(&self, heard: &mut Subscriber) {
        let message = within("an announcement", heard.next()).await.unwrap();
        assert_eq!((message.subject.as_str(), &*message.payload), (&*self.subject, self.token.as_bytes()));
        assert_eq!((message.reply, message.headers), (None, None));
    }
}

async fn connected(server: &Server) {
    until("there is a connection to NATS", || async { server.http.metric("nats_connected", "").await == 1.0 }).await;
}

/// Waits until a server has refused just so many.
async fn refused(server: &Server, path: &str, reason: &str, count: f64) {
    let labels = format!("path=\"{path}\",reason=\"{reason}\"");
    until(&format!("{count} are refused: {reason}"), || async {
        server.http.metric("refused_total", &labels).await >= count
    })
    .await;
    assert_eq!(server.http.metric("refused_total", &labels).await, count, "{reason}");
}

async fn all_is_announced(primary: &Server) {
    until("all is announced", || async { primary.http.metric("announce_pending", "").await == 0.0 }).await;
}

/// What must hold with every release of nats-server.
async fn what_is_pushed_is_announced(version: &str) {
    let stage = Stage::with_primary(version, |launch| launch).await;
    let mut heard = stage.listen().await;
    let own = stage.activation("orders.>", 100);
    stage.push(&own).await;
    own.is_next(&mut heard).await;
    // The same again is no news.
    stage.push(&own).await;
    let newer = stage.activation("orders.>", 50);
    stage.push(&newer).await;
    newer.is_next(&mut heard).await;
    // Unless somebody asks for it, and once in a while.
    let notify = format!("{}?notify=true", newer.path);
    assert_eq!(stage.primary.http.get(&notify).await.expect(200).body, newer.token);
    newer.is_next(&mut heard).await;
    stage.primary.http.get(&notify).await.expect(429);

    // The issuer is the key that signed.
    let signer = KeyPair::new_account();
    let listing = stage.operator.sign(&stage.exporter.with_signing_key(now() - 500, &signer));
    stage.primary.http.post(&stage.exporter.path(), listing).await.expect(200);
    let mut claims = stage.exporter.activation_claims(&stage.importer, "orders.>", now() - 100);
    claims["nats"]["issuer_account"] = json!(stage.exporter.key());
    let token = sign(&claims, &signer);
    let by_key = Told::signed(token, &signer.public_key(), &stage.importer, "orders.>");
    stage.push(&by_key).await;
    by_key.is_next(&mut heard).await;
    assert_eq!(stage.primary.http.metric("announced_activations_total", "").await, 4.0);
}

#[tokio::test]
async fn what_is_pushed_is_announced_on_a_subject_of_its_own_2_10() {
    what_is_pushed_is_announced("2.10.26").await;
}

#[tokio::test]
async fn what_is_pushed_is_announced_on_a_subject_of_its_own_2_15() {
    what_is_pushed_is_announced(NEWEST).await;
}

#[tokio::test]
async fn what_others_tell_a_primary_of_is_taken_in_whatever_comes_with_it() {
    let stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let (other, mut heard) = (stage.other().await, stage.listen().await);
    let plain = stage.activation("orders", 100);
    plain.publish(&other).await;
    plain.is_next(&mut heard).await;
    plain.is_served(&stage.primary).await;
    // It is a change here as well, and announced like any other.
    plain.is_next(&mut heard).await;

    let dressed = stage.activation("invoices", 100);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "1");
    headers.insert("eyJ", "x.y.z");
    let inbox = other.new_inbox();
    let mut replies = other.subscribe(inbox.clone()).await.unwrap();
    let (subject, token) = (dressed.subject.clone(), dressed.token.clone().into());
    other.publish_with_reply_and_headers(subject, inbox.clone(), headers, token).await.unwrap();
    other.flush().await.unwrap();
    dressed.is_served(&stage.primary).await;
    other.publish(inbox, "the first reply".into()).await.unwrap();
    assert_eq!(within("our own message", replies.next()).await.unwrap().payload, "the first reply");

    let serial = stage.primary.http.metric("serial", "").await;
    let taken = || async { stage.primary.http.metric("accepted_total", "path=\"update\"").await };
    assert_eq!(taken().await, 2.0);
    dressed.publish(&other).await;
    until("it has come again", || async { taken().await == 3.0 }).await;
    assert_eq!(stage.primary.http.metric("serial", "").await, serial, "the same again is no change");
}

#[tokio::test]
async fn what_a_primary_should_not_take_in_it_does_not() {
    let stage = Stage::with_primary(NEWEST, |launch| launch.env("NAS_STORE__ACTIVATIONS_PER_ACCOUNT", "1")).await;
    let (other, primary) = (stage.other().await, &stage.primary);
    let held = stage.activation("orders", 100);
    held.publish(&other).await;
    held.is_served(primary).await;
    let before = primary.http.metric("serial", "").await;

    let (stranger, importer) = (Account::new(), &stage.importer);
    let (key, signer) = (stage.exporter.key(), KeyPair::new_account());
    let unknown = Told::of(&stranger, importer, "orders", 10);
    let newer = stage.activation("orders", 50);
    let mut claims = stage.exporter.activation_claims(importer, "orders", now() - 50);
    claims["nats"]["issuer_account"] = json!(key);
    let unlisted = sign(&claims, &signer);
    let unlisted = Told::signed(unlisted, &signer.public_key(), importer, "orders");
    let elsewhere = stage.activation("elsewhere", 50);
    let hash = held.path.rsplit('/').next().unwrap();
    let large = "x".repeat((1 << 20) + 1);
    let torn = newer.token[..newer.token.len() - 9].to_owned();
    let on = |subject: &str, token: &str| Told { token: token.into(), subject: subject.into(), path: String::new() };
    let named = |key: &str, hash: &str| on(&format!("$SYS.ACCOUNT.{key}.CLAIMS.ACTIVATE.{hash}"), &newer.token);
    let offers = [
        ("an account that nobody knows", unknown.clone(), "unknown_account"),
        ("a key that the account does not list", unlisted, "untrusted"),
        ("another hash in the subject", on(&elsewhere.subject, &newer.token), "malformed"),
        ("another issuer in the subject", named(&stranger.key(), hash), "malformed"),
        ("no key in the subject", named("junk", hash), "malformed"),
        ("a key in lower case", named(&key.to_lowercase(), hash), "malformed"),
        ("no hash in the subject", named(&key, "a\u{1b}[31m\u{7f}"), "malformed"),
        ("another account's key as hash", named(&key, &stranger.key()), "malformed"),
        ("nothing", on(&held.subject, ""), "undecodable"),
        ("junk", on(&held.subject, "{\"hello\": 1}"), "undecodable"),
        ("a torn token", on(&held.subject, &torn), "undecodable"),
        ("too much", on(&held.subject, &large), "undecodable"),
        ("an account JWT", on(&held.subject, &stage.operator.account(&stage.exporter, 0)), "undecodable"),
        ("an older one", stage.activation("orders", 200), "older"),
        ("one too many", elsewhere.clone(), "quota"),
    ];
    let labels = |reason: &str| format!("path=\"update\",reason=\"{reason}\"");
    for (what, offer, reason) in offers {
        let count = primary.http.metric("refused_total", &labels(reason)).await;
        offer.publish(&other).await;
        until(&format!("{what} is refused"), || async {
            primary.http.metric("refused_total", &labels(reason)).await == count + 1.0
        })
        .await;
    }
    // An account of another operator.
    primary.http.post(&stranger.path(), Operator::new().account(&stranger, 10)).await.expect(400);
    unknown.publish(&other).await;
    refused(primary, "update", "unknown_account", 2.0).await;

    assert_eq!(primary.http.metric("serial", "").await, before, "nothing is stored");
    for path in [&unknown.path, &elsewhere.path] {
        primary.http.get(path).await.expect(404);
    }
    held.is_served(primary).await;
    newer.publish(&other).await;
    newer.is_served(primary).await;
}

#[tokio::test]
async fn much_junk_makes_few_lines_in_the_log() {
    let stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let (other, subject) = (stage.other().await, stage.activation("orders", 0).subject);
    for _ in 0..2_000 {
        other.publish(subject.clone(), "junk".into()).await.unwrap();
    }
    other.flush().await.unwrap();
    refused(&stage.primary, "update", "undecodable", 2_000.0).await;
    let lines = stage.primary.log().matches("rejected an activation heard over NATS").count();
    assert!((1..=10).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn a_burst_is_taken_in_to_its_end() {
    let stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let other = stage.other().await;
    // Two of each, and of all the last one stays.
    let told: Vec<Told> = [20, 10]
        .into_iter()
        .flat_map(|age| (0..1_000).map(move |number| (age, format!("orders.{number}"))))
        .map(|(age, subject)| stage.activation(&subject, age))
        .collect();
    for told in &told {
        other.publish(told.subject.clone(), told.token.clone().into()).await.unwrap();
    }
    other.flush().await.unwrap();
    until("all are taken in", || async {
        stage.primary.http.metric("accepted_total", "path=\"update\"").await >= told.len() as f64
    })
    .await;
    for told in told[1_000..].iter().step_by(37) {
        assert_eq!(stage.primary.http.get(&told.path).await.body, told.token);
    }
}

#[tokio::test]
async fn two_primaries_tell_each_other_and_come_to_an_end() {
    let stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let launch = Launch::primary(&stage.operator).dir(&stage.folder.path().join("second"));
    let second = launch.nats(stage.wire.address(), &stage.creds).start().await;
    second.http.post(&stage.exporter.path(), stage.operator.account(&stage.exporter, 1_000)).await.expect(200);
    connected(&second).await;
    let both = [&stage.primary, &second];
    for age in [30, 20, 10] {
        let told = stage.activation("orders", age);
        // Whether the other one has subscribed yet shows only when something is announced.
        until("the other one has heard it", || async {
            stage.push(&told).await;
            if second.http.get(&told.path).await.body == told.token {
                return true;
            }
            told.publish(&stage.other().await).await;
            false
        })
        .await;
        for primary in both {
            told.is_served(primary).await;
            all_is_announced(primary).await;
        }
    }
    let last = stage.activation("orders", 0);
    let mut heard = stage.listen().await;
    second.http.post(ROUTE, last.token.clone()).await.expect(200);
    // By each of them, once.
    last.is_next(&mut heard).await;
    last.is_next(&mut heard).await;
    let end = stage.activation("invoices", 0);
    stage.push(&end).await;
    end.is_next(&mut heard).await;
    end.is_next(&mut heard).await;
    end.is_served(&second).await;
}

#[tokio::test]
async fn a_replica_takes_a_newer_one_for_the_copy_that_it_has() {
    let stage = Stage::without().await;
    let link = Proxy::to(stage.primary.host()).await;
    let (replica, other) = (stage.replica(&link).await, stage.other().await);
    let first = stage.activation("orders", 100);
    stage.push(&first).await;
    until("the feed has brought all there is", || async {
        replica.http.metric("serial", "").await == stage.primary.http.metric("serial", "").await
    })
    .await;
    first.is_served(&replica).await;
    // It has only what it hears.
    link.cut();
    until("the feed is lost", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    let mut claims = stage.exporter.activation_claims(&stage.importer, "orders", now() - 50);
    let second = Told { token: stage.exporter.sign(&claims), ..first.clone() };
    second.publish(&other).await;
    second.is_served(&replica).await;
    assert_eq!(replica.http.metric("accepted_total", "path=\"hint\"").await, 1.0);

    claims["name"] = json!("another of the same second");
    let tied = Told { token: stage.exporter.sign(&claims), ..second.clone() };
    let stranger = Account::new();
    for (offer, reason) in [
        // Which of the two came later only the primary knows; this one is looked at before the next.
        (tied, None),
        (first, Some("older")),
        (Told { token: "junk".into(), ..second.clone() }, Some("undecodable")),
        (Told { token: stage.activation("other", 0).token, ..second.clone() }, Some("malformed")),
        (Told { token: Told::of(&stranger, &stage.importer, "orders", 0).token, ..second.clone() }, Some("malformed")),
    ] {
        let labels = format!("path=\"hint\",reason=\"{}\"", reason.unwrap_or_default());
        let count = replica.http.metric("refused_total", &labels).await;
        offer.publish(&other).await;
        if reason.is_some() {
            until("it is refused", || async { replica.http.metric("refused_total", &labels).await == count + 1.0 })
                .await;
        }
        assert_eq!(replica.http.get(&second.path).await.body, second.token);
    }

    // What its account has revoked is no hint: the account is heard of over NATS as well.
    let mut claims = stage.exporter.claims(now());
    claims["nats"]["exports"] = json!([{
        "name": "o", "subject": "orders", "type": "stream", "token_req": true,
        "revocations": { stage.importer.key(): now() - 20 }
    }]);
    let update = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", stage.exporter.key());
    other.publish(update, stage.operator.sign(&claims).into()).await.unwrap();
    other.flush().await.unwrap();
    until("the revocation has come", || async { replica.http.get(&second.path).await.status == 404 }).await;
    stage.activation("orders", 30).publish(&other).await;
    refused(&replica, "hint", "revoked", 1.0).await;
    let valid = stage.activation("orders", 10);
    valid.publish(&other).await;
    valid.is_served(&replica).await;
}

#[tokio::test]
async fn a_replica_believes_its_primary_about_what_it_has_no_copy_of() {
    let stage = Stage::without().await;
    let link = Proxy::to(stage.primary.host()).await;
    let (replica, other) = (stage.replica(&link).await, stage.other().await);
    replica.follows().await;
    let asked = || async { stage.primary.http.metric("http_requests_total", "route=\"activation\"").await };
    let told = stage.activation("orders", 100);
    for _ in 0..5 {
        replica.http.get(&told.path).await.expect(404);
    }
    assert_eq!(asked().await, 1.0, "what is unknown is not asked for again at once");
    // Many that nobody has asked for, and behind each something by which to see that it was looked at.
    for number in 0..200 {
        let unasked = stage.activation(&format!("unasked.{number}"), 100);
        unasked.publish(&other).await;
        Told { token: "junk".into(), ..unasked }.publish(&other).await;
    }
    refused(&replica, "hint", "undecodable", 200.0).await;
    replica.http.get(&told.path).await.expect(404);
    assert_eq!(asked().await, 1.0, "what is heard of makes no requests");
    // Others may know it, but the primary does not.
    told.publish(&other).await;
    until("the primary is asked again", || async {
        replica.http.get(&told.path).await.expect(404);
        asked().await == 2.0
    })
    .await;
    stage.push(&told).await;
    told.is_served(&replica).await;
}

#[tokio::test]
async fn what_changed_while_nats_was_away_is_announced_when_it_is_back_and_only_if_it_is_still_served() {
    let stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let signer = KeyPair::new_account();
    let listing = stage.operator.sign(&stage.exporter.with_signing_key(now() - 500, &signer));
    stage.primary.http.post(&stage.exporter.path(), listing).await.expect(200);
    all_is_announced(&stage.primary).await;
    stage.wire.cut();
    until("NATS is away", || async { stage.primary.http.metric("nats_connected", "").await == 0.0 }).await;
    let mut heard = stage.listen().await;
    stage.push(&stage.activation("replaced", 100)).await;
    let mut claims = stage.exporter.activation_claims(&stage.importer, "withdrawn", now() - 100);
    claims["nats"]["issuer_account"] = json!(stage.exporter.key());
    let withdrawn = Told::signed(sign(&claims, &signer), &signer.public_key(), &stage.importer, "withdrawn");
    stage.push(&withdrawn).await;
    let (newest, last) = (stage.activation("replaced", 50), stage.activation("last", 50));
    stage.push(&newest).await;
    stage.primary.http.post(&stage.exporter.path(), stage.operator.account(&stage.exporter, 400)).await.expect(200);
    stage.push(&last).await;
    until("they wait", || async { stage.primary.http.metric("announce_pending", "").await == 5.0 }).await;
    stage.wire.heal();
    newest.is_next(&mut heard).await;
    last.is_next(&mut heard).await;
}

#[tokio::test]
async fn a_restart_does_not_announce_again_what_is_known_to_have_arrived() {
    let mut stage = Stage::with_primary(NEWEST, |launch| launch).await;
    let mut heard = stage.listen().await;
    let old = stage.activation("old", 100);
    stage.push(&old).await;
    old.is_next(&mut heard).await;
    let head = stage.primary.http.metric("serial", "").await;
    // When the connection has lived on for 20 seconds.
    let journal = stage.folder.path().join("primary/.nats-account-server/journal.sqlite");
    let journal = rusqlite::Connection::open(journal).unwrap();
    let kept = || {
        let read = journal.query_row("SELECT serial FROM cursor WHERE name = 'nats'", [], |row| row.get::<_, u32>(0));
        f64::from(read.unwrap_or(0))
    };
    let waiting = async {
        while kept() < head {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it is known to have arrived");
    stage.primary = stage.primary.restart().await;
    connected(&stage.primary).await;
    let new = stage.activation("new", 50);
    stage.push(&new).await;
    new.is_next(&mut heard).await;
}

#[tokio::test]
async fn what_lies_in_a_folder_at_the_first_start_is_no_news() {
    let stage = Stage::without().await;
    let folder = stage.folder.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    let (old, new) = (stage.activation("old", 100), stage.activation("new", 100));
    let account = (stage.exporter.key(), stage.operator.account(&stage.exporter, 1_000));
    let activation = (old.path.rsplit('/').next().unwrap().to_owned(), old.token.clone());
    for (name, token) in [account, activation] {
        std::fs::write(folder.join(format!("{name}.jwt")), token).unwrap();
    }
    let mut heard = stage.listen().await;
    let launch = Launch::primary(&stage.operator).dir(&folder).nats(stage.wire.address(), &stage.creds);
    let primary = launch.start().await;
    old.is_served(&primary).await;
    connected(&primary).await;
    primary.http.post(ROUTE, new.token.clone()).await.expect(200);
    new.is_next(&mut heard).await;
}
