//! `/jwt/v1/digests`: the digest tree, and what differs from what a follower holds.

use nats_account_server::feed::Subject;
use nats_account_server::feed::digest::{Leaf, LeafState, ListedLeaf, Sum};
use nats_account_server::feed::wire::{DigestAnswer, DigestAsk, DigestPage, Item};
use sha2::{Digest as _, Sha256};

use crate::support::feed::history;
use crate::support::{Account, Http, Operator, Server, now};

async fn page(http: &Http, query: &str) -> DigestPage {
    let reply = http.get(&format!("/jwt/v1/digests{query}")).await.expect(200);
    assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", "application/json"));
    serde_json::from_str(&reply.body).unwrap()
}

async fn compare(http: &Http, ask: &DigestAsk) -> DigestAnswer {
    let reply = http.post("/jwt/v1/digests", serde_json::to_string(ask).unwrap()).await.expect(200);
    assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", "application/json"));
    serde_json::from_str(&reply.body).unwrap()
}

/// The leaf of a JWT, made as a follower makes it.
fn leaf(key: &str, jwt: &str) -> Leaf {
    let (signed, _) = jwt.rsplit_once('.').unwrap();
    Leaf::of(&Subject::parse(key).unwrap(), &LeafState::Held(Sha256::digest(signed).into()))
}

/// The first digits of a raw key.
fn prefix(key: &str, bytes: usize) -> String {
    data_encoding::HEXLOWER.encode(&Subject::parse(key).unwrap().raw()[..bytes])
}

fn ask(have: &[(&str, &str)], prefix: Option<&str>) -> DigestAsk {
    let have = have.iter().map(|(key, digest)| ((*key).to_owned(), (*digest).to_owned())).collect();
    DigestAsk { have, prefix: prefix.map(str::to_owned), after: None }
}

/// What an answer says of each key.
fn told(answer: &DigestAnswer) -> Vec<(&str, &str, Option<&str>)> {
    answer.items.iter().map(|item| (&*item.op, key_of(item), item.jwt.as_deref())).collect()
}

fn key_of(item: &Item) -> &str {
    item.key.as_deref().or(item.keys.first().map(String::as_str)).unwrap()
}

#[tokio::test]
async fn the_tree_leads_from_the_root_to_every_leaf() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let jwt = operator.account(&account, 10);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    let leaves = [leaf(&operator.key(), &operator.jwt()), leaf(&account.key(), &jwt)];
    let mut sum = Sum::default();
    leaves.iter().for_each(|leaf| sum.toggle(&leaf.0));
    let (root, feed) = (page(&server.http, "").await, history(&server.http).await);
    assert_eq!((&root.session, root.serial, &root.chain, root.floor), (&feed.session, 2, &feed.chain, feed.floor));
    assert_eq!((root.sum, root.items), (sum.short().to_string(), None));
    let children = root.children.unwrap();
    for (key, leaf, kind) in [(operator.key(), leaves[0], "operator"), (account.key(), leaves[1], "account")] {
        let (high, both) = (prefix(&key, 1), prefix(&key, 2));
        let node = page(&server.http, &format!("?prefix={high}")).await;
        assert_eq!(node.sum, children[&high]);
        let bucket = page(&server.http, &format!("?prefix={}", both.to_uppercase())).await;
        assert_eq!(bucket.sum, node.children.unwrap()[&both[2..]]);
        let text = format!(r#"["{key}","{}","{kind}"]"#, leaf.short());
        let body = server.http.get(&format!("/jwt/v1/digests?prefix={both}")).await.expect(200).body;
        assert!(body.contains(&text) && !body.contains("next"), "{body}");
        let item = ListedLeaf::of(Subject::parse(&key).unwrap(), &leaf);
        assert!(bucket.children.is_none() && bucket.items.unwrap().contains(&item));
    }
    let mut nodes = (0..=u8::MAX).map(|node| format!("{node:02x}"));
    let unused = nodes.find(|node| !children.contains_key(node)).unwrap();
    let empty = page(&server.http, &format!("?prefix={unused}")).await;
    assert_eq!((&*empty.sum, empty.children.map(|children| children.len())), ("0000000000000000", Some(0)));
    let head = server.http.send("HEAD", "/jwt/v1/digests", &[]).await.expect(200);
    assert_eq!(
        (head.header("content-type"), head.header("cache-control"), &*head.body),
        ("application/json", "no-store", "")
    );
}

#[tokio::test]
async fn what_differs_is_told_with_its_proof() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let http = &server.http;
    let (same, other, gone, unknown) = (Account::new(), Account::new(), Account::new(), Account::new());
    let jwts = [&same, &other].map(|account| operator.account(account, 10));
    for (account, jwt) in [(&same, &jwts[0]), (&other, &jwts[1]), (&gone, &operator.account(&gone, 20))] {
        http.post(&account.path(), jwt.clone()).await.expect(200);
    }
    let request = operator.delete_request(&[&gone], 10);
    http.delete(&gone.path(), request.clone()).await.expect(200);
    let activation = same.activation(&other, "subject", 5);
    http.post("/jwt/v1/activations", activation.clone()).await.expect(200);

    let (wrong, right) = ("0123456789abcdef", leaf(&same.key(), &jwts[0]).short().to_string());
    let keys = [&same, &other, &gone, &unknown].map(|account| account.key());
    let have = [(&*keys[0], &*right), (&*keys[1], wrong), (&*keys[2], wrong), (&*keys[3], wrong)];
    let answer = compare(http, &ask(&have, None)).await;
    let feed = history(http).await;
    assert_eq!((&answer.session, answer.serial, &answer.chain, &answer.next), (&feed.session, 6, &feed.chain, &None));
    let mut expected =
        vec![("put", &*keys[1], Some(&*jwts[1])), ("delete", &*keys[2], None), ("none", &*keys[3], None)];
    expected.sort_by_key(|(_, key, _)| Subject::parse(key).unwrap());
    assert_eq!(told(&answer), expected);
    for item in answer.items.iter().filter(|item| item.op != "none") {
        let change = feed.changes.iter().find(|change| change.serial == item.serial).unwrap();
        assert_eq!(serde_json::to_value(item).unwrap(), serde_json::to_value(change).unwrap(), "as in the feed");
    }
    assert_eq!(answer.items.iter().find_map(|item| item.request.clone()), Some(request));

    // Under each prefix, with nothing in hand, is everything there is: the operator's JWT and the activation, too.
    let mut all = Vec::new();
    for node in 0..=u8::MAX {
        let answer = compare(http, &ask(&[], Some(&format!("{node:02x}")))).await;
        assert!(answer.items.iter().all(|item| prefix(key_of(item), 1) == format!("{node:02x}")));
        all.extend(answer.items);
    }
    let count = |kind: &str| all.iter().filter(|item| item.kind == kind).count();
    assert_eq!((count("account"), count("operator"), count("activation")), (3, 1, 1));
    assert!(all.iter().any(|item| item.jwt.as_ref() == Some(&activation)));
    let under = prefix(&keys[0], 2);
    let answer = compare(http, &ask(&have[..1], Some(&under))).await;
    assert!(answer.items.iter().all(|item| key_of(item) != keys[0]), "what is named rightly is not told");
    let answer = compare(http, &ask(&[(&keys[3], wrong)], Some(&prefix(&keys[3], 1)))).await;
    assert!(told(&answer).contains(&("none", &keys[3], None)));
}

#[tokio::test]
async fn questions_that_are_none_are_refused_with_the_reason() {
    let server = Server::primary(&Operator::new()).await;
    for prefix in ["a", "abc", "abcde", "xy", "ab%20", "abcdef"] {
        for more in ["", "&leaves=true"] {
            let reply = server.http.get(&format!("/jwt/v1/digests?prefix={prefix}{more}")).await.expect(400);
            assert!(reply.body.starts_with("bad prefix parameter\n"), "{}", reply.body);
        }
    }
    for (query, reason) in [
        ("leaves=", "bad leaves parameter\ntrue is expected"),
        ("leaves", "bad leaves parameter\ntrue is expected"),
        ("leaves=false&after=x", "bad leaves parameter\ntrue is expected"),
        ("leaves=1&prefix=ab", "bad leaves parameter\ntrue is expected"),
        ("leaves=true&after=x", "bad after parameter\nafter must be the next of an earlier answer"),
        ("leaves=true&after=ab&prefix=ab", "bad after parameter\nafter must be the next of an earlier answer"),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = server.http.send(method, &format!("/jwt/v1/digests?{query}"), &[]).await.expect(400);
            assert_eq!(reply.body.trim_end(), if method == "GET" { reason } else { "" }, "{method} {query}");
        }
    }
    let (key, digest) = (Account::new().key(), "0123456789abcdef");
    let many: Vec<_> = (0..1_001).map(|_| (key.as_str(), digest)).collect();
    let other = format!("{:02x}", Subject::parse(&key).unwrap().raw()[0] ^ 1);
    let text = |ask: &DigestAsk| serde_json::to_string(ask).unwrap();
    for (body, reason) in [
        (String::new(), "EOF"),
        ("{}".into(), "have"),
        ("[]".into(), "an object with have"),
        (r#"{"have":[],"prefx":"ab"}"#.into(), "prefx"),
        (text(&ask(&many, None)), "1001 keys are named"),
        (text(&ask(&[("A", digest)], None)), "\"A\" is not an account key"),
        (text(&ask(&[(&key, "0123")], None)), "16 hexadecimal digits"),
        (text(&ask(&[], Some(""))), "a prefix is"),
        (text(&ask(&[(&key, digest)], Some(&other))), "is not under the prefix"),
        (text(&DigestAsk { after: Some("x".into()), ..ask(&[], None) }), "after"),
    ] {
        let reply = server.http.post("/jwt/v1/digests", body.clone()).await.expect(400);
        assert!(reply.body.starts_with("bad question\n") && reply.body.contains(reason), "{body:.80}: {}", reply.body);
    }
    let reply = server.http.post("/jwt/v1/digests", " ".repeat(300_000)).await.expect(413);
    assert!(reply.body.contains("at most 262144 bytes"), "{}", reply.body);
}

#[tokio::test]
async fn a_cache_asks_its_primary_for_digests() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let hub = Server::replica(&operator, &server.url).await;
    let replica = Server::replica(&operator, &hub.url).await;
    for (path, status) in [
        ("", 200),
        ("?prefix=ab", 200),
        ("?prefix=abcd", 200),
        ("?prefix=a", 400),
        ("?leaves=true", 200),
        ("?prefix=ab&leaves=true", 200),
        ("?leaves=maybe", 400),
    ] {
        let path = format!("/jwt/v1/digests{path}");
        let (own, relayed) = (server.http.get(&path).await, replica.http.get(&path).await);
        assert_eq!((relayed.status, &relayed.body), (status, &own.body), "{path}");
        assert_eq!(relayed.header("content-type"), own.header("content-type"));
    }
    let have = format!(r#"{{"have":[["{}","0000000000000000"]]}}"#, account.key());
    for (question, status) in [(&*have, 200), (r#"{"have":[]}"#, 200), (r#"{"have":[["x","y"]]}"#, 400), ("", 400)] {
        let own = server.http.post("/jwt/v1/digests", question.to_owned()).await;
        let relayed = replica.http.post("/jwt/v1/digests", question.to_owned()).await;
        assert_eq!((relayed.status, &relayed.body), (status, &own.body), "{question}");
    }
    replica.http.post("/jwt/v1/digests", " ".repeat(300_000)).await.expect(413);
    assert_eq!(replica.http.send("HEAD", "/jwt/v1/digests", &[]).await.expect(200).body, "");
    drop(server);
    let reply = replica.http.get("/jwt/v1/digests").await.expect(503);
    assert!(reply.body.contains("its primary cannot be reached"), "{}", reply.body);
}

#[tokio::test]
async fn two_primaries_that_got_the_same_in_another_order_agree_also_after_a_restart() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (one, other) = (Server::primary(&operator).await, Server::primary_in(&operator, dir.path()).await);
    let accounts = [Account::new(), Account::new(), Account::new()];
    let iat = now() - 50;
    let mut pushes: Vec<_> = accounts.iter().map(|account| (account, operator.sign(&account.claims(iat)))).collect();
    let request = operator.delete_request_at(&[&accounts[0]], iat + 1);
    for server in [&one, &other] {
        for (account, jwt) in &pushes {
            server.http.post(&account.path(), jwt.clone()).await.expect(200);
        }
        server.http.delete(&accounts[0].path(), request.clone()).await.expect(200);
        pushes.reverse();
    }
    let other = other.restart().await;
    let (one, other) = (page(&one.http, "").await, page(&other.http, "").await);
    assert_ne!(one.chain, other.chain);
    assert_eq!((one.sum, one.children), (other.sum, other.children));
}
