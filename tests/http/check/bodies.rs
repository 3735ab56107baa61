//! Bodies that are not checked are problems.

use super::ROUTE;
use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn what_is_no_jwt_to_check_is_a_problem() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    let seed = operator.seed();
    for (what, body, status, code) in [
        ("nothing", String::new(), 400, "no_jwt"),
        ("white space", " \n".to_owned(), 400, "no_jwt"),
        ("a private key", seed.clone(), 400, "private_key"),
        ("credentials", account.user().creds(), 400, "private_key"),
        ("a user JWT", account.user().jwt, 400, "bad_kind"),
        ("an operator JWT", operator.jwt(), 400, "bad_kind"),
        ("too much", "x".repeat((1 << 20) + 4097), 413, "too_large"),
    ] {
        let reply = server.http.post(ROUTE, body).await.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(reply.json()["code"], code, "{what}: {}", reply.body);
        assert!(!reply.body.contains(&seed), "{what}");
    }
    let reply = server.http.post(&format!("{ROUTE}?x=1"), operator.account(&account, 1)).await.expect(400);
    assert_eq!(reply.json()["code"], "bad_parameter");
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let reply = server.http.send(method, ROUTE, &[]).await.expect(405);
        assert_eq!(reply.header("allow"), "POST, OPTIONS", "{method}");
    }
    assert!(server.http.metric("http_requests_total", "route=\"api_check\"").await >= 8.0);
}

#[tokio::test]
async fn a_decorated_jwt_is_checked_as_it_is_pushed() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    let jwt = operator.account(&account, 10);
    let decorated = format!("-----BEGIN NATS ACCOUNT JWT-----\n{jwt}\n------END NATS ACCOUNT JWT------\n");
    let report = super::check(&server.http, decorated).await;
    assert_eq!((&report["verdict"], &report["key"]), (&"accepted".into(), &account.key().into()), "{report}");
    server.http.get(&account.path()).await.expect(404);
}
