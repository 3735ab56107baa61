//! The folder follows the journal.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{file, holds};
use crate::support::{Account, Launch, Operator, Server, now, until};

#[tokio::test]
async fn pushes_and_deletions_reach_the_folder() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let (kept, deleted) = (Account::new(), Account::new());
    let (first, second) = (operator.account(&kept, 20), operator.account(&kept, 10));
    let other = operator.account(&deleted, 20);
    for (account, jwt) in [(&kept, &first), (&deleted, &other), (&kept, &second)] {
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
    }
    holds(&file(dir.path(), &kept), &second).await;
    holds(&file(dir.path(), &deleted), &other).await;
    server.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 5)).await.expect(200);
    let grave = dir.path().join(format!("{}.jwt.deleted", deleted.key()));
    holds(&grave, &other).await;
    assert!(!file(dir.path(), &deleted).exists());
    // Signed after the deletion, it is back, and nothing says any more that it is deleted.
    let again = operator.account(&deleted, 1);
    server.http.post(&deleted.path(), again.clone()).await.expect(200);
    holds(&file(dir.path(), &deleted), &again).await;
    assert!(!grave.exists());
    until("everything is on disk", || async { ready_line(&server, "folder").await.contains("all files are on disk") })
        .await;
    assert_eq!(server.http.metric("folder_pending", "").await, 0.0);
}

async fn ready_line(server: &Server, name: &str) -> String {
    let text = server.http.get("/readyz?verbose").await.body;
    text.lines().find(|line| line.contains(&format!("] {name}: "))).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_stop_leaves_nothing_behind_and_a_kill_is_made_up_for() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut server = Server::primary_in(&operator, dir.path()).await;
    let accounts: Vec<Account> = (0..100).map(|_| Account::new()).collect();
    let push = async |server: &Server, age: i64| {
        let mut pushed = Vec::new();
        for account in &accounts {
            let jwt = operator.account(account, age);
            server.http.post(&account.path(), jwt.clone()).await.expect(200);
            pushed.push(jwt);
        }
        pushed
    };
    let pushed = push(&server, 20).await;
    server.signal("TERM");
    assert!(server.exit().await.success());
    for (account, jwt) in accounts.iter().zip(&pushed) {
        assert_eq!(fs::read_to_string(file(dir.path(), account)).unwrap(), *jwt);
    }
    let mut server = server.restart().await;
    let pushed = push(&server, 10).await;
    server.kill();
    let _server = server.restart().await;
    for (account, jwt) in accounts.iter().zip(&pushed) {
        holds(&file(dir.path(), account), jwt).await;
    }
    assert!(super::refused(dir.path()).is_empty(), "{:?}", super::refused(dir.path()));
}

#[tokio::test]
async fn files_lie_as_the_folder_has_them() {
    let (operator, account) = (Operator::new(), Account::new());
    let jwt = operator.account(&account, 10);
    let sharded = |dir: &Path, account: &Account| {
        let key = account.key();
        dir.join(&key[54..]).join(format!("{key}.jwt"))
    };
    // A new folder, as configured.
    let dir = tempfile::tempdir().unwrap();
    let launch = |dir: &Path| Launch::primary(&operator).dir(dir).env("NAS_STORE__SHARD", "true");
    let server = launch(dir.path()).start().await;
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    holds(&sharded(dir.path(), &account), &jwt).await;
    // One that holds flat files stays flat.
    let (dir, old) = (tempfile::tempdir().unwrap(), Account::new());
    fs::write(file(dir.path(), &old), operator.account(&old, 10)).unwrap();
    let server = launch(dir.path()).start().await;
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    holds(&file(dir.path(), &account), &jwt).await;
    assert!(server.log().contains("is flat, but store.shard says sharded"), "{}", server.log());
    // And one that holds sharded files stays sharded.
    let dir = tempfile::tempdir().unwrap();
    let place = sharded(dir.path(), &old);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, operator.account(&old, 10)).unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    holds(&sharded(dir.path(), &account), &jwt).await;
    server.http.get(&old.path()).await.expect(200);
}

#[tokio::test]
async fn a_folder_that_fails_holds_up_no_push_and_is_made_up_for() {
    let (operator, dir, state) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator)
        .dir(dir.path())
        .env("NAS_STORE__STATE_DIR", state.path().to_str().unwrap())
        .start()
        .await;
    let (account, other) = (Account::new(), Account::new());
    // What is in the way of making files, also for root.
    let making = dir.path().join(".nats-account-server/making");
    fs::remove_dir(&making).unwrap();
    fs::write(&making, "in the way").unwrap();
    for (account, age) in [(&account, 20), (&other, 20), (&account, 10)] {
        server.http.post(&account.path(), operator.account(account, age)).await.expect(200);
    }
    until("the failure is shown", || async { ready_line(&server, "folder").await.contains("wait to be written") })
        .await;
    assert!(server.http.metric("folder_failures_total", "").await > 0.0);
    assert!(server.http.metric("folder_pending", "").await > 0.0);
    server.http.get("/readyz").await.expect(200);
    fs::remove_file(&making).unwrap();
    fs::create_dir(&making).unwrap();
    let jwt = server.http.get(&account.path()).await.expect(200).body;
    holds(&file(dir.path(), &account), &jwt).await;
    until("it is well again", || async { ready_line(&server, "folder").await.contains("all files are on disk") }).await;
}

#[tokio::test]
async fn a_folder_that_is_removed_under_the_server_takes_no_pushes() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let root = dir.path().join("tokens");
    let server = Server::primary_in(&operator, &root).await;
    let (held, new) = (Account::new(), Account::new());
    let jwt = operator.account(&held, 10);
    server.http.post(&held.path(), jwt.clone()).await.expect(200);
    holds(&file(&root, &held), &jwt).await;
    fs::remove_dir_all(&root).unwrap();
    let refused = server.http.post(&new.path(), operator.account(&new, 10)).await.expect(500);
    assert!(refused.body.contains("removed or replaced while this server was running"), "{}", refused.body);
    assert_eq!(server.http.get(&held.path()).await.expect(200).body, jwt);
    server.http.get(&new.path()).await.expect(404);
    assert!(server.http.get("/readyz").await.expect(503).body.contains("the journal was removed"));
    assert!(!root.exists(), "nothing is made in the place of what may be a disk that is not mounted");
}

#[tokio::test]
async fn many_changes_of_one_account_leave_its_last() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::new();
    let mut last = String::new();
    for version in 0..300 {
        last = operator.sign(&account.with_connections(now() - 1000 + version, version));
        server.http.post(&account.path(), last.clone()).await.expect(200);
    }
    holds(&file(dir.path(), &account), &last).await;
    assert!(super::refused(dir.path()).is_empty());
}

#[tokio::test]
async fn flush_waits_until_the_folder_has_everything() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let flush = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nats-account-server"));
        let output = command.args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let folder = dir.path().to_str().unwrap();
    let (code, text) = flush(&["flush", "-dir", folder]);
    assert!(code == Some(1) && text.contains("has a server run on this folder?"), "{text}");
    let mut server = Server::primary_in(&operator, dir.path()).await;
    // The first change is the operator's JWT.
    let accounts: Vec<Account> = (0..50).map(|_| Account::new()).collect();
    for account in &accounts {
        server.http.post(&account.path(), operator.account(account, 10)).await.expect(200);
    }
    let (code, text) = flush(&["-dir", folder, "flush", "--timeout", "20"]);
    assert!(code == Some(0) && text.contains("up to serial 51"), "{text}");
    assert!(accounts.iter().all(|account| file(dir.path(), account).exists()));
    // It waits for a server that writes, and not for one that does not run.
    let making = dir.path().join(".nats-account-server/making");
    fs::remove_dir(&making).unwrap();
    fs::write(&making, "in the way").unwrap();
    server.http.post(&accounts[0].path(), operator.account(&accounts[0], 5)).await.expect(200);
    let (code, text) = flush(&["flush", "-dir", folder, "--timeout", "1"]);
    assert!(code == Some(1) && text.contains("51 of 52 changes after 1 s"), "{text}");
    server.kill();
    let (code, text) = flush(&["flush", "-dir", folder, "--timeout", "1h"]);
    assert!(code == Some(1) && text.contains("no server runs on this folder, which has 51 of 52 changes"), "{text}");
}

#[tokio::test]
async fn without_a_history_our_own_file_is_known_after_a_restart_all_the_same() {
    let (operator, dir, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
    let mut server = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__HISTORY", "1").start().await;
    let path = file(dir.path(), &account);
    for age in [30, 20, 10] {
        let jwt = operator.account(&account, age);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        holds(&path, &jwt).await;
        server = server.restart().await;
    }
    assert!(super::refused(dir.path()).is_empty(), "{:?}", super::refused(dir.path()));
}
