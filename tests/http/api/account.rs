//! One account: its facts, its versions, and what differs between two of them.

use nats_account_server::jwt::activation_hash_id;
use serde_json::{Value, json};

use super::{get, path_of};
use crate::support::{Account, Launch, Operator, Server, now};

#[tokio::test]
async fn an_account_is_shown_with_its_claims_and_a_tag() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::named("app");
    let claims = account.with_connections(now() - 100, 7);
    server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let reply = server.http.get(&path_of(&account)).await.expect(200);
    let shown = reply.json();
    assert_eq!(
        (&shown["key"], &shown["name"], &shown["state"]),
        (&account.key().into(), &"app".into(), &"live".into())
    );
    assert_eq!(shown["claims"]["nats"]["limits"]["conn"], 7);
    assert_eq!(shown["etag"], server.http.get(&account.path()).await.header("etag"));
    let history = server.http.get(&format!("{}/history", account.path())).await.json();
    assert_eq!(shown["identity"], history["versions"][0]["identity"]);
    assert_eq!(shown["digest"].as_str().unwrap().len(), 64);
    assert_eq!((shown.get("deleted"), shown.get("delivery")), (None, None));
    // The tag is of what is shown: it stays while nothing changes.
    let (path, tag) = (path_of(&account), reply.header("etag").to_owned());
    assert_eq!(reply.header("cache-control"), "no-cache");
    let unchanged = server.http.send("GET", &path, &[("if-none-match", &tag)]).await.expect(304);
    assert_eq!((&*unchanged.body, unchanged.header("etag")), ("", &*tag));
    server.http.post(&account.path(), operator.sign(&account.with_connections(now() - 50, 8))).await.expect(200);
    let changed = server.http.send("GET", &path, &[("if-none-match", &tag)]).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(changed.json()["claims"]["nats"]["limits"]["conn"], 8);
}

#[tokio::test]
async fn a_deleted_account_is_shown_with_its_deletion() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let (account, never) = (Account::named("app"), Account::new());
    server.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let iat = now() - 10;
    server.http.delete(&account.path(), operator.delete_request_at(&[&account, &never], iat)).await.expect(200);
    let shown = server.http.get(&path_of(&account)).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["name"]), (&"deleted".into(), &"app".into()));
    assert_eq!((&shown["deleted"]["iat"], &shown["deleted"]["issuer"]), (&iat.into(), &operator.key().into()));
    assert_eq!((&shown["serial"], &shown["via"], shown.get("etag")), (&3.into(), &"post".into(), None));
    assert_eq!(shown["claims"]["name"], "app");
    // It never had a JWT here, and none that is older comes in.
    let shown = server.http.get(&path_of(&never)).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["name"], &shown["issuer"]), (&"deleted".into(), &Value::Null, &Value::Null));
    assert_eq!((shown.get("claims"), &shown["deleted"]["iat"]), (None, &iat.into()));
}

#[tokio::test]
async fn versions_come_in_pages_with_their_texts() {
    let operator = Operator::new();
    let server = Launch::primary(&operator).env("NAS_STORE__HISTORY", "10").start().await;
    let account = Account::named("app");
    let tokens: Vec<String> = (0..5).map(|n| operator.sign(&account.with_connections(now() - 100 + n, n))).collect();
    for token in &tokens {
        server.http.post(&account.path(), token.clone()).await.expect(200);
    }
    let path = format!("accounts/{}/versions", account.key());
    let all = get(&server.http, &path).await;
    let history = server.http.get(&format!("{}/history", account.path())).await.json();
    for (shown, told) in all["versions"].as_array().unwrap().iter().zip(history["versions"].as_array().unwrap()) {
        for fact in ["serial", "current", "iat", "identity", "at", "via", "actor"] {
            assert_eq!(shown[fact], told[fact], "{fact}");
        }
        assert_eq!(shown.get("exp"), None);
    }
    let (mut found, mut next) = (Vec::new(), String::new());
    for size in [2, 2, 1] {
        let page = get(&server.http, &format!("{path}?limit=2{next}")).await;
        let versions = page["versions"].as_array().unwrap();
        assert_eq!(versions.len(), size);
        found.extend(versions.iter().cloned());
        next = page["next"].as_str().map_or_else(String::new, |next| format!("&cursor={next}"));
    }
    assert_eq!((json!(found), &*next), (all["versions"].clone(), ""));
    for (version, token) in found.iter().rev().zip(&tokens) {
        let one = get(&server.http, &format!("{path}/{}", version["serial"])).await;
        assert_eq!((&one["token"], &one["account"]), (&json!(token), &json!(account.key())));
        assert_eq!((&one["identity"], &one["claims"]["iat"]), (&version["identity"], &version["iat"]));
    }
    for serial in ["1", "7", "0", "x", "-1", "99999999999999999999"] {
        let problem = server.http.get(&format!("/api/v1/{path}/{serial}")).await.expect(404).json();
        assert_eq!(problem["code"], "unknown_version", "{serial}");
    }
}

#[tokio::test]
async fn a_change_is_told_claim_by_claim_and_in_words() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::named("app");
    let diff = format!("accounts/{}/diff", account.key());
    let mut claims = account.with_connections(now() - 100, 100);
    let push = async |claims: &Value| {
        server.http.post(&account.path(), operator.sign(claims)).await.expect(200);
    };
    push(&claims).await;
    let first = get(&server.http, &diff).await;
    assert_eq!((&first["from"], &first["to"]["serial"]), (&Value::Null, &2.into()));
    assert_eq!((&first["changes"], &first["text"]), (&json!([]), &json!(["no earlier version is stored"])));
    claims["iat"] = (now() - 90).into();
    claims["nats"]["limits"]["conn"] = 50.into();
    claims["nats"]["exports"] = json!([{ "name": "o", "subject": "orders.>", "type": "stream" }]);
    push(&claims).await;
    let last = get(&server.http, &diff).await;
    assert_eq!((&last["from"]["serial"], &last["to"]["serial"], &last["more"]), (&2.into(), &3.into(), &0.into()));
    assert_eq!(last["text"], json!(["connections 100 → 50", "export orders.> added"]));
    let changes = last["changes"].as_array().unwrap();
    let connections = changes.iter().find(|change| change["path"] == "nats.limits.conn").unwrap();
    assert_eq!(*connections, json!({ "path": "nats.limits.conn", "kind": "changed", "from": 100, "to": 50 }));
    assert!(changes.iter().any(|change| change["path"] == "iat"), "{last}");
    claims["iat"] = (now() - 80).into();
    push(&claims).await;
    let text = |found: &Value| found["text"].clone();
    assert_eq!(text(&get(&server.http, &diff).await), json!(["signed again without another change"]));
    assert_eq!(text(&get(&server.http, &format!("{diff}?from=2")).await), text(&last));
    assert_eq!(text(&get(&server.http, &format!("{diff}?to=3")).await), text(&last));
    let back = get(&server.http, &format!("{diff}?from=3&to=2")).await;
    assert_eq!(text(&back), json!(["connections 50 → 100", "export orders.> removed"]));
    for query in ["?from=9", "?to=1"] {
        let problem = server.http.get(&format!("/api/v1/{diff}{query}")).await.expect(404).json();
        assert_eq!(problem["code"], "unknown_version", "{query}");
    }
}

#[tokio::test]
async fn the_activations_of_an_account_are_listed_with_what_became_of_them() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let (account, other, importer) = (Account::named("app"), Account::new(), Account::new());
    let export = json!([{ "name": "x", "subject": "x.>", "type": "stream", "token_req": true }]);
    for exporter in [&account, &other] {
        let claims = exporter.with_shares(now() - 100, export.clone(), json!([]));
        server.http.post(&exporter.path(), operator.sign(&claims)).await.expect(200);
    }
    for subject in ["x.a", "x.b", "x.c"] {
        server.http.post("/jwt/v1/activations", account.activation(&importer, subject, 50)).await.expect(200);
    }
    server.http.post("/jwt/v1/activations", other.activation(&importer, "x.a", 50)).await.expect(200);
    let path = format!("activations?account={}", account.key());
    let list = get(&server.http, &path).await;
    let all = list["activations"].as_array().unwrap().clone();
    assert_eq!((all.len(), list.get("next"), &list["account"]), (3, None, &account.key().into()));
    for one in &all {
        assert_eq!((&one["importer"], &one["issuer"]), (&importer.key().into(), &account.key().into()));
        let subject = one["subject"].as_str().unwrap();
        assert_eq!(one["hash"], activation_hash_id(&account.key(), &importer.key(), subject).unwrap());
        assert_eq!((&one["state"], &one["via"], one.get("reason")), (&"served".into(), &"post".into(), None));
    }
    let mut found = Vec::new();
    let mut next = String::new();
    for _ in 0..4 {
        let page = get(&server.http, &format!("{path}&limit=1{next}")).await;
        found.extend(page["activations"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(found, all);
    // The account takes its word back.
    let mut claims = account.with_shares(now() - 10, export, json!([]));
    claims["nats"]["exports"][0]["revocations"] = json!({ importer.key(): now() });
    server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    for one in get(&server.http, &path).await["activations"].as_array().unwrap() {
        assert_eq!(one["state"], "refused");
        assert!(one["reason"].as_str().unwrap().contains("revoked"), "{one}");
    }
    let none = get(&server.http, &format!("activations?account={}", importer.key())).await;
    assert_eq!(none["activations"], json!([]));
}
