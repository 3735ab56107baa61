//! Sub-folders that the server cannot read: the others work, the log says it once, and nothing in them is called absent.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use super::{file, holds, is_gone, serves};
use crate::support::{Account, Launch, Operator, Server, until};

/// Who runs the server. Root could read everything.
const USER: u32 = 65_534;

/// A folder of that user's, or a word about why there is none.
fn folder_or_skip() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give a folder to another user");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    give(dir.path());
    Some(dir)
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
}

/// A sub-folder that is root's alone.
fn close(path: &Path) {
    fs::create_dir_all(path).unwrap();
    chown(path, Some(0), Some(0)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

/// It is another name's from now on.
fn open(path: &Path) {
    give(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn launch(operator: &Operator, dir: &Path) -> Launch {
    Launch::primary(operator).dir(dir).user(USER).env("NAS_STORE__LOOK_INTERVAL", "100ms")
}

fn shard_of(account: &Account) -> String {
    let key = account.key();
    key[key.len() - 2..].to_owned()
}

/// An account that nobody has pushed, of this shard or of another one.
fn stranger(shard: &str, is_in: bool) -> Account {
    std::iter::repeat_with(Account::new).find(|account| (shard_of(account) == shard) == is_in).unwrap()
}

fn left_out(server: &Server) -> usize {
    server.log().matches("is left out").count()
}

#[tokio::test]
async fn a_closed_sub_folder_is_said_once_and_the_others_work() {
    let Some(dir) = folder_or_skip() else { return };
    let (operator, account, copy) = (Operator::new(), Account::new(), Account::new());
    for name in ["lost+found", "private", "private too/deep"] {
        close(&dir.path().join(name));
    }
    open(&dir.path().join("private too"));
    fs::create_dir(dir.path().join("team")).unwrap();
    let copied = dir.path().join("team").join(format!("{}.jwt", copy.key()));
    for (path, account) in [(file(dir.path(), &account), &account), (copied.clone(), &copy)] {
        fs::write(&path, operator.account(account, 500)).unwrap();
        give(&path);
    }
    let server = launch(&operator, dir.path()).start().await;
    // Each of these takes a second at least, and so some looks.
    for age in [400, 300] {
        let newer = operator.account(&copy, age);
        fs::write(&copied, &newer).unwrap();
        serves(&server, &copy, &newer).await;
    }
    let pushed = operator.account(&account, 200);
    server.http.post(&account.path(), pushed.clone()).await.expect(200);
    holds(&file(dir.path(), &account), &pushed).await;
    server.http.get(&Account::new().path()).await.expect(404);
    let log = server.log();
    assert_eq!(left_out(&server), 2, "{log}");
    assert!(!log.contains("lost+found"), "{log}");
    assert!(log.lines().count() < 60, "{log}");
    // Nothing is left to do at the next start.
    let server = server.stop_and_start().await;
    serves(&server, &account, &pushed).await;
    close(&dir.path().join("new"));
    until("another one is said", || async { left_out(&server) == 5 }).await;
}

#[tokio::test]
async fn what_may_be_in_a_closed_shard_is_not_called_absent() {
    let Some(dir) = folder_or_skip() else { return };
    for restart in [false, true] {
        let (operator, account) = (Operator::new(), Account::new());
        let dir = dir.path().join(if restart { "a" } else { "b" });
        let shard = dir.join(shard_of(&account));
        fs::create_dir_all(&shard).unwrap();
        give(&dir);
        let jwt = operator.account(&account, 500);
        fs::write(file(&shard, &account), &jwt).unwrap();
        close(&shard);
        let server = launch(&operator, &dir).start().await;
        let (other, unknown) = (stranger(&shard_of(&account), false), stranger(&shard_of(&account), true));
        for account in [&account, &unknown] {
            let reply = server.http.get(&account.path()).await.expect(503);
            assert_eq!(reply.header("retry-after"), "1");
            assert!(reply.body.contains("a sub-folder of the token folder cannot be read"), "{}", reply.body);
        }
        server.http.get(&other.path()).await.expect(404);
        let ready = server.http.get("/readyz?verbose").await.expect(200).body;
        assert!(ready.contains("1 sub-folders of the token folder cannot be read"), "{ready}");
        // What is pushed is known, and its file waits.
        let pushed = operator.account(&unknown, 100);
        server.http.post(&unknown.path(), pushed.clone()).await.expect(200);
        serves(&server, &unknown, &pushed).await;
        let server = if restart { server.restart().await } else { server };
        open(&shard);
        serves(&server, &account, &jwt).await;
        is_gone(&server, &stranger(&shard_of(&account), true)).await;
        server.http.get(&other.path()).await.expect(404);
    }
}

#[tokio::test]
async fn what_may_be_in_a_closed_part_of_a_read_only_folder_has_not_left_it() {
    let Some(dir) = folder_or_skip() else { return };
    let operator = Operator::new();
    let (edited, removed, hidden) = (Account::new(), Account::new(), Account::new());
    let team = dir.path().join("team");
    fs::create_dir(&team).unwrap();
    for (folder, account) in [(dir.path(), &edited), (dir.path(), &removed), (&team, &hidden)] {
        fs::write(file(folder, account), operator.account(account, 500)).unwrap();
    }
    let server = launch(&operator, dir.path()).env("NAS_STORE__READONLY", "true").start().await;
    server.http.get(&hidden.path()).await.expect(200);
    close(&team);
    server.logs("is left out").await;
    fs::remove_file(file(dir.path(), &removed)).unwrap();
    let newer = operator.account(&edited, 100);
    fs::write(file(dir.path(), &edited), &newer).unwrap();
    serves(&server, &edited, &newer).await;
    for account in [&hidden, &removed] {
        server.http.get(&account.path()).await.expect(200);
    }
    assert_eq!(left_out(&server), 1, "{}", server.log());
    open(&team);
    is_gone(&server, &removed).await;
    server.http.get(&hidden.path()).await.expect(200);
}
