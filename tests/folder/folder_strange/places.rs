//! Files in places where ours would not be: in the sub-folder of the other layout, and in a folder of somebody's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::file;
use crate::support::{Account, Operator, Server, until};

/// Where a sharded folder has an account's file.
fn sharded(dir: &Path, account: &Account) -> PathBuf {
    let key = account.key();
    let folder = dir.join(&key[54..]);
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{key}.jwt"))
}

async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("the JWT is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

#[tokio::test]
async fn a_newer_jwt_is_taken_in_also_from_where_the_other_layout_has_it() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::new();
    let [first, second, third] = [300, 200, 100].map(|age| operator.account(&account, age));
    server.http.post(&account.path(), first.clone()).await.expect(200);
    let (home, other) = (file(dir.path(), &account), sharded(dir.path(), &account));
    until("the file is written", || async { home.exists() }).await;
    fs::write(&other, &second).unwrap();
    serves(&server, &account, &second).await;
    until("ours follows", || async { fs::read_to_string(&home).is_ok_and(|text| text == second) }).await;
    // The copy is somebody's, and stays.
    assert_eq!(fs::read_to_string(&other).unwrap(), second);
    server.http.post(&account.path(), third.clone()).await.expect(200);
    until("ours follows", || async { fs::read_to_string(&home).is_ok_and(|text| text == third) }).await;
    let server = server.stop_and_start().await;
    serves(&server, &account, &third).await;
}

#[tokio::test]
async fn an_account_whose_file_lies_in_the_other_layout_keeps_it_there() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (flat, account) = (Account::new(), Account::new());
    fs::write(file(dir.path(), &flat), operator.account(&flat, 300)).unwrap();
    let place = sharded(dir.path(), &account);
    fs::write(&place, operator.account(&account, 300)).unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    let pushed = operator.account(&account, 200);
    server.http.post(&account.path(), pushed.clone()).await.expect(200);
    until("the file follows", || async { fs::read_to_string(&place).is_ok_and(|text| text == pushed) }).await;
    let edited = operator.account(&account, 100);
    fs::write(&place, &edited).unwrap();
    serves(&server, &account, &edited).await;
    server.http.delete(&account.path(), operator.delete_request(&[&account], 50)).await.expect(200);
    until("the file is gone", || async { !place.exists() }).await;
    assert!(!file(dir.path(), &account).exists());
    assert_eq!(fs::read_to_string(place.with_extension("jwt.deleted")).unwrap(), edited);
}

#[tokio::test]
async fn a_deletion_reaches_both_places() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let account = Account::new();
    let jwt = operator.account(&account, 300);
    let places = [file(dir.path(), &account), sharded(dir.path(), &account)];
    fs::write(&places[0], &jwt).unwrap();
    fs::write(&places[1], &jwt).unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    server.http.delete(&account.path(), operator.delete_request(&[&account], 50)).await.expect(200);
    until("no file is left that brings it back", || async { places.iter().all(|place| !place.exists()) }).await;
    server.http.get(&account.path()).await.expect(404);
}

#[tokio::test]
async fn a_copy_in_a_folder_of_somebodys_own_is_read_and_never_touched() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (account, torn) = (Account::new(), Account::new());
    let own = dir.path().join("backup/of last year");
    fs::create_dir_all(&own).unwrap();
    let [old, new] = [300, 100].map(|age| operator.account(&account, age));
    let copy = file(&own, &account);
    fs::write(&copy, &old).unwrap();
    fs::write(file(&own, &torn), &old[..100]).unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    serves(&server, &account, &old).await;
    server.http.post(&account.path(), new.clone()).await.expect(200);
    until("ours is written", || async { fs::read_to_string(file(dir.path(), &account)).is_ok_and(|text| text == new) })
        .await;
    let server = server.stop_and_start().await;
    serves(&server, &account, &new).await;
    assert_eq!(fs::read_to_string(&copy).unwrap(), old);
    assert_eq!(fs::read_to_string(file(&own, &torn)).unwrap(), old[..100]);
}
