//! `GET /jwt/v1/accounts/<key>/history`. The first change of the journal is the operator's JWT.

use crate::support::{Account, Launch, Operator, Server, now, until};

#[tokio::test]
async fn the_last_versions_are_listed_and_shown_as_text() {
    let operator = Operator::new();
    let server = Launch::primary(&operator).env("NAS_STORE__HISTORY", "3").start().await;
    let account = Account::new();
    let path = format!("{}/history", account.path());
    server.http.get(&path).await.expect(404);
    let versions: Vec<String> = (0..5).map(|n| operator.sign(&account.with_connections(now() - 100 + n, n))).collect();
    for version in &versions {
        server.http.post(&account.path(), version.clone()).await.expect(200);
    }
    let list = server.http.get(&path).await.expect(200).json();
    assert_eq!(list["account"], account.key());
    let listed = list["versions"].as_array().unwrap();
    let serials: Vec<u64> = listed.iter().map(|version| version["serial"].as_u64().unwrap()).collect();
    assert_eq!(serials, [6, 5, 4], "newest first");
    for (at, version) in listed.iter().enumerate() {
        assert_eq!(version["current"], at == 0);
        assert_eq!((&version["via"], &version["actor"]), (&"post".into(), &"127.0.0.1".into()));
        assert_eq!(version["iat"], now_of(&versions[4 - at]));
        let reply = server.http.get(&format!("{path}?serial={}", version["serial"])).await.expect(200);
        assert_eq!(reply.body, versions[4 - at]);
        assert_eq!(reply.header("content-type"), "text/plain");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    for (query, status) in [("?serial=2", 404), ("?serial=7", 404), ("?serial=x", 400), ("?serial=-1", 400)] {
        server.http.get(&format!("{path}{query}")).await.expect(status);
    }
    // Another account's serial is not this one's history.
    let other = Account::new();
    server.http.post(&other.path(), operator.account(&other, 10)).await.expect(200);
    server.http.get(&format!("{path}?serial=7")).await.expect(404);
    server.http.delete(&account.path(), operator.delete_request(&[&account], 1)).await.expect(200);
    let list = server.http.get(&path).await.expect(200).json();
    assert_eq!((&list["deleted"], &list["versions"][0]["current"]), (&true.into(), &false.into()));
    assert_eq!(server.http.post(&path, "").await.expect(405).header("allow"), "GET, HEAD, OPTIONS");
    server.http.get(&format!("{path}/")).await.expect(301);
    let replica = Server::replica(&operator, &server.url).await;
    assert!(replica.http.get(&path).await.expect(404).body.contains("ask its primary"));
}

#[tokio::test]
async fn who_sent_a_change_is_remembered_here_and_travels_to_nobody() {
    let operator = Operator::new();
    let server = Launch::primary(&operator).env("NAS_HTTP__TRUSTED_PROXIES", "127.0.0.1").start().await;
    let (account, path) = (Account::new(), |account: &Account| format!("{}/history", account.path()));
    let jwt = operator.account(&account, 10);
    let post = server.http.request("POST", &account.path()).header("x-forwarded-for", "192.0.2.7").body(jwt);
    assert_eq!(post.send().await.unwrap().status(), 200);
    let mirror = Launch::replica(&operator, &server.url).env("NAS_REPLICA__MODE", "mirror").start().await;
    let history = server.http.get(&path(&account)).await.expect(200).json();
    assert_eq!(history["versions"][0]["actor"], "192.0.2.7");
    until("the mirror has it", || async { mirror.http.get(&path(&account)).await.status == 200 }).await;
    let history = mirror.http.get(&path(&account)).await.expect(200).json();
    assert_eq!((&history["versions"].as_array().unwrap().len(), &history["versions"][0]["actor"]), (&1, &().into()));
    for feed in [&server, &mirror] {
        let changes = feed.http.get("/jwt/v1/changes?since=0").await.body;
        assert!(!changes.contains("192.0.2.7"), "{changes}");
    }
}

/// The `iat` of a token.
fn now_of(token: &str) -> i64 {
    let payload = data_encoding::BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["iat"].as_i64().unwrap()
}

#[tokio::test]
async fn versions_are_forgotten_when_they_were_replaced_long_ago() {
    let operator = Operator::new();
    let server = Launch::primary(&operator).env("NAS_STORE__HISTORY_AGE", "1s").start().await;
    let account = Account::new();
    let path = format!("{}/history", account.path());
    for age in [30, 20, 10] {
        server.http.post(&account.path(), operator.account(&account, age)).await.expect(200);
    }
    assert_eq!(server.http.get(&path).await.json()["versions"].as_array().unwrap().len(), 3);
    until("only the current one is left", || async {
        server.http.get(&path).await.json()["versions"].as_array().unwrap().len() == 1
    })
    .await;
    server.http.get(&account.path()).await.expect(200);
}
