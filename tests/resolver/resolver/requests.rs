//! What is answered in a fleet where nobody else would.

use std::time::Duration;

use async_nats::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fleet::{DELETE, Fleet, LIST, NEWEST, UPDATE, VERSIONS, limited, lookup, update};
use crate::support::{Account, Launch, Operator, Server, now, until};
use nats_account_server::testkit::sign;

#[tokio::test]
async fn push_list_pull_and_delete_work_where_the_nats_servers_have_none_of_it() {
    for version in VERSIONS {
        let fleet = Fleet::url(version).await;
        let (one, two) = (Account::new(), Account::new());
        let (jwt, other) = (fleet.operator.account(&one, 60), fleet.operator.account(&two, 60));
        for (account, jwt) in [(&one, &jwt), (&two, &other)] {
            let answer = fleet.ask(UPDATE, jwt.clone()).await;
            assert_eq!(answer["data"]["message"], "jwt updated", "{version}: {answer}");
            assert_eq!(answer["data"]["code"], 200);
            assert_eq!(answer["data"]["account"], account.key());
            assert!(answer["server"]["name"].as_str().is_some_and(|name| !name.is_empty()));
            // Acknowledged is in the journal, and served at once.
            assert_eq!(fleet.held(account).await, *jwt);
        }
        assert_eq!(fleet.request(&lookup(&one.key()), "").await.payload, jwt);

        let mut listed: Vec<_> = strings(&fleet.ask(LIST, "").await["data"]);
        let mut all = vec![one.key(), two.key(), fleet.operator.system().key()];
        listed.sort();
        all.sort();
        assert_eq!(listed, all, "{version}");
        let mut pack = fleet.pack("").await;
        pack.sort();
        let lines: Vec<_> = pack.iter().map(|line| line.split_once('|').unwrap()).collect();
        assert_eq!(lines.iter().map(|(key, _)| *key).collect::<Vec<_>>(), all, "{version}");
        assert!(lines.contains(&(one.key().as_str(), jwt.as_str())));

        let answer = fleet.ask(DELETE, fleet.operator.delete_request(&[&one], 30)).await;
        let message = answer["data"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("deleted 1 accounts"), "{version}: {answer}");
        assert!(message.contains(r#""conn": 0"#), "it says what it does not do: {message}");
        assert_eq!(fleet.held(&one).await, "");
        assert!(fleet.ask_all(&lookup(&one.key()), "").await.is_empty(), "a deleted account is answered");
        assert_eq!(strings(&fleet.ask(LIST, "").await["data"]).len(), 2);
    }
}

#[tokio::test]
async fn an_equal_hash_is_answered_with_one_empty_message() {
    let fleet = Fleet::url(NEWEST).await;
    for _ in 0..5 {
        fleet.open(60).await;
    }
    let pack = fleet.pack("").await;
    assert_eq!(pack.len(), 6);
    let mut hash = [0; 32];
    for line in &pack {
        let digest = Sha256::digest(line.split_once('|').unwrap().1);
        hash.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
    }
    assert!(fleet.pack(hash.to_vec()).await.is_empty());
    hash[0] ^= 1;
    assert_eq!(fleet.pack(hash.to_vec()).await.len(), 6);
}

#[tokio::test]
async fn every_subject_of_update_takes_a_jwt_in_and_headers_are_no_part_of_it() {
    let fleet = Fleet::url(NEWEST).await;
    for subject in ["global", "new", "old"] {
        let account = Account::new();
        let subject = match subject {
            "global" => UPDATE.to_owned(),
            "new" => update(&account.key()),
            _ => format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", account.key()),
        };
        let jwt = fleet.operator.account(&account, 60);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "1");
        let answers = fleet.ask_with(&subject, headers, jwt.clone()).await;
        let ours = Fleet::ours(&answers);
        assert_eq!(ours.len(), 1, "{subject}: {answers:?}");
        assert_eq!(ours[0]["data"]["message"], "jwt updated", "{subject}");
        assert_eq!(fleet.held(&account).await, jwt, "{subject}");
        // The nats-server itself answers what is about one account, and nothing else.
        let others = answers.len() - ours.len();
        assert_eq!(others, usize::from(subject != UPDATE), "{subject}: {answers:?}");
        // White space behind a JWT is no part of it, either.
        let again = fleet.ask_all(&subject, format!("{jwt}\n")).await;
        assert_eq!(Fleet::ours(&again)[0]["data"]["message"], "jwt updated");
        assert_eq!(fleet.held(&account).await, jwt, "{subject}");
    }
}

#[tokio::test]
async fn what_the_gate_refuses_is_answered_in_the_words_of_nats_server() {
    let operator = Operator::strict();
    let fleet = Fleet::of(NEWEST, operator, |launch| launch, |launch, primary, _| launch.asks(&primary.url)).await;
    let (account, other) = (Account::new(), Account::new());
    let claims = account.claims(now() - 60);
    let jwt = fleet.operator.sign(&claims);
    fleet.ask(UPDATE, jwt.clone()).await;
    let foreign = Operator::new().sign(&account.claims(now()));
    let mut invalid = account.claims(now());
    invalid["nats"]["exports"] = serde_json::json!([{ "name": "x", "subject": "", "type": "stream" }]);
    let mut expired = account.claims(now() - 30);
    expired["exp"] = (now() - 10).into();
    let mut broken = fleet.operator.account(&account, 1);
    broken.replace_range(broken.len() - 8.., "AAAAAAAA");
    let table = [
        ("an older one", fleet.operator.account(&account, 600), "jwt update resulted in error - stale JWT"),
        ("a foreign one", foreign, "jwt update resulted in error - the issuer"),
        ("a self-signed one", account.sign(&claims), "jwt update resulted in error - "),
        (
            "one signed by the identity key",
            fleet.operator.sign_by_identity_key(&account.claims(now())),
            "jwt update resulted in error - operator requires issuer to be a signing key",
        ),
        ("an invalid one", fleet.operator.sign(&invalid), "jwt validation failed - validation errors: ["),
        ("an expired one", fleet.operator.sign(&expired), "jwt validation failed - validation errors: ["),
        ("one from the future", fleet.operator.account(&account, -90_000), "jwt update resulted in error - "),
        ("one whose signature is wrong", broken, "jwt update resulted in error - "),
        ("no JWT", "garbage".into(), "jwt update resulted in error - "),
        ("nothing", String::new(), "jwt update resulted in error - "),
        (
            "another account's",
            fleet.operator.account(&other, 1),
            "jwt update resulted in error - subject does not match jwt content",
        ),
    ];
    for (what, token, _) in &table {
        // The global subject names no account: the JWT does, wherever it can be read.
        let expected = match *what {
            "no JWT" | "nothing" => "n/a".to_owned(),
            // It is right for the account that it names.
            "another account's" => continue,
            _ => account.key(),
        };
        let answer = fleet.ask(UPDATE, token.clone()).await;
        assert_eq!(answer["error"]["account"], expected, "{what}: {answer}");
    }
    for (what, token, text) in table {
        let subject = update(&account.key());
        let ours = Fleet::ours(&fleet.ask_all(&subject, token).await);
        let error = &ours[0]["error"];
        assert!(error["description"].as_str().is_some_and(|found| found.starts_with(text)), "{what}: {ours:?}");
        assert_eq!((&error["code"], &error["account"]), (&500.into(), &account.key().into()), "{what}");
        assert!(ours[0].get("data").is_none());
        assert_eq!(fleet.held(&account).await, jwt, "{what}");
    }
    assert_eq!(fleet.held(&other).await, "");
    let ours = fleet.ask(UPDATE, "garbage").await;
    assert_eq!(ours["error"]["account"], "n/a");
}

#[tokio::test]
async fn a_delete_request_must_be_the_operators_and_newer_than_what_it_deletes() {
    let operator = Operator::strict();
    let fleet = Fleet::of(NEWEST, operator, |launch| launch, |launch, primary, _| launch.asks(&primary.url)).await;
    let (account, jwt) = fleet.open(60).await;
    let (newer, _) = fleet.open(5).await;
    let system = fleet.operator.system();
    let by_identity = {
        let claims = serde_json::json!({
            "sub": fleet.operator.key(), "iat": now(), "nats": { "accounts": [account.key()], "version": 2 }
        });
        fleet.operator.sign_by_identity_key(&claims)
    };
    let junk = {
        let pair = nkeys::KeyPair::new_operator();
        let claims = serde_json::json!({ "sub": pair.public_key(), "iat": now(), "nats": { "accounts": [account.key()], "version": 2 } });
        sign(&claims, &pair)
    };
    let table = [
        ("older than an account", fleet.operator.delete_request(&[&account, &newer], 30), "nothing was deleted"),
        (
            "of the system account",
            fleet.operator.delete_request(&[&account, system], 0),
            "not allowed to delete system account",
        ),
        ("by the identity key", by_identity, "not trusted"),
        ("by a stranger", junk, "not trusted"),
        ("no request", "garbage".into(), "delete accounts request by n/a failed - "),
    ];
    for (what, request, text) in table {
        let answer = fleet.ask(DELETE, request).await;
        let description = answer["error"]["description"].as_str().unwrap_or_default();
        assert!(description.starts_with("delete accounts request by "), "{what}: {answer}");
        assert!(description.contains(text), "{what}: {answer}");
        assert_eq!(fleet.held(&account).await, jwt, "{what}");
    }
    // As nsc writes it: without a type, and its expiry is not looked at.
    let accounts = [account.key(), newer.key()];
    let claims = serde_json::json!({ "iat": now(), "exp": 1, "nats": { "accounts": accounts, "version": 2 } });
    let answer = fleet.ask(DELETE, fleet.operator.sign_as_its_own(claims)).await;
    assert!(answer["data"]["message"].as_str().is_some_and(|text| text.starts_with("deleted 2 accounts")), "{answer}");
    // Nothing that is not newer brings it back.
    let answer = fleet.ask(UPDATE, jwt).await;
    assert!(answer["error"]["description"].as_str().is_some_and(|text| text.contains("deleted")), "{answer}");
}

#[tokio::test]
async fn expired_accounts_are_neither_looked_up_nor_listed_nor_packed() {
    let fleet = Fleet::url(NEWEST).await;
    let (kept, _) = fleet.open(60).await;
    let account = Account::new();
    until("a short-lived JWT is taken in", || async {
        let mut fresh = account.claims(now());
        fresh["exp"] = (now() + 2).into();
        fleet.ask(UPDATE, fleet.operator.sign(&fresh)).await["data"]["code"].as_u64() == Some(200)
    })
    .await;
    until("it has expired", || async { fleet.ask_all(&lookup(&account.key()), "").await.is_empty() }).await;
    let listed = strings(&fleet.ask(LIST, "").await["data"]);
    assert!(listed.contains(&kept.key()) && !listed.contains(&account.key()), "{listed:?}");
    let pack = fleet.pack("").await;
    assert!(pack.iter().all(|line| !line.starts_with(&account.key())), "{pack:?}");
}

#[tokio::test]
async fn a_list_that_is_too_long_for_a_message_is_an_error_and_the_connection_stays() {
    let operator = Operator::new();
    let limits =
        |launch: crate::support::NatsLaunch, primary: &Server, _| launch.asks(&primary.url).with("max_payload: 4096");
    let fleet = Fleet::of(NEWEST, operator, |launch| launch, limits).await;
    for _ in 0..60 {
        fleet.open(60).await;
    }
    let answer = fleet.ask(LIST, "").await;
    let description = answer["error"]["description"].as_str().unwrap_or_default();
    assert!(description.contains("max_payload") && description.contains("4096"), "{answer}");
    assert_eq!(fleet.pack("").await.len(), 61);
    assert_eq!(fleet.primary.http.metric("nats_connected", "").await, 1.0);
    assert!(!fleet.primary.log().contains("nats disconnected"));
}

#[tokio::test]
async fn an_update_storm_is_taken_in_without_loss() {
    /// JWTs, each sent so many times.
    const JWTS: usize = 5_000;
    const TIMES: usize = 10;
    let fleet = Fleet::url(NEWEST).await;
    // Signed beforehand: nothing shall hold the storm up.
    let accounts: Vec<_> = (0..JWTS).map(|_| Account::new()).collect();
    let jwts: Vec<_> = accounts.iter().map(|account| bytes::Bytes::from(fleet.operator.account(account, 60))).collect();
    for jwt in std::iter::repeat_n(&jwts, TIMES).flatten() {
        fleet.system.publish(UPDATE, jwt.clone()).await.unwrap();
    }
    fleet.system.flush().await.unwrap();
    let started = std::time::Instant::now();
    let arrived = || async { fleet.counted("update", "updated").await + fleet.counted("update", "unchanged").await };
    while arrived().await < (JWTS * TIMES) as f64 {
        assert!(started.elapsed() < Duration::from_secs(90), "only {} arrived", arrived().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fleet.counted("update", "updated").await, JWTS as f64);
    for (account, jwt) in accounts.iter().zip(&jwts).step_by(97) {
        assert_eq!(fleet.held(account).await.as_bytes(), jwt);
    }
    assert_eq!(fleet.primary.http.metric("nats_slow_consumer_messages_total", "").await, 0.0);
    assert_eq!(fleet.counted("update", "dropped").await + fleet.counted("update", "refused").await, 0.0);
}

#[tokio::test]
async fn updates_of_one_second_count_in_the_order_in_which_they_came() {
    let fleet = Fleet::url(NEWEST).await;
    let account = Account::new();
    let iat = now() - 60;
    let jwts: Vec<_> = (1..50).map(|limit| fleet.operator.sign(&account.with_connections(iat, limit))).collect();
    for jwt in &jwts {
        fleet.system.publish(UPDATE, jwt.clone().into()).await.unwrap();
    }
    let last = jwts.last().unwrap();
    until("all have arrived", || async { fleet.counted("update", "updated").await == 49.0 }).await;
    assert_eq!(fleet.held(&account).await, *last);
}

#[tokio::test]
async fn a_replica_answers_lookup_only_and_only_with_what_its_feed_confirms() {
    let fleet = Fleet::with(NEWEST, |launch| launch.env("NAS_NATS__RESOLVER", "silent")).await;
    let (account, jwt) = fleet.open(60).await;
    let link = crate::support::Proxy::to(fleet.primary.host()).await;
    let replica = Launch::replica(&fleet.operator, &link.url())
        .nats(&format!("nats://{}", fleet.nats.address()), &fleet.creds)
        .start()
        .await;
    replica.follows().await;
    until("the replica is connected", || async { replica.http.metric("nats_connected", "").await == 1.0 }).await;
    let answers = || async { fleet.ask_all(&lookup(&account.key()), "").await };
    // The primary answers, and so does the replica, after a pull.
    let found = answers().await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|answer| answer.payload == jwt));
    for (subject, payload) in [(LIST, String::new()), (UPDATE, fleet.operator.sign(&limited(&account, 3)))] {
        assert!(Fleet::ours(&fleet.ask_all(subject, payload).await).is_empty(), "{subject} is answered");
    }
    // Without its feed it cannot tell, and says nothing.
    link.cut();
    until("the feed is known to be gone", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 })
        .await;
    assert_eq!(answers().await.len(), 1);
    assert_eq!(replica.http.get(&account.path()).await.status, 200, "over HTTP it still answers");
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
        .iter()
        .map(|key| key.as_str().unwrap().into())
        .collect()
}
