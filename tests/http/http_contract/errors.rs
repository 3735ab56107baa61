//! Errors in the form that the client understands.

use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn a_client_that_accepts_json_gets_a_problem_document() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    for accept in ["application/json", "text/html, application/problem+json;q=0.5", "application/*"] {
        let request = server.http.request("POST", &account.path()).header("accept", accept).body("garbage");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!(problem["title"], "bad JWT in request");
        assert_eq!(problem["status"], 400);
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let missing = server.http.send("GET", &account.path(), &[("accept", "application/json")]).await.expect(404);
    assert_eq!(missing.json()["title"], "no matching account JWT");
}

#[tokio::test]
async fn everybody_else_gets_plain_text_that_is_not_kept_by_caches() {
    let server = Server::primary(&Operator::new()).await;
    for accept in ["*/*", "text/plain", "text/html", "application/json;q=0"] {
        let reply = server.http.send("GET", &Account::new().path(), &[("accept", accept)]).await.expect(404);
        assert_eq!(reply.body, "no matching account JWT\n");
        assert_eq!(reply.header("content-type"), "text/plain");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn every_answer_carries_the_name_of_its_process() {
    let (operator, account) = (Operator::new(), Account::new());
    let primary = Server::primary(&operator).await;
    let jwt = operator.account(&account, 10);
    let pushed = primary.http.post(&account.path(), jwt).await.expect(200);
    let name = pushed.header("nas-server").to_owned();
    assert!(name.starts_with("nats-account-server-") && name.len() == 36, "{name}");
    let replica = Server::replica(&operator, &primary.url).await;
    let own = replica.http.get("/livez").await.header("nas-server").to_owned();
    assert_ne!(own, name);
    let (held, unknown) = (account.path(), Account::new().path());
    replica.http.get(&held).await.expect(200);
    let etag = primary.http.get(&held).await.header("etag").to_owned();
    let table = [
        ("GET", &*held, "", 200),
        ("HEAD", &held, "", 200),
        ("GET", &held, &etag, 304),
        ("GET", &unknown, "", 404),
        ("GET", "/jwt/v1/activations/x", "", 404),
        ("GET", "/jwt/v1/accounts/", "", 200),
        ("GET", "/jwt/v1/operator", "", 200),
        ("GET", "/jwt/v1/pack", "", 200),
        ("GET", "/jwt/v1/keys", "", 200),
        ("GET", "/jwt/v1/digests", "", 200),
        ("GET", "/jwt/v1/changes?after=0", "", 200),
        ("GET", "/jwt/v1/changes?after=99", "", 410),
        ("GET", "/jwt/v1/changes?after=x", "", 400),
        ("OPTIONS", &held, "", 200),
        ("PUT", &held, "", 405),
        ("GET", "/jwt/v1/accounts/x/", "", 301),
        ("GET", "/elsewhere", "", 404),
        ("GET", "/readyz", "", 200),
        ("GET", "/metrics", "", 200),
    ];
    for (server, name) in [(&primary, &name), (&replica, &own)] {
        for (method, path, etag, status) in table {
            let headers: &[_] = if etag.is_empty() { &[] } else { &[("if-none-match", etag)] };
            let reply = server.http.send(method, path, headers).await;
            assert_eq!(reply.header("nas-server"), name, "{method} {path}");
            if server.url == primary.url {
                assert_eq!(reply.status, status, "{method} {path}");
            }
        }
    }
    assert_eq!(replica.http.get("/livez").await.header("nas-upstream"), name);
    assert_eq!(primary.http.get("/livez").await.header("nas-upstream"), "");
}
