//! Whose signature counts.

use crate::support::{Account, Launch, Operator, Server, now};

#[tokio::test]
async fn the_operators_jwt_is_served_to_who_asks() {
    let operator = Operator::new();
    let dir = tempfile::tempdir().unwrap();
    let jwt = operator.jwt();
    let file = dir.path().join("operator.jwt");
    std::fs::write(&file, format!("-----BEGIN NATS OPERATOR JWT-----\n{jwt}\n------END NATS OPERATOR JWT------\n"))
        .unwrap();
    let server = Launch::default().flag("-operator", file).start().await;
    let reply = server.http.get("/jwt/v1/operator").await.expect(200);
    assert_eq!((reply.header("content-type"), &reply.body), ("application/jwt", &jwt));
    assert_eq!(server.http.get("/jwt/v1/operator?text=true").await.expect(200).header("content-type"), "text/plain");
    let readable = server.http.get("/jwt/v1/operator?decode=true").await.expect(200);
    assert!(readable.body.contains("\"type\": \"operator\""), "{}", readable.body);
    server.http.get("/jwt/v2/operator").await.expect(404);
}

#[tokio::test]
async fn identity_and_signing_keys_count_unless_the_operator_is_strict() {
    for (operator, identity_key_counts) in [(Operator::new(), true), (Operator::strict(), false)] {
        let server = Server::primary(&operator).await;
        let account = Account::new();
        let by_identity = operator.sign_by_identity_key(&account.claims(now() - 100));
        let reply = server.http.post(&account.path(), by_identity).await;
        if identity_key_counts {
            reply.expect(200);
        } else {
            let reply = reply.expect(400);
            assert!(reply.body.starts_with("untrusted issuer in request\n"), "{}", reply.body);
            assert!(reply.body.contains("signing key"), "{}", reply.body);
            server.http.get(&account.path()).await.expect(404);
        }
        let by_signing_key = operator.sign_by_signing_key(&account.claims(now() - 50));
        server.http.post(&account.path(), by_signing_key.clone()).await.expect(200);
        assert_eq!(server.http.get(&account.path()).await.body, by_signing_key);
    }
}

#[tokio::test]
async fn without_an_operator_a_folder_is_served_and_nothing_can_be_pushed() {
    let operator = Operator::new();
    let (dir, account) = (tempfile::tempdir().unwrap(), Account::new());
    let held = operator.account(&account, 100);
    std::fs::write(dir.path().join(format!("{}.jwt", account.key())), &held).unwrap();
    let server = Launch::default().dir(dir.path()).start().await;
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, held);
    let reply = server.http.post(&account.path(), operator.account(&account, 50)).await.expect(400);
    assert!(reply.body.starts_with("untrusted issuer in request\nno operator is configured"), "{}", reply.body);
    assert_eq!(server.http.get(&account.path()).await.body, held);
    server.http.get("/jwt/v1/operator").await.expect(404);
    assert!(server.log().contains("No Operator is configured"), "{}", server.log());
}
