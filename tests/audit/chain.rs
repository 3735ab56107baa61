//! The chain: verified, broken, continued.

use std::fs;

use serde_json::Value;

use super::world::{World, is_committed, is_note};
use crate::support::command::run;
use crate::support::{Account, Server, until};

/// Changes the lines of a log.
type Change = fn(&mut Vec<String>);

/// Pushes accounts, and waits for their lines.
async fn pushes(world: &World, server: &Server, count: usize) {
    let before = world.lines().iter().filter(|line| is_committed(line)).count();
    for _ in 0..count {
        let account = Account::new();
        server.http.post(&account.path(), world.operator.account(&account, 10)).await.expect(200);
    }
    world.waits_for(before + count, is_committed).await;
}

#[tokio::test]
async fn verify_names_the_first_line_that_was_changed() {
    let world = World::new();
    let server = world.start().await;
    pushes(&world, &server, 5).await;
    drop(server);
    let whole = fs::read_to_string(world.log()).unwrap();
    let count = whole.lines().count();
    let ran = world.verify(&["--json"]).await.expect(0);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["ok"], &report["lines"]), (&true.into(), &count.into()));
    let head = report["head"].as_str().unwrap().to_owned();
    world.verify(&["--head", &head]).await.expect(0);
    let text = world.verify(&[]).await.expect(0).stdout;
    assert!(text.contains(&format!("{count} lines fit, 1 to {count}")) && text.contains(&head), "{text}");

    let edit = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(world.log(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    };
    let changes: [(Change, u64); 4] = [
        (|lines| lines[3] = lines[3].replace("127.0.0.1", "192.0.2.1"), 4),
        (|lines| drop(lines.remove(3)), 4),
        (|lines| lines.insert(3, lines[3].clone()), 5),
        (|lines| lines[3] = "{}".to_owned(), 4),
    ];
    for (change, line) in changes {
        edit(&change);
        let ran = world.verify(&[]).await.expect(1);
        assert!(ran.stderr.contains(&format!("line {line} of ")), "{line}: {}", ran.stderr);
    }
    // A log that lost its end fits in itself. Only the head shows it.
    edit(&|lines| drop(lines.pop()));
    world.verify(&[]).await.expect(0);
    let ran = world.verify(&["--head", &head]).await.expect(1);
    assert!(ran.stderr.contains("was expected"), "{}", ran.stderr);
    let ran = run(["audit", "verify", "/nowhere/audit.log"]).await.expect(1);
    assert!(ran.stderr.contains("cannot read /nowhere/audit.log"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_start_finds_a_log_that_was_cut_off_emptied_or_changed() {
    for change in ["cut off", "emptied", "changed"] {
        let world = World::new();
        let mut server = world.start().await;
        pushes(&world, &server, 4).await;
        server.signal("TERM");
        assert!(server.exit().await.success());
        let whole = fs::read_to_string(world.log()).unwrap();
        let last = whole.lines().count();
        fs::write(
            world.log(),
            match change {
                "cut off" => whole[..whole.trim_end().rfind('\n').unwrap() + 1].to_owned(),
                "emptied" => String::new(),
                _ => whole.replacen("\"via\":\"post\"", "\"via\":\"file\"", 1),
            },
        )
        .unwrap();
        let server = world.start().await;
        server.logs("is not as this server wrote it").await;
        assert_eq!(server.http.metric("audit_broken_total", "").await, 1.0, "{change}");
        let note = world.waits_for(1, is_note("broken")).await.remove(0);
        assert_eq!(
            (note["seq"].as_u64(), note["prev"].as_str()),
            (Some(last as u64 + 1), Some(&*"0".repeat(64))),
            "{change}"
        );
        pushes(&world, &server, 1).await;
        if change != "emptied" {
            let ran = world.verify(&[]).await.expect(1);
            assert!(ran.stderr.contains("does not fit"), "{}", ran.stderr);
        }
        // It was told once.
        let server = server.stop_and_start().await;
        pushes(&world, &server, 1).await;
        assert_eq!(server.http.metric("audit_broken_total", "").await, 0.0, "{change}");
        assert_eq!(world.waits_for(1, is_note("broken")).await.len(), 1, "{change}");
    }
}

#[tokio::test]
async fn a_log_that_becomes_shorter_while_the_server_runs_is_found() {
    let world = World::new();
    let server = world.start().await;
    pushes(&world, &server, 3).await;
    fs::write(world.log(), "").unwrap();
    server.logs("is not as this server wrote it").await;
    world.waits_for(1, is_note("broken")).await;
    pushes(&world, &server, 1).await;
    world.verify(&[]).await.expect(1);
}

#[tokio::test]
async fn the_chain_goes_on_in_the_next_file() {
    let world = World::new();
    let server = world.start().await;
    let mut files = Vec::new();
    for (number, hangup) in [(1, true), (2, false)] {
        pushes(&world, &server, 3).await;
        let moved = world.folder.path().join(format!("audit.log.{number}"));
        fs::rename(world.log(), &moved).unwrap();
        files.push(moved.to_str().unwrap().to_owned());
        if hangup {
            server.signal("HUP");
        }
        until("there is a new file", || async { world.log().exists() }).await;
    }
    // The lock goes with the file, and the chain survives a restart right after a rotation.
    let server = server.stop_and_start().await;
    pushes(&world, &server, 2).await;
    let [first, second] = &files[..] else { unreachable!() };
    let ran = world.verify(&[second, first]).await.expect(0);
    assert!(ran.stdout.contains(" lines fit, 1 to "), "{}", ran.stdout);
    assert_eq!(server.http.metric("audit_broken_total", "").await, 0.0);
    let ran = world.verify(&[second]).await.expect(0);
    assert!(ran.stdout.contains("in files that were not given"), "{}", ran.stdout);
    let ran = world.verify(&[first]).await.expect(1);
    assert!(ran.stderr.contains("line 1 of "), "a file in the middle is missing: {}", ran.stderr);
}

#[tokio::test]
async fn a_restored_journal_is_named_as_another_one() {
    let world = World::new();
    let mut server = world.start().await;
    pushes(&world, &server, 2).await;
    server.signal("TERM");
    assert!(server.exit().await.success());
    for file in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
        // The last two may be gone.
        let _ = fs::remove_file(world.store().join(".nats-account-server").join(file));
    }
    let server = world.start().await;
    let note = world.waits_for(1, is_note("journal")).await.remove(0);
    assert!(note["session"].is_string() && note["serial"].is_u64(), "{note}");
    pushes(&world, &server, 1).await;
    world.verify(&[]).await.expect(0);
}
