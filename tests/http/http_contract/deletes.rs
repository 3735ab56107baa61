//! `DELETE` of an account, by an operator-signed request.

use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn an_account_is_deleted_by_the_operators_request_and_comes_back_only_signed_anew() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    // Signed before the request, so that the last is not newer than it, whatever second it is.
    let old = [300, 250, 200].map(|age| operator.account(&account, age));
    server.http.post(&account.path(), old[0].clone()).await.expect(200);
    server.http.delete(&account.path(), operator.delete_request(&[&account], 200)).await.expect(200);
    server.http.get(&account.path()).await.expect(404);
    assert_eq!(server.http.metric("accounts", "").await, 0.0);
    for jwt in old {
        let reply = server.http.post(&account.path(), jwt).await.expect(409);
        assert!(reply.body.contains("was deleted"), "{}", reply.body);
    }
    server.http.get(&account.path()).await.expect(404);
    let new = operator.account(&account, 100);
    server.http.post(&account.path(), new.clone()).await.expect(200);
    assert_eq!(server.http.get(&account.path()).await.body, new);
    // The request that was obeyed once does not delete what came after it.
    server.http.delete(&account.path(), operator.delete_request(&[&account], 200)).await.expect(409);
    assert_eq!(server.http.get(&account.path()).await.body, new);
}

#[tokio::test]
async fn a_request_that_nobody_of_the_operator_signed_deletes_nothing() {
    let operator = Operator::new();
    let (server, account, other) = (Server::primary(&operator).await, Account::new(), Account::new());
    for account in [&account, operator.system()] {
        server.http.post(&account.path(), operator.account(account, 300)).await.expect(200);
    }
    let requests = [
        (&account, "foreign", Operator::new().delete_request(&[&account], 0)),
        (&account, "the account's own JWT", operator.account(&account, 0)),
        (&account, "for another account", operator.delete_request(&[&other], 0)),
        (&account, "garbage", "x".to_owned()),
        (operator.system(), "for the system account", operator.delete_request(&[operator.system()], 0)),
    ];
    for (account, what, request) in requests {
        let reply = server.http.delete(&account.path(), request).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.body);
        server.http.get(&account.path()).await.expect(200);
    }
}

#[tokio::test]
async fn deletions_outlive_a_restart() {
    let operator = Operator::new();
    let (dir, account) = (tempfile::tempdir().unwrap(), Account::new());
    let server = Server::primary_in(&operator, dir.path()).await;
    let old = operator.account(&account, 300);
    server.http.post(&account.path(), old.clone()).await.expect(200);
    server.http.delete(&account.path(), operator.delete_request(&[&account], 200)).await.expect(200);
    std::fs::write(dir.path().join(format!("{}.jwt", account.key())), &old).unwrap();
    let server = server.restart().await;
    server.http.get(&account.path()).await.expect(404);
    server.http.post(&account.path(), old).await.expect(409);
}
