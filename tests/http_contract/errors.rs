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
