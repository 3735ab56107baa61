//! Folders as the Go account servers left them.

use std::fs;
use std::path::{Path, PathBuf};

use nats_account_server::jwt::activation_hash_id;

use super::{file, sharded};
use crate::support::{Account, Launch, Operator, Server, until};

/// What lay beside the accounts in folders of theirs, and is none of anybody's.
fn beside(operator: &Operator, dir: &Path) {
    fs::write(dir.join("operator.jwt"), operator.jwt()).unwrap();
    fs::write(dir.join(format!("{}.jwt", operator.key())), operator.jwt()).unwrap();
    fs::write(dir.join(".nsc"), r#"{"managed": false, "name": "O", "kind": "operator"}"#).unwrap();
    fs::write(dir.join("resolver.conf"), "resolver: MEMORY").unwrap();
    fs::write(dir.join(format!("{}.jwt.deleted", Account::new().key())), "deleted").unwrap();
    fs::create_dir_all(dir.join("accounts/A/users")).unwrap();
    fs::write(dir.join("accounts/A/users/U.jwt"), Account::new().user().jwt).unwrap();
    fs::create_dir(dir.join("lost+found")).unwrap();
}

/// Every file under a folder and what is in it, but for our state.
fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with(".nats-account-server") {
            all.extend(everything(&path));
        } else if path.is_file() {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

async fn is_opened_as_it_is(place: fn(&Path, &Account) -> PathBuf, layout: &str) {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    beside(&operator, dir.path());
    let accounts: Vec<(Account, String)> = (0..30)
        .map(|_| {
            let account = Account::new();
            let jwt = operator.account(&account, 1_000);
            fs::write(place(dir.path(), &account), &jwt).unwrap();
            (account, jwt)
        })
        .collect();
    // Servers of old kept activations among the accounts, named by a hash, and by its last characters in shards.
    let (exporter, importer) = (&accounts[0].0, &accounts[1].0);
    let activation = exporter.activation(importer, "orders", 500);
    let hash = activation_hash_id(&exporter.key(), &importer.key(), "orders").unwrap();
    let parent = if layout == "flat" { dir.path().to_owned() } else { dir.path().join(&hash[hash.len() - 2..]) };
    fs::create_dir_all(&parent).unwrap();
    fs::write(parent.join(format!("{hash}.jwt")), &activation).unwrap();
    let before = everything(dir.path());
    // Whatever the setting says, the folder stays as it is.
    for shard in ["false", "true"] {
        let server = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__SHARD", shard).start().await;
        for (account, jwt) in &accounts {
            assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
        }
        assert_eq!(server.http.get(&format!("/jwt/v1/activations/{hash}")).await.expect(200).body, activation);
        assert_eq!(server.http.metric("accounts", "").await, 30.0);
        assert!(!server.log().contains("[ERR]"), "{}", server.log());
    }
    assert_eq!(everything(dir.path()), before);
    // A push goes where the others are.
    let server = Server::primary_in(&operator, dir.path()).await;
    let (account, new) = (&accounts[2].0, Account::new());
    for account in [account, &new] {
        let jwt = operator.account(account, 100);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        let path = place(dir.path(), account);
        until("the file follows", || async { fs::read_to_string(&path).is_ok_and(|text| text == jwt) }).await;
    }
}

#[tokio::test]
async fn a_flat_folder_with_all_that_lay_beside_is_served_and_left_as_it_is() {
    is_opened_as_it_is(file, "flat").await;
}

#[tokio::test]
async fn a_folder_of_shards_with_all_that_lay_beside_is_served_and_left_as_it_is() {
    is_opened_as_it_is(
        |dir, account| {
            let path = sharded(dir, account);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        },
        "sharded",
    )
    .await;
}
