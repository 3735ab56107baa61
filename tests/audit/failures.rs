//! A log that cannot be written.

use std::fs;

use super::world::{World, is_committed, is_note};
use crate::support::{Account, Launch, SmallDisk, until};

/// A folder in the place of the log, so that it cannot be opened.
fn block(world: &World) {
    fs::rename(world.log(), world.folder.path().join("moved")).unwrap();
    fs::create_dir(world.log()).unwrap();
}

#[tokio::test]
async fn by_default_changes_go_on_and_their_lines_follow() {
    let world = World::new();
    let server = world.start().await;
    block(&world);
    until("the failure is noticed", || async { server.http.metric("audit_failing", "").await == 1.0 }).await;
    let account = Account::named("during");
    server.http.post(&account.path(), world.operator.account(&account, 50)).await.expect(200);
    server.http.post(&account.path(), world.operator.account(&account, 90)).await.expect(409);
    server.http.get(&account.path()).await.expect(200);
    server.logs("cannot write the audit log").await;
    until("it is tried again", || async { server.http.metric("audit_failures_total", "").await >= 2.0 }).await;
    assert_eq!(server.log().matches("cannot write the audit log").count(), 1, "once a minute");
    fs::remove_dir(world.log()).unwrap();
    let lines = world.waits_for(2, |line| line["key"] == account.key()).await;
    assert_eq!(
        lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect::<Vec<_>>(),
        ["committed", "rejected"]
    );
    assert_eq!(world.lines().iter().filter(|line| is_note("resumed")(line)).count(), 1);
    until("it is noticed", || async { server.http.metric("audit_failing", "").await == 0.0 }).await;
    let moved = world.folder.path().join("moved");
    world.verify(&[moved.to_str().unwrap()]).await.expect(0);
}

#[tokio::test]
async fn if_so_configured_nothing_is_committed_that_cannot_be_audited() {
    let world = World::new();
    let server = world.launch().env("NAS_AUDIT__ON_FAILURE", "refuse").start().await;
    let (before, during, after) = (Account::new(), Account::new(), Account::new());
    server.http.post(&before.path(), world.operator.account(&before, 50)).await.expect(200);
    assert!(world.lines().iter().any(|line| line["key"] == before.key()), "the line comes before the answer");
    block(&world);
    until("the failure is noticed", || async { server.http.metric("audit_failing", "").await == 1.0 }).await;
    let reply = server.http.post(&during.path(), world.operator.account(&during, 50)).await.expect(503);
    assert!(reply.body.contains("the audit log cannot be written"), "{}", reply.body);
    assert!(reply.body.contains("nothing was changed") && !reply.header("retry-after").is_empty(), "{}", reply.body);
    assert!(!reply.body.contains(world.folder.path().to_str().unwrap()), "{}", reply.body);
    server.http.delete(&before.path(), world.operator.delete_request(&[&before], 1)).await.expect(503);
    server.http.get(&during.path()).await.expect(404);
    server.http.get(&before.path()).await.expect(200);
    fs::remove_dir(world.log()).unwrap();
    until("changes are accepted again", || async {
        server.http.post(&after.path(), world.operator.account(&after, 50)).await.status == 200
    })
    .await;
    assert!(world.lines().iter().any(|line| line["key"] == after.key()));
    assert!(!world.lines().iter().any(|line| line["key"] == during.key()));
}

#[tokio::test]
async fn a_full_disk_loses_no_line_of_a_change() {
    let Some(disk) = SmallDisk::or_skip("256k") else { return };
    let world = World::new();
    let log = disk.path().join("audit.log");
    let server = Launch::primary(&world.operator).path("NAS_AUDIT__PATH", &log).start().await;
    let filler = disk.path().join("filler");
    let _ = fs::write(&filler, vec![b'x'; 1 << 20]);
    let accounts: Vec<_> = (0..40).map(|_| Account::new()).collect();
    for account in &accounts {
        server.http.post(&account.path(), world.operator.account(account, 50)).await.expect(200);
    }
    until("the failure is noticed", || async { server.http.metric("audit_failing", "").await == 1.0 }).await;
    fs::remove_file(&filler).unwrap();
    let text = || fs::read_to_string(&log).unwrap();
    until("all lines are there", || async { accounts.iter().all(|account| text().contains(&account.key())) }).await;
    let log = log.to_str().unwrap();
    crate::support::command::run(["audit", "verify", log]).await.expect(0);
}

#[tokio::test]
async fn a_log_that_cannot_be_used_is_an_error_at_start() {
    let world = World::new();
    let launch = || world.launch().flag("-hp", "127.0.0.1:0");
    fs::create_dir(world.log()).unwrap();
    let (code, text) = launch().fail().await;
    assert!(code == Some(1) && text.contains("audit.log"), "{text}");
    fs::remove_dir(world.log()).unwrap();
    fs::write(world.log(), "somebody else's lines\n").unwrap();
    let (code, text) = launch().fail().await;
    assert!(code == Some(1) && text.contains("no audit log of this server"), "{text}");
    assert_eq!(fs::read_to_string(world.log()).unwrap(), "somebody else's lines\n");
    fs::remove_file(world.log()).unwrap();
    let server = world.start().await;
    let other = tempfile::tempdir().unwrap();
    let launch = Launch::primary(&world.operator).dir(other.path()).path("NAS_AUDIT__PATH", &world.log());
    let (code, text) = launch.flag("-hp", "127.0.0.1:0").fail().await;
    assert!(code == Some(1) && text.contains("in use by another process"), "{text}");
    let account = Account::new();
    server.http.post(&account.path(), world.operator.account(&account, 50)).await.expect(200);
    world.waits_for(1, is_committed).await;
}
