//! Replicas behind replicas: what happens at the primary arrives at the last one, and nobody takes old for new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nats_account_server::feed::wire::Page;
use nats_account_server::feed::{Chain, Head, Session};
use nkeys::KeyPair;

use crate::restarts::has_stored;
use crate::support::feed::{Events, page};
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, until};
use crate::{fetches, known};

/// A primary, a hub with a store, and a leaf behind the hub. Between two of them there is a proxy.
struct Tiers {
    operator: Operator,
    dir: tempfile::TempDir,
    primary: Server,
    to_primary: Proxy,
    hub: Server,
    to_hub: Proxy,
    leaf: Server,
}

impl Tiers {
    /// Without the feed, nothing would be asked about again for longer than a test takes.
    async fn new() -> Self {
        Self::with_ttl("60s").await
    }

    async fn with_ttl(ttl: &str) -> Self {
        let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("operator.jwt"), operator.jwt()).unwrap();
        let primary = Launch::default().flag("-operator", dir.path().join("operator.jwt")).start().await;
        let to_primary = Proxy::to(primary.host()).await;
        let launch = |url: &str| Launch::replica(&operator, url).env("NAS_REPLICA__TTL", ttl);
        let hub = launch(&to_primary.url()).dir(&dir.path().join("hub")).start().await;
        hub.follows().await;
        let to_hub = Proxy::to(hub.host()).await;
        let leaf = launch(&to_hub.url()).start().await;
        leaf.follows().await;
        Self { operator, dir, primary, to_primary, hub, to_hub, leaf }
    }

    async fn pushed(&self, account: &Account, age: i64) -> String {
        let jwt = self.operator.account(account, age);
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        jwt
    }
}

async fn serves(server: &Server, path: &str, body: &str) {
    until("it is served", || async { server.http.get(path).await.body == body }).await;
}

/// Waits until a server passes on the history that the journal with this id began.
async fn follows_session(server: &Server, session: &str) {
    until("it follows", || async { server.http.get("/jwt/v1/changes").await.json()["session"] == session }).await;
}

/// Seconds since the server last heard its primary, as its answers say.
async fn primary_age(server: &Server, path: &str) -> u64 {
    server.http.get(path).await.header("nas-primary-age").parse().unwrap()
}

#[tokio::test]
async fn what_changes_at_the_primary_arrives_behind_the_hub() {
    let tiers = Tiers::new().await;
    let (account, _) = known(&tiers.operator, &tiers.primary, &tiers.leaf, 1).await.remove(0);
    let asked = async || tiers.leaf.http.send("GET", &account.path(), &[("nas-position", "ask")]).await.expect(200);
    // What was pulled may be later than what the feed has brought.
    until("the feed confirms it", || async { asked().await.header("nas-confirmed") == "feed" }).await;
    let reply = asked().await;
    let place = tiers.primary.http.send("GET", &account.path(), &[("nas-position", "ask")]).await;
    assert_eq!(reply.header("nas-position"), place.header("nas-position"));
    assert_eq!(reply.header("age").len(), 1);
    assert_eq!((place.header("nas-primary-age"), reply.header("nas-primary-age").len()), ("", 1));

    let asked = [fetches(&tiers.hub).await, fetches(&tiers.leaf).await];
    for age in [30, 20, 10] {
        serves(&tiers.leaf, &account.path(), &tiers.pushed(&account, age).await).await;
    }
    assert_eq!([fetches(&tiers.hub).await, fetches(&tiers.leaf).await], asked, "the feed brings what is held");

    let (importer, mut path) = (Account::new(), String::new());
    for age in [100, 50] {
        let activation = account.activation(&importer, "orders.>", age);
        tiers.primary.http.post("/jwt/v1/activations", activation.clone()).await.expect(200);
        let id = nats_account_server::jwt::activation_hash_id(&account.key(), &importer.key(), "orders.>").unwrap();
        path = format!("/jwt/v1/activations/{id}");
        serves(&tiers.leaf, &path, &activation).await;
    }

    let newer = tiers.operator.listing(&[&KeyPair::new_operator()], 0);
    std::fs::write(tiers.dir.path().join("operator.jwt"), &newer).unwrap();
    tiers.primary.signal("HUP");
    serves(&tiers.leaf, "/jwt/v1/operator", &newer).await;

    let other = Account::new();
    let request = tiers.operator.delete_request(&[&account, &other], 0);
    tiers.primary.http.delete(&account.path(), request).await.expect(200);
    until("the deletion has come", || async { tiers.leaf.http.get(&account.path()).await.status == 404 }).await;
    until("the activation goes with its account", || async { tiers.leaf.http.get(&path).await.status == 404 }).await;
    assert!(!tiers.leaf.http.get(&path).await.header("nas-primary-age").is_empty());
}

#[tokio::test]
async fn a_burst_comes_through_in_order_and_whole() {
    let tiers = Tiers::new().await;
    let account = Account::new();
    let mut events = Events::open(&tiers.leaf.http, "").await;
    let (kind, hello) = events.next().await.unwrap();
    assert_eq!((&*kind, hello["via"].as_array().map(Vec::len)), ("hello", Some(2)), "{hello}");
    let begin = page(&tiers.primary.http, "").await.serial;
    let pushing = async {
        let pushes = (0..500).rev().map(|age| (age, tiers.pushed(&account, age)));
        let mut pushed = Vec::new();
        for (_, push) in pushes {
            pushed.push(push.await);
        }
        pushed
    };
    let reading = async {
        let mut read = Vec::new();
        while read.len() < 500 {
            let change = events.next_change().await;
            assert_eq!(change["serial"].as_u64(), Some(begin + 1 + read.len() as u64));
            read.push(change["jwt"].as_str().unwrap().to_owned());
        }
        read
    };
    let (pushed, read) = tokio::join!(pushing, reading);
    assert!(pushed == read);
    // Who was behind for as long gets the same from the hub's memory, and ends where the primary is.
    let (mut count, mut whole) = (0, page(&tiers.hub.http, &format!("?after={begin}")).await);
    while !whole.changes.is_empty() {
        (count, whole) = (
            count + whole.changes.len(),
            page(&tiers.hub.http, &format!("?after={}&chain={}", whole.serial, whole.chain)).await,
        );
    }
    assert_eq!((count, whole.floor), (500, begin));
    assert_eq!(whole.chain, page(&tiers.primary.http, "").await.chain);
    let polled = page(&tiers.leaf.http, &format!("?after={}&wait=25s", begin + 499)).await;
    assert_eq!(polled.changes[0].jwt.as_ref(), pushed.last());
    let below = tiers.hub.http.get(&format!("/jwt/v1/changes?after={}", begin - 1)).await.expect(410).json();
    assert_eq!((below["serial"].as_u64(), below["floor"].as_u64()), (Some(begin + 500), Some(begin)));
}

#[tokio::test]
async fn a_hub_that_dies_and_comes_back_is_gone_on_with_and_nothing_is_fetched_again() {
    let mut tiers = Tiers::new().await;
    let held = known(&tiers.operator, &tiers.primary, &tiers.leaf, 5).await;
    has_stored(&tiers.dir.path().join("hub"), 5).await;
    let asked = fetches(&tiers.leaf).await;
    tiers.hub.kill();
    until("the leaf has noticed", || async { tiers.leaf.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    let newer = tiers.pushed(&held[0].0, 500).await;
    for (account, jwt) in &held {
        assert_eq!(tiers.leaf.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    tiers.hub = tiers.hub.restart().await;
    tiers.to_hub.lead_to(tiers.hub.host());
    tiers.leaf.follows().await;
    serves(&tiers.leaf, &held[0].0.path(), &newer).await;
    for (account, jwt) in &held[1..] {
        assert_eq!(tiers.leaf.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(fetches(&tiers.leaf).await, asked);
    assert!(!tiers.leaf.log().contains("has another history"), "{}", tiers.leaf.log());
}

#[tokio::test]
async fn how_long_the_primary_is_away_is_known_behind_the_hub() {
    let mut tiers = Tiers::new().await;
    let (account, jwt) = known(&tiers.operator, &tiers.primary, &tiers.leaf, 1).await.remove(0);
    let path = account.path();
    assert!(primary_age(&tiers.leaf, &path).await <= 2);
    let heard = tiers.leaf.http.metric("replica_primary_heard_timestamp_seconds", "").await;
    tiers.primary.kill();
    until("the leaf tells", || async { primary_age(&tiers.leaf, &path).await >= 4 }).await;
    let reply = tiers.leaf.http.get(&path).await.expect(200);
    assert!(reply.body == jwt && reply.header("age").parse::<u64>().unwrap() >= 2, "{reply:?}");
    let unchanged = tiers.leaf.http.send("GET", &path, &[("if-none-match", "*")]).await.expect(304);
    assert!(unchanged.header("nas-primary-age").parse::<u64>().unwrap() >= 4, "{unchanged:?}");
    let unknown = tiers.leaf.http.get(&Account::new().path()).await.expect(503);
    assert!(unknown.header("nas-primary-age").parse::<u64>().unwrap() >= 4, "{unknown:?}");
    // It follows all the same: nobody can tell it more.
    assert_eq!(tiers.leaf.http.metric("replica_feed_connected", "").await, 1.0);
    assert_eq!(tiers.hub.http.metric("replica_feed_connected", "").await, 0.0);
    let now_heard = tiers.leaf.http.metric("replica_primary_heard_timestamp_seconds", "").await;
    assert!(now_heard <= heard + 3.0, "{heard} {now_heard}");
    let ready = tiers.leaf.http.get("/readyz?verbose").await.expect(200).body;
    let way = format!("following {}, which is a replica, at serial 2; the primary itself", tiers.to_hub.url());
    assert!(ready.contains(&way), "{ready}");
    let digests = tiers.leaf.http.get("/jwt/v1/digests").await.expect(503);
    assert_eq!(digests.header("retry-after"), "2");
    // It is back, with all in memory gone: another session.
    let primary = Server::primary(&tiers.operator).await;
    tiers.to_primary.lead_to(primary.host());
    until("all is well", || async { primary_age(&tiers.leaf, &path).await <= 2 }).await;
}

#[tokio::test]
async fn behind_a_primary_that_was_replaced_everybody_gets_it_right() {
    let tiers = Tiers::with_ttl("300ms").await;
    let held = known(&tiers.operator, &tiers.primary, &tiers.leaf, 3).await;
    // Another primary: it knows a newer one, the same one, and the last one not at all.
    let other = Server::primary(&tiers.operator).await;
    let newer = tiers.operator.account(&held[0].0, 100);
    other.http.post(&held[0].0.path(), newer.clone()).await.expect(200);
    other.http.post(&held[1].0.path(), held[1].1.clone()).await.expect(200);
    let session = page(&other.http, "").await.session;
    tiers.to_primary.lead_to(other.host());
    follows_session(&tiers.leaf, &session).await;
    serves(&tiers.leaf, &held[0].0.path(), &newer).await;
    for (account, jwt) in &held[1..] {
        assert_eq!(tiers.leaf.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    let newest = tiers.operator.account(&held[0].0, 50);
    other.http.post(&held[0].0.path(), newest.clone()).await.expect(200);
    serves(&tiers.leaf, &held[0].0.path(), &newest).await;
}

#[tokio::test]
async fn what_a_hub_is_not_sure_of_does_not_become_sure_behind_it() {
    let tiers = Tiers::with_ttl("300ms").await;
    let (account, old) = known(&tiers.operator, &tiers.primary, &tiers.leaf, 1).await.remove(0);
    let newer = tiers.operator.account(&account, 100);
    // Another primary, with a feed, and at first with nothing else.
    let session = Session([7; 16]);
    let page = Page::new(Head { session, serial: 0, chain: Chain::default() }, 0, Vec::new());
    let hello = format!("event: hello\ndata: {}\n\n", serde_json::to_string(&page).unwrap());
    let (fails, answer) = (Arc::new(AtomicBool::new(true)), newer.clone());
    let is_failing = fails.clone();
    let other = FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") => Answer::stream(hello.clone()),
        path if !path.starts_with("/jwt/v1/accounts/") => Answer::new(404, ""),
        _ if is_failing.load(Ordering::SeqCst) => Answer::new(503, ""),
        _ => Answer::new(200, answer.clone()),
    });
    let other = other.await;
    tiers.to_primary.lead_to(other.url.trim_start_matches("http://"));
    follows_session(&tiers.leaf, &session.to_string()).await;
    let reply = tiers.hub.http.send("GET", &account.path(), &[("nas-position", "ask")]).await.expect(200);
    assert_eq!((&reply.body, reply.header("nas-confirmed")), (&old, ""));
    assert_eq!(tiers.leaf.http.get(&account.path()).await.expect(200).body, old);
    fails.store(false, Ordering::SeqCst);
    serves(&tiers.leaf, &account.path(), &newer).await;
}

#[tokio::test]
async fn a_hub_that_has_nothing_to_pass_on_says_whether_to_wait() {
    let operator = Operator::new();
    let fresh = Launch::replica(&operator, "http://127.0.0.1:1").start_unready().await;
    let reply = fresh.http.get("/jwt/v1/changes").await.expect(503);
    assert_eq!(reply.header("retry-after"), "1");
    let old = FakePrimary::without_feed(|_| Answer::new(404, "")).await;
    let hub = Launch::replica(&operator, &old.url).start_unready().await;
    until("it is known that there is no feed", || async { hub.http.get("/jwt/v1/changes").await.status == 404 }).await;
}

#[tokio::test]
async fn a_circle_of_replicas_is_no_source() {
    let tiers = Tiers::new().await;
    let (account, jwt) = known(&tiers.operator, &tiers.primary, &tiers.leaf, 1).await.remove(0);
    tiers.to_primary.lead_to(tiers.leaf.host());
    tiers.hub.logs("or this one is among them").await;
    let ready = tiers.hub.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("or this one is among them"), "{ready}");
    assert_eq!(tiers.hub.http.metric("replica_feed_connected", "").await, 0.0);
    assert_eq!(tiers.leaf.http.get(&account.path()).await.expect(200).body, jwt);
    let reply = tiers.leaf.http.get("/jwt/v1/digests").await.expect(508);
    assert!(reply.body.contains("in a circle"), "{}", reply.body);
    let began = std::time::Instant::now();
    tiers.leaf.http.get(&Account::new().path()).await.expect(503);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let age = primary_age(&tiers.leaf, &account.path()).await;
    until("the age goes on", || async { primary_age(&tiers.leaf, &account.path()).await > age + 1 }).await;
}
