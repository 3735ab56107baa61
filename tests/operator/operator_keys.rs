//! Signing keys that come and go: what a withdrawn key signed is withheld, wherever it is, and stands in nobody's way.
use std::path::PathBuf;

use crate::support::{Account, Launch, Operator, Proxy, Server, feed, now, until};
use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use tempfile::TempDir;

/// An operator whose JWT lies in a file, and a folder for a primary.
struct World {
    operator: Operator,
    first: KeyPair,
    second: KeyPair,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let (first, second) = (KeyPair::new_operator(), KeyPair::new_operator());
        let world = Self { operator: Operator::new(), first, second, dir: tempfile::tempdir().unwrap() };
        world.configure(&world.operator.listing(&[&world.first, &world.second], 5_000));
        world
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("operator.jwt")
    }

    fn configure(&self, jwt: &str) {
        std::fs::write(self.file(), jwt).unwrap();
    }

    async fn primary(&self) -> Server {
        Launch::default().flag("-operator", self.file()).dir(&self.dir.path().join("tokens")).start().await
    }
}

fn sign_by(key: &KeyPair, account: &Account, age: i64) -> String {
    sign(&account.claims(now() - age), key)
}

async fn replica(operator_jwt: &str, primary: &str) -> Server {
    let server = Launch::default().flag("-operator", operator_jwt).flag("-primary", primary).start().await;
    server.follows().await;
    server
}

async fn put(primary: &Server, account: &Account, jwt: &str) {
    primary.http.post(&account.path(), jwt.to_owned()).await.expect(200);
}

async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("the JWT is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

async fn withholds(server: &Server, account: &Account, key: &KeyPair) {
    until("the account is withheld", || async { server.http.get(&account.path()).await.status == 404 }).await;
    let body = server.http.get(&account.path()).await.expect(404).body;
    assert!(body.starts_with("no matching account JWT\n"), "{body}");
    for part in ["withheld", &key.public_key(), "sign the account again", "list that key again"] {
        assert!(body.contains(part), "{part}: {body}");
    }
}

#[tokio::test]
async fn what_a_withdrawn_key_signed_is_withheld_until_it_is_signed_again_or_the_key_is_listed_again() {
    let world = World::new();
    let primary = world.primary().await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = replica(&world.operator.listing(&[&world.first, &world.second], 5_000), &proxy.url()).await;
    let (resigned, relisted, untouched, deleted) = (Account::new(), Account::new(), Account::new(), Account::new());
    let held = sign_by(&world.second, &relisted, 1_000);
    put(&primary, &resigned, &sign_by(&world.second, &resigned, 1_000)).await;
    put(&primary, &relisted, &held).await;
    put(&primary, &deleted, &sign_by(&world.second, &deleted, 1_000)).await;
    put(&primary, &untouched, &sign_by(&world.first, &untouched, 1_000)).await;
    for account in [&resigned, &relisted, &untouched, &deleted] {
        replica.http.get(&account.path()).await.expect(200);
        // Twice, so that a worker keeps it.
        primary.http.get(&account.path()).await.expect(200);
    }

    world.configure(&world.operator.listing(&[&world.first], 500));
    let primary = primary.stop_and_start().await;
    proxy.lead_to(primary.host());
    for account in [&resigned, &relisted, &deleted] {
        withholds(&primary, account, &world.second).await;
        withholds(&replica, account, &world.second).await;
        until("the log names it", || async {
            let names = |line: &str| line.contains("is withheld, it was signed by") && line.contains(&account.key());
            primary.log().lines().any(names)
        })
        .await;
    }
    primary.http.get(&untouched.path()).await.expect(200);
    replica.http.get(&untouched.path()).await.expect(200);
    assert_eq!(primary.http.metric("withheld_accounts", "").await, 3.0);
    assert_eq!(primary.http.metric("accounts", "").await, 4.0, "it is kept");
    let ready = primary.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("3 accounts are withheld"), "{ready}");

    // The withdrawn key signs nothing any more, and what was signed before the withdrawal is not newer.
    let by_withdrawn = primary.http.post(&resigned.path(), sign_by(&world.second, &resigned, 400)).await.expect(400);
    assert!(by_withdrawn.body.starts_with("untrusted issuer in request\n"), "{}", by_withdrawn.body);
    primary.http.post(&resigned.path(), sign_by(&world.first, &resigned, 1_500)).await.expect(409);
    let anew = sign_by(&world.first, &resigned, 100);
    put(&primary, &resigned, &anew).await;
    serves(&primary, &resigned, &anew).await;
    serves(&replica, &resigned, &anew).await;
    let request = world.operator.delete_request(&[&deleted], 100);
    primary.http.delete(&deleted.path(), request).await.expect(200);
    assert_eq!(primary.http.metric("withheld_accounts", "").await, 1.0);

    world.configure(&world.operator.listing(&[&world.first, &world.second], 50));
    let primary = primary.stop_and_start().await;
    proxy.lead_to(primary.host());
    serves(&primary, &relisted, &held).await;
    serves(&replica, &relisted, &held).await;
    serves(&primary, &resigned, &anew).await;
    primary.http.get(&deleted.path()).await.expect(404);
    assert_eq!(primary.http.metric("withheld_accounts", "").await, 0.0);
}

#[tokio::test]
async fn a_thief_who_signs_ahead_blocks_nobody() {
    let world = World::new();
    let primary = world.primary().await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = replica(&world.operator.listing(&[&world.first, &world.second], 5_000), &proxy.url()).await;
    // A server that withholds everything is not ready, so there is one more.
    let (taken, deleted, other) = (Account::new(), Account::new(), Account::new());
    for account in [&taken, &deleted, &other] {
        put(&primary, account, &sign_by(&world.first, account, 1_000)).await;
        replica.http.get(&account.path()).await.expect(200);
    }
    let stolen = sign_by(&world.second, &taken, -3_000);
    put(&primary, &taken, &stolen).await;
    let claims = serde_json::json!({
        "sub": world.second.public_key(), "iat": now() + 3_000,
        "nats": { "accounts": [deleted.key()], "type": "generic", "version": 2 }
    });
    primary.http.delete(&deleted.path(), sign(&claims, &world.second)).await.expect(200);
    serves(&replica, &taken, &stolen).await;
    primary.http.post(&taken.path(), sign_by(&world.first, &taken, 0)).await.expect(409);

    world.configure(&world.operator.listing(&[&world.first], 600));
    let primary = primary.stop_and_start().await;
    proxy.lead_to(primary.host());
    withholds(&primary, &taken, &world.second).await;
    withholds(&replica, &taken, &world.second).await;
    for account in [&taken, &deleted] {
        primary.http.post(&account.path(), sign_by(&world.first, account, 900)).await.expect(409);
        let jwt = sign_by(&world.first, account, 300);
        put(&primary, account, &jwt).await;
        serves(&primary, account, &jwt).await;
        serves(&replica, account, &jwt).await;
    }
    // The thief's JWT does not come back with the key either.
    world.configure(&world.operator.listing(&[&world.first, &world.second], 200));
    let primary = primary.stop_and_start().await;
    primary.http.post(&taken.path(), stolen).await.expect(409);
    put(&primary, &taken, &sign_by(&world.first, &taken, 100)).await;
}

#[tokio::test]
async fn the_feed_carries_the_operators_newest_jwt_to_replicas() {
    let world = World::new();
    let old = world.operator.listing(&[&world.first, &world.second], 5_000);
    let primary = world.primary().await;
    let proxy = Proxy::to(primary.host()).await;
    let configured = replica(&old, &proxy.url()).await;
    let pinned = Launch::default().flag("-primary", proxy.url()).start().await;
    pinned.follows().await;
    let third = KeyPair::new_operator();
    let new = world.operator.listing(&[&third], 400);
    world.configure(&new);
    let primary = primary.stop_and_start().await;
    proxy.lead_to(primary.host());
    // One that comes later begins with the old JWT as well, and did not see the change go by.
    let late = replica(&old, &proxy.url()).await;
    for replica in [&configured, &pinned, &late] {
        until("the operator's JWT has come", || async { replica.http.get("/jwt/v1/operator").await.body == new }).await;
        replica.http.get("/readyz").await.expect(200);
    }
    let account = Account::new();
    let jwt = sign_by(&third, &account, 100);
    put(&primary, &account, &jwt).await;
    for replica in [&configured, &pinned, &late] {
        serves(replica, &account, &jwt).await;
    }
    let history = feed::history(&primary.http).await;
    let kinds: Vec<_> = history.changes.iter().map(|change| (change.kind.as_str(), change.op.as_str())).collect();
    assert_eq!(kinds, [("operator", "put"), ("operator", "put"), ("account", "put")]);
    assert_eq!(history.changes[0].jwt.as_deref(), Some(&*old));
    assert_eq!(
        (history.changes[1].key.as_deref(), history.changes[1].jwt.as_deref()),
        (Some(&*world.operator.key()), Some(&*new))
    );
}

#[tokio::test]
async fn a_replica_keeps_its_newer_operator_jwt_and_takes_nobody_elses() {
    let world = World::new();
    let primary = world.primary().await;
    let newer = world.operator.listing(&[&world.first], 100);
    let replica = replica(&newer, &primary.url).await;
    let account = Account::new();
    put(&primary, &account, &sign_by(&world.second, &account, 50)).await;
    until("the feed is read", || async { replica.http.metric("serial", "").await == 2.0 }).await;
    assert_eq!(replica.http.get("/jwt/v1/operator").await.body, newer);
    assert_eq!(replica.http.get(&account.path()).await.status, 503, "its primary has it, and it may not be served");
    let stranger = Operator::new();
    let other = Launch::replica(&stranger, &primary.url).start().await;
    other.follows().await;
    other.logs("cannot be connected with the one in force here").await;
    assert_eq!(other.http.get("/jwt/v1/operator").await.body, stranger.jwt());
}

#[tokio::test]
async fn an_older_file_than_the_journal_counts_no_more() {
    let world = World::new();
    let old = std::fs::read_to_string(world.file()).unwrap();
    drop(world.primary().await);
    let new = world.operator.listing(&[&world.first], 100);
    world.configure(&new);
    drop(world.primary().await);
    world.configure(&old);
    let primary = world.primary().await;
    primary.logs("the one in the journal stays in force: the operator JWT in force is newer").await;
    assert_eq!(primary.http.get("/jwt/v1/operator").await.body, new);
    let account = Account::new();
    primary.http.post(&account.path(), sign_by(&world.second, &account, 50)).await.expect(400);
    // Without a configured one the journal's is what is known.
    drop(primary);
    let primary = Launch::default().dir(&world.dir.path().join("tokens")).start().await;
    primary.logs("no operator is configured, but the store is that of").await;
    put(&primary, &account, &sign_by(&world.first, &account, 50)).await;
}

#[tokio::test]
async fn what_a_signing_key_signs_reaches_replicas_and_is_loud_on_each_server() {
    let world = World::new();
    let primary = world.primary().await;
    let old = std::fs::read_to_string(world.file()).unwrap();
    let replica = replica(&old, &primary.url).await;
    let third = KeyPair::new_operator();
    let by_signing_key = sign(&world.operator.claims(&[&world.first, &third], now() - 100), &world.first);
    world.configure(&by_signing_key);
    primary.signal("HUP");
    let signer = format!("the signing key {} signed the new one", world.first.public_key());
    for server in [&primary, &replica] {
        server.logs(&signer).await;
        server.logs(&format!("it lists {}", third.public_key())).await;
        server.logs(&format!("it no longer lists {}", world.second.public_key())).await;
        assert_eq!(server.http.metric("operator_links_total", "").await, 1.0);
        assert_eq!(server.http.metric("operator_chain_links", "").await, 2.0);
        assert_eq!(server.http.get("/jwt/v1/operator").await.body, by_signing_key);
        let chain = server.http.get("/jwt/v1/operator?chain=true").await.expect(200).json();
        assert_eq!(chain["links"], serde_json::json!([old, by_signing_key]));
        assert_eq!((&chain["origin"], &chain["format"]), (&"identity".into(), &2.into()));
    }
    let (account, lost) = (Account::new(), Account::new());
    let jwt = sign_by(&third, &account, 50);
    put(&primary, &account, &jwt).await;
    serves(&replica, &account, &jwt).await;
    primary.http.post(&lost.path(), sign_by(&world.second, &lost, 50)).await.expect(400);
    let history = feed::history(&primary.http).await;
    let put = history.changes.iter().rfind(|change| change.kind == "operator").unwrap();
    assert_eq!((put.jwt.as_deref(), &put.links), (Some(&*by_signing_key), &vec![old, by_signing_key.clone()]));
}

#[tokio::test]
async fn another_operators_file_ends_the_start_unless_it_is_named() {
    let world = World::new();
    let primary = world.primary().await;
    let account = Account::new();
    let jwt = sign_by(&world.first, &account, 1_000);
    put(&primary, &account, &jwt).await;
    let first = std::fs::read_to_string(world.file()).unwrap();
    drop(primary);
    let other = Operator::new();
    world.configure(&other.jwt());
    let launch = || Launch::default().flag("-operator", world.file()).dir(&world.dir.path().join("tokens"));
    let (status, log) = launch().fail().await;
    assert_eq!(status, Some(1));
    for part in [&*other.key(), &*world.operator.key(), "--change-operator"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let (status, log) = launch().flag("--change-operator", world.operator.key()).fail().await;
    assert_eq!(status, Some(1), "{log}");
    let (status, log) = launch().flag("--change-operator", "me").fail().await;
    assert_eq!(status, Some(1));
    assert!(log.contains("public identity key"), "{log}");
    let primary = launch().flag("--change-operator", other.key()).start_unready().await;
    primary.logs("what the keys of the former one signed is withheld").await;
    withholds(&primary, &account, &world.first).await;
    let ready = primary.http.get("/readyz?verbose").await.expect(503).body;
    assert!(ready.contains("1 accounts are withheld") && ready.contains("and these are all"), "{ready}");
    // One account of its own, and the rest is none of its business.
    let own = Account::new();
    put(&primary, &own, &other.account(&own, 0)).await;
    primary.http.get("/readyz").await.expect(200);
    // The flag may stay: it asks for what is the case.
    let primary = primary.stop_and_start().await;
    assert!(!primary.log().contains("the operator changes to"), "{}", primary.log());
    drop(primary);
    world.configure(&first);
    let primary = launch().flag("--change-operator", world.operator.key()).start().await;
    assert_eq!(primary.http.get(&account.path()).await.expect(200).body, jwt);
}

#[tokio::test]
async fn an_expired_operator_jwt_goes_on_counting_and_is_loud() {
    let world = World::new();
    let mut claims = world.operator.claims(&[&world.first], now() - 5_000);
    let expiry = now() - 10;
    claims["exp"] = expiry.into();
    let jwt = world.operator.sign_by_identity_key(&claims);
    world.configure(&jwt);
    let primary = world.primary().await;
    primary.logs("HAS EXPIRED").await;
    #[allow(clippy::cast_precision_loss)]
    let expected = expiry as f64;
    assert_eq!(primary.http.metric("operator_expiry_timestamp_seconds", "").await, expected);
    let ready = primary.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("HAS EXPIRED"), "{ready}");
    let account = Account::new();
    put(&primary, &account, &sign_by(&world.first, &account, 100)).await;
    primary.http.get(&account.path()).await.expect(200);
    let plain = Server::primary(&Operator::new()).await;
    assert_eq!(plain.http.metric("operator_expiry_timestamp_seconds", "").await, 0.0);
}
