//! The list of keys, from a primary and from a replica.

use nats_account_server::feed::Fingerprint;
use nats_account_server::feed::Subject;
use nats_account_server::key::AccountKey;

use super::{follows, random};
use crate::support::{Account, Http, Launch, Operator, Server, until};

async fn listed(http: &Http) -> Vec<Vec<u8>> {
    let response = http.request("GET", "/jwt/v1/keys").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let mut keys: Vec<_> = response.bytes().await.unwrap().chunks(Fingerprint::BYTES).map(<[u8]>::to_vec).collect();
    keys.sort();
    keys
}

fn expected(accounts: &[&Account]) -> Vec<Vec<u8>> {
    let print = |account: &&Account| {
        let key = AccountKey::parse(&account.key()).unwrap();
        Fingerprint::of(&Subject::Account(key)).bytes().to_vec()
    };
    let mut keys: Vec<_> = accounts.iter().map(print).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_primary_lists_what_exists_and_its_mirrors_pass_it_on() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let (first, deleted, last) = (Account::new(), Account::new(), Account::new());
    assert_eq!(listed(&primary.http).await, expected(&[]));
    for account in [&first, &deleted] {
        primary.http.post(&account.path(), operator.account(account, 10)).await.expect(200);
    }
    until("the list is of now", || async { listed(&primary.http).await == expected(&[&first, &deleted]) }).await;
    primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 5)).await.expect(200);
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror").start().await;
    follows(&replica).await;
    let second = Launch::replica(&operator, &replica.url).env("NAS_REPLICA__MODE", "mirror").start().await;
    follows(&second).await;
    primary.http.post(&last.path(), operator.account(&last, 10)).await.expect(200);
    for server in [&primary, &replica, &second] {
        until("the list is of now", || async {
            let listed = listed(&server.http).await;
            expected(&[&first, &last]).iter().all(|key| listed.contains(key))
        })
        .await;
        server.http.get(&random()).await.expect(404);
        server.http.get(&last.path()).await.expect(200);
    }
    assert_eq!(listed(&primary.http).await, expected(&[&first, &last]));
}

#[tokio::test]
async fn a_replica_that_does_not_follow_has_no_list() {
    let operator = Operator::new();
    let replica = Launch::replica(&operator, "http://127.0.0.1:1").start_unready().await;
    let reply = replica.http.get("/jwt/v1/keys").await.expect(503);
    assert_eq!(reply.header("retry-after"), "5");
}
