//! A folder that somebody else keeps.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{file, is_gone, serves};
use crate::support::{Account, Launch, Operator, Server, until};

fn launch(operator: &Operator, dir: &Path) -> Launch {
    Launch::primary(operator).dir(dir).env("NAS_STORE__READONLY", "true")
}

/// All files of a folder and what is in them.
fn everything(dir: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn its_owner_decides_and_nothing_is_written_there() {
    let (operator, dir, state) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [held, edited, removed, new] = std::array::from_fn(|_| Account::new());
    for account in [&held, &edited, &removed] {
        fs::write(file(dir.path(), account), operator.account(account, 100)).unwrap();
    }
    let state_dir = state.path().to_str().unwrap();
    let server = launch(&operator, dir.path()).env("NAS_STORE__STATE_DIR", state_dir).start().await;
    let replica = Server::replica(&operator, &server.url).await;
    let jwt = fs::read_to_string(file(dir.path(), &removed)).unwrap();
    serves(&server, &removed, &jwt).await;
    serves(&replica, &removed, &jwt).await;
    let refused = server.http.post(&held.path(), operator.account(&held, 1)).await.expect(405);
    assert!(refused.body.contains("read-only folder"), "{}", refused.body);
    assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
    let newer = operator.account(&edited, 50);
    fs::write(file(dir.path(), &edited), &newer).unwrap();
    let of_new = operator.account(&new, 50);
    fs::write(file(dir.path(), &new), &of_new).unwrap();
    fs::remove_file(file(dir.path(), &removed)).unwrap();
    serves(&server, &edited, &newer).await;
    serves(&server, &new, &of_new).await;
    is_gone(&server, &removed).await;
    is_gone(&replica, &removed).await;
    let before = everything(dir.path());
    // It is back when its file is.
    fs::write(file(dir.path(), &removed), &jwt).unwrap();
    serves(&server, &removed, &jwt).await;
    serves(&replica, &removed, &jwt).await;
    assert_eq!(server.http.metric("accounts", "").await, 4.0);
    // What its owner did while this server was stopped counts as well.
    let mut server = server;
    server.kill();
    fs::remove_file(file(dir.path(), &removed)).unwrap();
    let server = server.restart().await;
    is_gone(&server, &removed).await;
    serves(&server, &new, &of_new).await;
    assert_eq!(everything(dir.path()), before);
}

#[tokio::test]
async fn a_mass_removal_waits_for_a_second_look() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let accounts: Vec<Account> = (0..40).map(|_| Account::new()).collect();
    let (volume, aside) = (dir.path().join("volume"), tempfile::tempdir().unwrap());
    fs::create_dir(&volume).unwrap();
    for (number, account) in accounts.iter().enumerate() {
        let place = if number < 30 { &*volume } else { dir.path() };
        fs::write(file(place, account), operator.account(account, 100)).unwrap();
    }
    let server = launch(&operator, dir.path()).start().await;
    // They vanish in one moment, as when a volume is not mounted any more.
    fs::rename(&volume, aside.path().join("volume")).unwrap();
    server.logs("are gone from the folder at once").await;
    for account in &accounts {
        server.http.get(&account.path()).await.expect(200);
    }
    // Some are back in time.
    for account in &accounts[..10] {
        fs::write(file(dir.path(), account), operator.account(account, 50)).unwrap();
    }
    is_gone(&server, &accounts[20]).await;
    for account in &accounts[..10] {
        server.http.get(&account.path()).await.expect(200);
    }
    until("all that left are gone", || async { server.http.metric("accounts", "").await == 20.0 }).await;
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_an_error_and_one_that_vanishes_is_not_a_removal() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let root = dir.path().join("tokens");
    let (code, text) = launch(&operator, &root).flag("-hp", "127.0.0.1:0").fail().await;
    assert_eq!(code, Some(1));
    assert!(text.contains(root.to_str().unwrap()), "{text}");
    fs::create_dir(&root).unwrap();
    let account = Account::new();
    fs::write(file(&root, &account), operator.account(&account, 100)).unwrap();
    let server = launch(&operator, &root).env("NAS_STORE__LOOK_INTERVAL", "100ms").start().await;
    fs::rename(&root, dir.path().join("elsewhere")).unwrap();
    server.logs("the token folder cannot be looked through").await;
    server.http.get(&account.path()).await.expect(200);
}

#[tokio::test]
async fn the_configured_system_account_stays_and_other_names_are_nobodys() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (held, other) = (Account::new(), Account::new());
    fs::write(file(dir.path(), &held), operator.account(&held, 100)).unwrap();
    let system = operator.account(operator.system(), 100);
    let server = launch(&operator, dir.path())
        .env("NAS_SYSTEM_ACCOUNT", &system)
        .env("NAS_STORE__LOOK_INTERVAL", "100ms")
        .start()
        .await;
    fs::write(dir.path().join("backup.jwt"), operator.account(&other, 10)).unwrap();
    // By then the other name was looked at as well.
    let newer = operator.account(&held, 50);
    fs::write(file(dir.path(), &held), &newer).unwrap();
    serves(&server, &held, &newer).await;
    server.http.get(&other.path()).await.expect(404);
    assert_eq!(server.http.get(&operator.system().path()).await.expect(200).body, system);
}
