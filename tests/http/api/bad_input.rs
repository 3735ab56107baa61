//! What cannot be answered: every refusal is a problem document that says what is wrong.

use serde_json::Value;

use super::path_of;
use crate::support::{Account, Operator, Reply, Server};

/// The problem document of an answer.
fn problem(reply: &Reply, what: &str) -> Value {
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}: {}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    let problem = reply.json();
    let code = problem["code"].as_str().unwrap();
    assert_eq!(problem["type"], format!("/problems/{}", code.replace('_', "-")), "{what}");
    assert_eq!(problem["status"], reply.status, "{what}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{what}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
    problem
}

#[tokio::test]
async fn each_bad_parameter_is_named_with_what_is_expected() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let key = account.key();
    let (long, most) = ("x".repeat(257), "a number from 1 to 1000");
    let of_accounts = format!("cursor={}", "YQ".repeat(22));
    for (path, name, expected) in [
        ("accounts?limit=0", "limit", most),
        ("accounts?limit=1001", "limit", most),
        ("accounts?limit=", "limit", most),
        ("accounts?limit=ten", "limit", most),
        ("accounts?limit=-1", "limit", most),
        ("accounts?limit=1&limit=2", "limit", "twice"),
        ("accounts?cursor=", "cursor", "next"),
        ("accounts?cursor=x", "cursor", "next"),
        ("accounts?cursor=%00%ff", "cursor", "next"),
        (&format!("accounts?{of_accounts}AA"), "cursor", "next"),
        ("accounts?name=", "name", "a pattern"),
        (&format!("accounts?name={long}"), "name", "256"),
        ("accounts?state=", "state", "live, expired, withheld, deleted, removed"),
        ("accounts?state=LIVE", "state", "live, expired"),
        ("accounts?state=live,,deleted", "state", "live, expired"),
        ("accounts?state=live;deleted", "state", "live, expired"),
        ("accounts?expires_before=tomorrow", "expires_before", "30d"),
        ("accounts?expires_before=2026-01-01", "expires_before", "30d"),
        ("accounts?expires_before=", "expires_before", "30d"),
        ("accounts?changed_since=5y", "changed_since", "12h"),
        ("accounts?changed_since=99999999999999999999", "changed_since", "12h"),
        ("accounts?order=name", "order", "limit, cursor, name, state"),
        ("accounts?Limit=1", "Limit", "limit, cursor"),
        ("accounts?%3Cscript%3E", "<script>", "limit, cursor"),
        (&format!("accounts/{key}?text=true"), "text", "none"),
        (&format!("accounts/{key}/versions?limit=0"), "limit", most),
        (&format!("accounts/{key}/versions?cursor=x"), "cursor", "next"),
        (&format!("accounts/{key}/versions/2?x"), "x", "none"),
        (&format!("accounts/{key}/diff?from=0"), "from", "serial"),
        (&format!("accounts/{key}/diff?to=x"), "to", "serial"),
        ("activations", "account", "key of the account"),
        ("activations?account=x", "account", "key of the account"),
        (&format!("activations?account={key}&cursor=x"), "cursor", "next"),
        ("audit?outcome=all", "outcome", "committed, rejected or note"),
        ("audit?account=x", "account", "the key of an account"),
        ("audit?since=tomorrow", "since", "12h"),
        ("audit?limit=0", "limit", most),
        (&format!("audit?{of_accounts}AA"), "cursor", "next"),
        ("operator?chain=true", "chain", "none"),
        ("replicas?x", "x", "none"),
        ("status?verbose", "verbose", "none"),
        ("openapi.json?x", "x", "none"),
    ] {
        let reply = server.http.get(&format!("/api/v1/{path}")).await.expect(400);
        let problem = problem(&reply, path);
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(problem["code"], "bad_parameter", "{path}");
        assert!(detail.contains(name) && detail.contains(expected), "{path}: {detail}");
    }
    server.logs("reason=bad_parameter").await;
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_problems_too() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    let seed = operator.seed();
    for (path, status, code) in [
        ("/api/v1", 404, "not_found"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/api/v1/accounts/a/b/c/d", 404, "not_found"),
        ("/api/v1/accounts/xyz", 404, "bad_key"),
        (&*path_of(&account), 404, "unknown_account"),
        (&format!("{}/versions", path_of(&account)), 404, "unknown_account"),
        (&format!("{}/versions/1", path_of(&account)), 404, "unknown_account"),
        (&format!("{}/diff", path_of(&account)), 404, "unknown_account"),
        (&format!("/api/v1/accounts/{seed}"), 404, "private_key"),
        (&format!("/api/v1/accounts?name={seed}"), 404, "private_key"),
    ] {
        let reply = server.http.get(path).await.expect(status);
        assert_eq!(problem(&reply, path)["code"], code, "{path}");
        assert!(!reply.body.contains(&seed));
    }
    for path in ["accounts", "operator", "status", "servers", "openapi.json", "activations", "replicas", "audit"] {
        for method in ["POST", "PUT", "DELETE", "BREW"] {
            let reply = server.http.send(method, &format!("/api/v1/{path}"), &[]).await.expect(405);
            assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS", "{method} {path}");
            assert_eq!(problem(&reply, path)["code"], "method_not_allowed");
        }
        let reply = server.http.send("OPTIONS", &format!("/api/v1/{path}"), &[]).await.expect(200);
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
    }
    let reply = server.http.get("/api/v1/status/").await.expect(301);
    assert_eq!(reply.header("location"), "/api/v1/status");
    let without = crate::support::Launch::default().start().await;
    let reply = without.http.get("/api/v1/operator").await.expect(404);
    assert_eq!(problem(&reply, "operator")["code"], "no_operator");
}
