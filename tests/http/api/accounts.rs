//! `GET /api/v1/accounts`: which accounts are listed, and in which order.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use super::{get, keys};
use crate::support::{Account, Launch, Operator, Server, now, until};

/// The list of names that a query gives, sorted.
async fn names(server: &Server, query: &str) -> Vec<String> {
    let list = get(&server.http, &format!("accounts?{query}")).await;
    assert!(list.get("next").is_none(), "{list}");
    let accounts = list["accounts"].as_array().unwrap();
    let mut names: Vec<String> = accounts.iter().map(|account| account["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn accounts_are_listed_by_key_with_their_facts() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let accounts: Vec<Account> = (0..20).map(|number| Account::named(&format!("a{number}"))).collect();
    for account in &accounts {
        server.http.post(&account.path(), operator.account(account, 100)).await.expect(200);
    }
    let before = now();
    let list = get(&server.http, "accounts").await;
    let mut expected: Vec<String> = accounts.iter().map(Account::key).collect();
    expected.sort_by_key(|key| BASE32_NOPAD.decode(key.as_bytes()).unwrap());
    assert_eq!(keys(&list), expected);
    assert!(list.get("next").is_none());
    // The first change is the operator's JWT.
    let feed = server.http.get("/jwt/v1/changes?after=0").await.expect(200).json();
    assert_eq!(list["position"], json!({ "session": feed["session"], "serial": 21 }));
    let one = &list["accounts"][0];
    let place = accounts.iter().position(|account| account.key() == one["key"]).unwrap();
    assert_eq!((&one["name"], &one["state"]), (&format!("a{place}").into(), &"live".into()));
    assert_eq!((&one["issuer"], &one["serial"]), (&operator.key().into(), &(place + 2).into()));
    assert!((before - one["iat"].as_i64().unwrap() - 100).abs() < 20, "{one}");
    assert!((before - one["changed_at"].as_i64().unwrap() / 1000).abs() < 20, "{one}");
    assert_eq!((&one["via"], one.get("exp")), (&"post".into(), None));
    let reply = server.http.get("/api/v1/accounts").await;
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), ("application/json", "no-store"));
    let head = server.http.send("HEAD", "/api/v1/accounts", &[]).await.expect(200);
    assert_eq!((&*head.body, head.header("content-type")), ("", "application/json"));
}

#[tokio::test]
async fn each_filter_leaves_what_it_says() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let push = |name: &'static str, exp: Option<i64>| {
        let (account, server, operator) = (Account::named(name), &server, &operator);
        async move {
            let mut claims = account.claims(now() - 100);
            if let Some(exp) = exp {
                claims["exp"] = exp.into();
            }
            server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
            account
        }
    };
    let orders = push("Orders", None).await;
    push("orders-test", Some(now() + 86_400)).await;
    push("billing", Some(now() + 40 * 86_400)).await;
    let gone = push("gone", None).await;
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    push("short", Some(now() + 2)).await;
    until("one has expired", || async { names(&server, "state=expired").await == ["short"] }).await;
    let changed = get(&server.http, &format!("accounts?name={}", orders.key())).await;
    let since = changed["accounts"][0]["changed_at"].as_i64().unwrap() / 1000;
    for (query, expected) in [
        ("limit=100", &["Orders", "billing", "orders-test", "short"][..]),
        ("name=orders", &["Orders"]),
        ("name=ORDERS*", &["Orders", "orders-test"]),
        ("name=*t", &["orders-test", "short"]),
        ("name=order?", &["Orders"]),
        ("name=x*", &[]),
        (&format!("name={}", orders.key()), &["Orders"]),
        (&format!("name={}&state=deleted", orders.key()), &[]),
        (&format!("name={}", Account::new().key()), &[]),
        ("state=live", &["Orders", "billing", "orders-test"]),
        ("state=deleted", &["gone"]),
        ("state=deleted,expired", &["gone", "short"]),
        ("state=withheld,removed", &[]),
        ("expires_before=30d", &["orders-test", "short"]),
        ("expires_before=30d&state=live", &["orders-test"]),
        (&format!("expires_before={}", now() + 41 * 86_400), &["billing", "orders-test", "short"]),
        ("expires_before=2001-01-01T00:00:00Z", &[]),
        ("changed_since=1h", &["Orders", "billing", "orders-test", "short"]),
        (&format!("changed_since={since}"), &["Orders", "billing", "orders-test", "short"]),
        (&format!("changed_since={}", now() + 3600), &[]),
        ("changed_since=2099-01-01T00:00:00%2B01:00", &[]),
    ] {
        assert_eq!(names(&server, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn accounts_of_a_withdrawn_key_are_withheld() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::named("app");
    server.http.post(&account.path(), operator.sign_by_signing_key(&account.claims(now() - 50))).await.expect(200);
    assert_eq!(names(&server, "state=live").await, ["app"]);
    let path = "/jwt/v1/operator?withhold=1";
    server.http.post(path, operator.listing(&[], 0)).await.expect(200);
    assert_eq!(names(&server, "state=live").await, [""; 0]);
    assert_eq!(names(&server, "state=withheld").await, ["app"]);
    assert_eq!(names(&server, "limit=5").await, ["app"]);
    let one = get(&server.http, &format!("accounts/{}", account.key())).await;
    assert_eq!((&one["state"], one.get("etag")), (&"withheld".into(), None));
    let operator = get(&server.http, "operator").await;
    assert_eq!(operator["withdrawn"][0]["key"], one["issuer"]);
    let status = get(&server.http, "status").await;
    let check = status["checks"].as_array().unwrap().iter().find(|check| check["code"] == "operator").unwrap();
    // All accounts are withheld, which is no warning any more.
    assert_eq!(
        (&check["status"], &status["ready"], &status["counts"]["withheld"]),
        (&"fail".into(), &false.into(), &1.into())
    );
}

#[tokio::test]
async fn accounts_that_left_a_read_only_folder_are_removed() {
    let (operator, account, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let (file, state) = (folder.path().join(format!("{}.jwt", account.key())), tempfile::tempdir().unwrap());
    std::fs::write(&file, operator.account(&account, 100)).unwrap();
    let launch = Launch::primary(&operator).dir(folder.path()).env("NAS_STORE__READONLY", "true");
    let server = launch.path("NAS_STORE__STATE_DIR", state.path()).start().await;
    assert_eq!(names(&server, "").await, ["app"]);
    std::fs::remove_file(&file).unwrap();
    until("it is removed", || async { names(&server, "state=removed").await == ["app"] }).await;
    assert_eq!(names(&server, "").await, [""; 0]);
    let one: Value = get(&server.http, &format!("accounts/{}", account.key())).await;
    assert_eq!((&one["state"], one.get("deleted")), (&"removed".into(), None));
}
