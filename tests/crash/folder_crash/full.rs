//! The folder of tokens on a disk that is full, and the journal elsewhere.

use std::fs;
use std::path::Path;

use super::file;
use crate::support::{Account, Launch, Operator, Server, SmallDisk, now, until};

async fn folder_line(server: &Server) -> String {
    let text = server.http.get("/readyz?verbose").await.expect(200).body;
    text.lines().find(|line| line.contains("] folder: ")).unwrap_or_default().to_owned()
}

/// A JWT that takes some room.
fn large(operator: &Operator, account: &Account, age: i64) -> String {
    operator.sign(&account.with_bulk(now() - age, 20_000))
}

/// Every file in the folder is a whole JWT that was pushed, if not the last one.
fn is_whole(dir: &Path, account: &Account, pushed: &[String]) {
    if let Ok(text) = fs::read_to_string(file(dir, account)) {
        assert!(pushed.contains(&text), "half a file: {} bytes", text.len());
    }
}

#[tokio::test]
async fn a_full_folder_takes_pushes_says_what_is_wrong_and_catches_up_when_there_is_room() {
    let Some(disk) = SmallDisk::or_skip("1m") else { return };
    let (operator, dir, state) = (Operator::new(), disk.path(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator).dir(dir).path("NAS_STORE__STATE_DIR", state.path()).start().await;
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 700_000]).unwrap();
    let mut accounts: Vec<(Account, Vec<String>)> = (0..40).map(|_| (Account::new(), Vec::new())).collect();
    let push = async |server: &Server, accounts: &mut Vec<(Account, Vec<String>)>, age: i64| {
        for (account, pushed) in accounts {
            pushed.push(large(&operator, account, age));
            server.http.post(&account.path(), pushed.last().unwrap().clone()).await.expect(200);
        }
    };
    // Forty times 27 kB do not fit beside the ballast: pushes go on.
    push(&server, &mut accounts, 100).await;
    until("the disk is full", || async { folder_line(&server).await.contains("No space left on device") }).await;
    let line = folder_line(&server).await;
    assert!(!line.contains(dir.to_str().unwrap()) && line.contains("files wait to be written"), "{line}");
    push(&server, &mut accounts, 50).await;
    server.http.get("/readyz").await.expect(200);
    assert!(server.http.metric("folder_failures_total", "").await > 0.0);
    assert!(server.http.metric("folder_pending", "").await > 0.0);
    server.logs("the token folder is behind the journal, which holds everything that was acknowledged").await;
    for (account, pushed) in &accounts {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *pushed.last().unwrap());
        is_whole(dir, account, pushed);
    }
    // Neither a deletion nor a restart needs room.
    let (gone, _) = accounts.pop().unwrap();
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 10)).await.expect(200);
    let server = server.restart().await;
    server.http.get(&gone.path()).await.expect(404);
    for (account, pushed) in &accounts {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *pushed.last().unwrap());
        is_whole(dir, account, pushed);
    }
    until("it is full again", || async { folder_line(&server).await.contains("No space left on device") }).await;
    fs::remove_file(&ballast).unwrap();
    // There is room for 27 of them; what is left over is told.
    for (account, _) in accounts.drain(20..) {
        server.http.delete(&account.path(), operator.delete_request(&[&account], 10)).await.expect(200);
        let _ = fs::remove_file(file(dir, &account));
    }
    until("the folder is well again", || async { folder_line(&server).await.contains("all files are on disk") }).await;
    for (account, pushed) in &accounts {
        assert_eq!(fs::read_to_string(file(dir, account)).unwrap(), *pushed.last().unwrap());
    }
    assert!(!file(dir, &gone).exists());
    server.logs("the token folder can be written again").await;
}
