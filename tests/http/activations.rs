//! Activations: pushed by the account that exports, fetched by whoever imports, and served while the account vouches.
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Reply, Server, feed, now, until};
use nats_account_server::jwt::activation_hash_id;
use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use serde_json::{Value, json};

const ROUTE: &str = "/jwt/v1/activations";

/// The path of an activation that `signer` signed.
fn path_of(signer: &str, importer: &Account, subject: &str) -> String {
    format!("{ROUTE}/{}", activation_hash_id(signer, &importer.key(), subject).unwrap())
}

/// A server that holds one account, which exports, and another one's key.
async fn exporting(launch: Launch, operator: &Operator) -> (Server, Account, Account) {
    let server = launch.start().await;
    let exporter = Account::named("exporter");
    server.http.post(&exporter.path(), operator.account(&exporter, 1_000)).await.expect(200);
    (server, exporter, Account::named("importer"))
}

async fn push(server: &Server, token: &str) {
    let reply = server.http.post(ROUTE, token.to_owned()).await.expect(200);
    assert_eq!(reply.body, "");
}

async fn is_refused(server: &Server, path: &str, why: &str) {
    until("the activation is not served", || async { server.http.get(path).await.status == 404 }).await;
    let body = server.http.get(path).await.expect(404).body;
    assert!(body.starts_with("No Matching JWT\n") && body.contains(why), "{body}");
}

async fn serves(server: &Server, path: &str, token: &str) {
    until("the activation is served", || async { server.http.get(path).await.body == token }).await;
}

#[tokio::test]
async fn an_activation_is_pushed_and_fetched_as_from_the_old_server() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (server, exporter, importer) = exporting(Launch::primary(&operator).dir(dir.path()), &operator).await;
    let token = exporter.activation(&importer, "orders.>", 100);
    let path = path_of(&exporter.key(), &importer, "orders.>");
    assert_eq!(server.http.get(&path).await.expect(404).body, "No Matching JWT\n");
    push(&server, &format!("{token}\n")).await;
    server
        .logs(&format!("updated activation JWT - {}-{} - \"orders.>\"", &exporter.key()[..12], &importer.key()[..12]))
        .await;
    let reply = server.http.get(&path).await.expect(200);
    assert_eq!((reply.header("content-type"), &reply.body), ("application/jwt", &token));
    assert!(reply.header("cache-control").starts_with("max-age="), "{}", reply.header("cache-control"));
    let etag = reply.header("etag").to_owned();
    let unchanged = server.http.send("GET", &path, &[("if-none-match", &etag)]).await.expect(304);
    assert_eq!((unchanged.header("etag"), unchanged.header("cache-control")), (&*etag, reply.header("cache-control")));
    server.http.send("GET", &path, &[("if-none-match", "\"other\"")]).await.expect(200);
    let head = server.http.send("HEAD", &path, &[]).await.expect(200);
    assert_eq!((head.header("etag"), &*head.body), (&*etag, ""));
    let text = server.http.get(&format!("{path}?text=true")).await.expect(200);
    assert_eq!((text.header("content-type"), &text.body), ("text/plain", &token));
    let readable = server.http.get(&format!("{path}?decode=true")).await.expect(200);
    assert!(readable.body.contains("\"type\": \"activation\""), "{}", readable.body);
    // The padding may be escaped or missing.
    for spelling in [path.replace('=', "%3D"), path.trim_end_matches('=').to_owned()] {
        assert_eq!(server.http.get(&spelling).await.expect(200).body, token, "{spelling}");
    }
    // What differs only behind a wildcard is the same activation.
    assert_eq!(server.http.get(&path_of(&exporter.key(), &importer, "orders.*")).await.expect(200).body, token);
    let server = server.restart().await;
    assert_eq!(server.http.get(&path).await.expect(200).body, token);
}

#[tokio::test]
async fn the_routes_know_their_methods_and_slashes() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let hash = format!("{ROUTE}/{}", activation_hash_id("I", "S", "foo").unwrap());
    for (path, allow) in [(ROUTE, "POST, OPTIONS"), (&*hash, "GET, HEAD, OPTIONS")] {
        for method in ["GET", "POST", "PUT", "DELETE"].into_iter().filter(|method| !allow.contains(method)) {
            assert_eq!(server.http.send(method, path, &[]).await.expect(405).header("allow"), allow, "{method} {path}");
        }
        assert_eq!(server.http.send("OPTIONS", path, &[]).await.expect(200).header("allow"), allow);
        assert_eq!(server.http.send("POST", &format!("{path}/"), &[]).await.expect(307).header("location"), path);
    }
    let reply = server.http.get(&format!("{ROUTE}/nonsense")).await.expect(404);
    assert!(reply.body.starts_with("No Matching JWT\n"), "{}", reply.body);
    server.http.get(&format!("{ROUTE}/a/b")).await.expect(404);
}

#[tokio::test]
async fn what_no_account_vouches_for_is_refused_with_the_old_words_and_the_reason() {
    let operator = Operator::new();
    let (server, exporter, importer) = exporting(Launch::primary(&operator), &operator).await;
    let (stranger, signer) = (Account::new(), KeyPair::new_account());
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = exporter.activation_claims(&importer, "orders", now() - 100);
        change(&mut claims);
        claims
    };
    let good = exporter.activation(&importer, "orders", 100);
    let torn = good[..good.len() - 9].to_owned();
    let named = claims(&|claims| claims["nats"]["issuer_account"] = json!(exporter.key()));
    let (jwt, issuer) = ("bad activation JWT in request\n", "bad activation JWT Issuer in request\n");
    let cases = [
        ("garbage", "hello".to_owned(), jwt, "plain text", "undecodable"),
        ("torn", torn, jwt, "", "undecodable"),
        ("an account JWT", operator.account(&exporter, 0), jwt, "not activation", "undecodable"),
        ("signed by a user", exporter.user().jwt, jwt, "", "undecodable"),
        ("signed by the operator", operator.sign(&claims(&|_| {})), issuer, "not an account key", "issuer_kind"),
        (
            "of an unknown account",
            stranger.activation(&importer, "orders", 9),
            issuer,
            "push its JWT first",
            "unknown_account",
        ),
        ("by a key that is not listed", sign(&named, &signer), issuer, "does not vouch", "untrusted"),
        (
            "for everybody",
            exporter.sign(&claims(&|claims| claims["sub"] = json!("public"))),
            "bad activation JWT Subject in request\n",
            "public",
            "subject_kind",
        ),
        (
            "for no subject",
            exporter.sign(&claims(&|claims| claims["nats"]["subject"] = json!(""))),
            "bad activation hash in request\n",
            "not enough data",
            "malformed",
        ),
        (
            "without a kind",
            exporter.sign(&claims(&|claims| drop(claims["nats"].as_object_mut().unwrap().remove("kind")))),
            jwt,
            "invalid import type",
            "invalid",
        ),
        (
            "expired",
            exporter.sign(&claims(&|claims| claims["exp"] = json!(now() - 10))),
            jwt,
            "claim is expired",
            "time",
        ),
        (
            "not yet valid",
            exporter.sign(&claims(&|claims| claims["nbf"] = json!(now() + 600))),
            jwt,
            "not yet valid",
            "time",
        ),
        (
            "from the future",
            exporter.sign(&claims(&|claims| claims["iat"] = json!(now() + 7_200))),
            jwt,
            "in the future",
            "future",
        ),
    ];
    for (what, token, title, why, reason) in cases {
        let label = format!("path=\"post\",reason=\"{reason}\"");
        let before = server.http.metric("refused_total", &label).await;
        let reply = server.http.post(ROUTE, token).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.body);
        assert!(reply.body.starts_with(title) && reply.body.contains(why), "{what}: {}", reply.body);
        assert_eq!(server.http.metric("refused_total", &label).await, before + 1.0, "{what} is counted");
    }
    let large = exporter.sign(&claims(&|claims| claims["nats"]["tags"] = json!(["x".repeat(70_000)])));
    let reply = server.http.post(ROUTE, large).await.expect(413);
    assert!(reply.body.starts_with(jwt), "{}", reply.body);
    assert_eq!(server.http.metric("serial", "").await, 2.0, "the operator and the account");
}

#[tokio::test]
async fn newer_does_not_yield_to_older() {
    let operator = Operator::new();
    let (server, exporter, importer) = exporting(Launch::primary(&operator), &operator).await;
    let path = path_of(&exporter.key(), &importer, "orders");
    let (first, second) =
        (exporter.activation(&importer, "orders", 200), exporter.activation(&importer, "orders", 100));
    push(&server, &first).await;
    push(&server, &second).await;
    push(&server, &second).await;
    let reply = server.http.post(ROUTE, first).await.expect(409);
    assert!(reply.body.contains("stale JWT"), "{}", reply.body);
    assert_eq!(server.http.get(&path).await.expect(200).body, second);
    assert_eq!(server.http.metric("serial", "").await, 4.0, "the same again is no change");
}

/// The bound of versions that one second takes.
const MOST: usize = 64;

#[tokio::test]
async fn a_second_takes_so_many_versions_of_an_activation_and_of_an_account() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (server, exporter, importer) = exporting(Launch::primary(&operator).dir(dir.path()), &operator).await;
    let replica = Server::replica(&operator, &server.url).await;
    let path = path_of(&exporter.key(), &importer, "orders");
    let iat = now() - 100;
    let activation = |iat: i64, n: usize| {
        let mut claims = exporter.activation_claims(&importer, "orders", iat);
        claims["name"] = json!(format!("version {n}"));
        exporter.sign(&claims)
    };
    let account = |iat: i64, n: usize| {
        let mut claims = exporter.claims(iat);
        claims["name"] = json!(format!("version {n}"));
        operator.sign(&claims)
    };
    for n in 0..MOST {
        push(&server, &activation(iat, n)).await;
        server.http.post(&exporter.path(), account(iat, n)).await.expect(200);
    }
    let current = async |server: &Server, iat: i64, n: usize| {
        serves(server, &path, &activation(iat, n)).await;
        serves(server, &exporter.path(), &account(iat, n)).await;
    };
    current(&replica, iat, MOST - 1).await;
    let server = server.restart().await;
    let is_full = |reply: Reply| {
        let text = reply.expect(409).body;
        assert!(text.contains("64 versions issued in the same second") && text.contains("a second later"), "{text}");
    };
    is_full(server.http.post(ROUTE, activation(iat, MOST)).await);
    is_full(server.http.post(&exporter.path(), account(iat, MOST)).await);
    // What is current stays so, and what was replaced stays away.
    push(&server, &activation(iat, MOST - 1)).await;
    let reply = server.http.post(ROUTE, activation(iat, 0)).await.expect(409);
    assert!(reply.body.contains("replaced by a later one"), "{}", reply.body);
    let replica = Server::replica(&operator, &server.url).await;
    current(&server, iat, MOST - 1).await;
    current(&replica, iat, MOST - 1).await;
    push(&server, &activation(iat + 1, MOST)).await;
    server.http.post(&exporter.path(), account(iat + 1, MOST)).await.expect(200);
    current(&server, iat + 1, MOST).await;
    current(&replica, iat + 1, MOST).await;
}

#[tokio::test]
async fn an_activation_is_served_while_its_account_vouches_on_primary_and_replica() {
    let operator = Operator::new();
    let (primary, exporter, importer) = exporting(Launch::primary(&operator), &operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let signer = KeyPair::new_account();
    let both = [&primary, &replica];
    let all_refuse = async |why: &str| {
        is_refused(&primary, &path_of(&signer.public_key(), &importer, "orders.new"), why).await;
        // A replica that has not cached it goes by its primary, which says no more than that there is none.
        is_refused(&replica, &path_of(&signer.public_key(), &importer, "orders.new"), "").await;
    };
    let account = |age: i64, change: &dyn Fn(&mut Value)| {
        let mut claims = exporter.with_signing_key(now() - age, &signer);
        change(&mut claims);
        operator.sign(&claims)
    };
    let export = |revocations: Value| json!([{ "name": "o", "subject": "orders.>", "type": "stream", "token_req": true, "revocations": revocations }]);
    let mut claims = exporter.activation_claims(&importer, "orders.new", now() - 500);
    claims["nats"]["issuer_account"] = json!(exporter.key());
    let by_key = sign(&claims, &signer);
    let path = path_of(&signer.public_key(), &importer, "orders.new");
    let reply = primary.http.post(ROUTE, by_key.clone()).await.expect(400);
    assert!(reply.body.contains("does not vouch"), "{}", reply.body);

    primary.http.post(&exporter.path(), account(400, &|_| {})).await.expect(200);
    push(&primary, &by_key).await;
    for server in both {
        serves(server, &path, &by_key).await;
    }
    // The key goes, and comes again.
    primary.http.post(&exporter.path(), operator.account(&exporter, 350)).await.expect(200);
    all_refuse("does not vouch for the key").await;
    primary.http.post(&exporter.path(), account(300, &|_| {})).await.expect(200);
    for server in both {
        serves(server, &path, &by_key).await;
    }
    // A revocation by an export that covers the subject, until a time that is not earlier than its own.
    let revoked = |at: i64| account(200, &|claims| claims["nats"]["exports"] = export(json!({ importer.key(): at })));
    primary.http.post(&exporter.path(), revoked(now() - 100)).await.expect(200);
    all_refuse("has revoked the activation").await;
    let elsewhere = account(150, &|claims| {
        claims["nats"]["exports"] = export(json!({ importer.key(): now() - 600, Account::new().key(): now() }));
    });
    primary.http.post(&exporter.path(), elsewhere).await.expect(200);
    for server in both {
        serves(server, &path, &by_key).await;
    }
    primary.http.delete(&exporter.path(), operator.delete_request(&[&exporter], 100)).await.expect(200);
    all_refuse("not held any more").await;
}

#[tokio::test]
async fn an_account_has_so_many_activations_and_no_more() {
    let operator = Operator::new();
    let launch = Launch::primary(&operator).env("NAS_STORE__ACTIVATIONS_PER_ACCOUNT", "2");
    let (server, exporter, importer) = exporting(launch, &operator).await;
    for subject in ["a", "b"] {
        push(&server, &exporter.activation(&importer, subject, 100)).await;
    }
    let reply = server.http.post(ROUTE, exporter.activation(&importer, "c", 100)).await.expect(403);
    assert!(reply.body.starts_with("too many activations\n") && reply.body.contains("has 2"), "{}", reply.body);
    push(&server, &exporter.activation(&importer, "a", 50)).await;
    let other = Account::new();
    server.http.post(&other.path(), operator.account(&other, 100)).await.expect(200);
    push(&server, &other.activation(&importer, "c", 100)).await;
}

#[tokio::test]
async fn an_expired_activation_is_not_served() {
    let operator = Operator::new();
    let (server, exporter, importer) = exporting(Launch::primary(&operator), &operator).await;
    let replica = Server::replica(&operator, &server.url).await;
    let mut claims = exporter.activation_claims(&importer, "orders", now() - 100);
    claims["exp"] = json!(now() + 4);
    let token = exporter.sign(&claims);
    let path = path_of(&exporter.key(), &importer, "orders");
    push(&server, &token).await;
    for server in [&server, &replica] {
        assert_eq!(server.http.get(&path).await.expect(200).body, token);
    }
    for server in [&server, &replica] {
        until("it has expired", || async { server.http.get(&path).await.status == 404 }).await;
    }
    // Another one for the same may follow.
    let token = exporter.activation(&importer, "orders", 50);
    push(&server, &token).await;
    serves(&server, &path, &token).await;
    serves(&replica, &path, &token).await;
}

#[tokio::test]
async fn the_feed_carries_activations_and_a_replica_pulls_what_it_is_asked_for() {
    let operator = Operator::new();
    let (primary, exporter, importer) = exporting(Launch::primary(&operator), &operator).await;
    let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__NEGATIVE_TTL", "10m");
    let replica = launch.start().await;
    replica.follows().await;
    let path = path_of(&exporter.key(), &importer, "orders");
    for _ in 0..5 {
        assert_eq!(replica.http.get(&path).await.expect(404).body, "No Matching JWT\n");
    }
    let asked = primary.http.metric("http_requests_total", "code=\"404\",method=\"GET\",route=\"activation\"").await;
    assert_eq!(asked, 1.0, "what is unknown is not asked for again at once");
    let first = exporter.activation(&importer, "orders", 200);
    push(&primary, &first).await;
    serves(&replica, &path, &first).await;
    for _ in 0..5 {
        assert_eq!(replica.http.get(&path).await.expect(200).body, first);
    }
    let pulled = primary.http.metric("http_requests_total", "code=\"200\",method=\"GET\",route=\"activation\"").await;
    // The request may come just before the change, and then another one after it.
    assert!((1.0..=2.0).contains(&pulled), "one pull: {pulled}");
    let second = exporter.activation(&importer, "orders", 100);
    push(&primary, &second).await;
    serves(&replica, &path, &second).await;
    let reply = replica.http.post(ROUTE, second.clone()).await.expect(405);
    assert!(reply.body.contains(&primary.url), "{}", reply.body);

    let history = feed::history(&primary.http).await;
    let changes: Vec<_> = history.changes.iter().filter(|change| change.kind == "activation").collect();
    let hash = path.rsplit('/').next();
    assert_eq!(changes.len(), 2);
    for change in &changes {
        assert_eq!((&*change.op, change.key.as_deref()), ("put", hash));
    }
    assert_eq!(changes[1].jwt.as_ref(), Some(&second));
    // Who has it answers, whatever is down.
    drop(primary);
    until("the feed is lost", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    assert_eq!(replica.http.get(&path).await.expect(200).body, second);
    let other = path_of(&exporter.key(), &importer, "other");
    replica.http.get(&other).await.expect(503);
}

#[tokio::test]
async fn a_primary_that_lies_about_an_activation_is_not_believed() {
    let operator = Operator::new();
    let (exporter, importer, stranger) = (Account::new(), Account::new(), Account::new());
    let account = operator.account(&exporter, 100);
    let good = exporter.activation(&importer, "orders", 100);
    let mut claims = exporter.activation_claims(&importer, "orders", now() - 50);
    claims["nats"]["issuer_account"] = json!(exporter.key());
    let path = path_of(&exporter.key(), &importer, "orders");
    let lies = [
        (&path, good[..good.len() - 9].to_owned()),
        (&path, "<html>please log in</html>".to_owned()),
        // For another hash, and by a key that the account does not list.
        (&path, exporter.activation(&importer, "elsewhere", 100)),
        (&path_of(&stranger.key(), &importer, "orders"), stranger.sign(&claims)),
    ];
    for (path, lie) in lies {
        let (account, key) = (account.clone(), exporter.key());
        let primary = FakePrimary::new(move |path| match path.strip_prefix("/jwt/v1/") {
            Some(path) if path.starts_with("activations/") => Answer::new(200, lie.clone()),
            Some(path) if path.ends_with(&key) => Answer::new(200, account.clone()),
            _ => Answer::new(404, "404 page not found\n"),
        })
        .await;
        let replica = Launch::replica(&operator, &primary.url).start_unready().await;
        let reply = replica.http.get(path).await.expect(503);
        assert!(!reply.body.contains("eyJ"), "{}", reply.body);
    }
}
