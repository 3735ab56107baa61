//! `backup` and `restore`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{file, on, run, stop};
use crate::support::{Account, Launch, Operator, Server, free_address, until};

/// Pushes accounts until it is told to stop. Those that were acknowledged.
fn push_on(server: &Server, operator: &Arc<Operator>, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<Account>> {
    let (http, operator, stop) = (server.http.clone(), operator.clone(), stop.clone());
    tokio::spawn(async move {
        let mut pushed = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let account = Account::new();
            http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
            pushed.push(account);
        }
        pushed
    })
}

fn session(text: &str) -> String {
    text.split("session ").nth(1).unwrap()[..32].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_made_while_pushes_went_on_has_what_was_acknowledged_before() {
    let (operator, dir, other) =
        (Arc::new(Operator::new()), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let mut before = Vec::new();
    for _ in 0..50 {
        let account = Account::new();
        server.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
        before.push(account);
    }
    let gone = before.pop().unwrap();
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 50)).await.expect(200);
    let enough = Arc::new(AtomicBool::new(false));
    let pushing = push_on(&server, &operator, &enough);
    let backup = other.path().join("backup");
    let (jwt, name) = (operator.jwt(), backup.to_str().unwrap());
    let first = run(on(dir.path(), &jwt, &["backup", name])).await.expect(0);
    let refused = run(on(dir.path(), &jwt, &["backup", name])).await.expect(1);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    run(on(dir.path(), &jwt, &["backup", "--overwrite", name])).await.expect(0);
    enough.store(true, Ordering::Relaxed);
    let pushed = pushing.await.unwrap();
    assert!(first.stdout.contains("1 deleted"), "{}", first.stdout);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing but the backup");
    // Elsewhere.
    let place = other.path().join("place");
    let restored = run(on(&place, &jwt, &["restore", name])).await.expect(0);
    assert_ne!(session(restored.stdout.lines().nth(1).unwrap()), session(&first.stdout));
    let again = run(on(&place, &jwt, &["backup", other.path().join("again").to_str().unwrap()])).await.expect(0);
    assert_eq!(session(&again.stdout), session(restored.stdout.lines().nth(1).unwrap()));
    let there = Server::primary_in(&operator, &place).await;
    for account in &before {
        let wanted = server.http.get(&account.path()).await.expect(200).body;
        assert_eq!(there.http.get(&account.path()).await.expect(200).body, wanted);
        // The folder follows, too.
        let path = file(&place, account);
        until("the file is there", || async { fs::read_to_string(&path).is_ok_and(|text| text == wanted) }).await;
    }
    there.http.get(&gone.path()).await.expect(404);
    there.http.post(&gone.path(), operator.account(&gone, 60)).await.expect(409);
    // What came during the backup is there or not, but never in part.
    for account in pushed.iter().take(100) {
        let reply = there.http.get(&account.path()).await;
        assert!(matches!(reply.status, 200 | 404), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_primary_begins_a_session_and_takes_in_what_its_folder_has_that_is_newer() {
    let (operator, dir, other) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (jwt, backup) = (operator.jwt(), other.path().join("backup"));
    let name = backup.to_str().unwrap();
    let launch = Launch::primary(&operator).dir(dir.path()).at(&free_address());
    let mut server = launch.clone().start().await;
    let replica = Server::replica(&operator, &server.url).await;
    let [kept, changed, deleted, new] = std::array::from_fn(|_| Account::new());
    for account in [&kept, &changed, &deleted] {
        server.http.post(&account.path(), operator.account(account, 100)).await.expect(200);
        replica.http.get(&account.path()).await.expect(200);
    }
    run(on(dir.path(), &jwt, &["backup", name])).await.expect(0);
    // After the backup: what a restore would lose, if there were no folder.
    for account in [&changed, &new] {
        server.http.post(&account.path(), operator.account(account, 10)).await.expect(200);
    }
    server.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 5)).await.expect(200);
    let running = run(on(dir.path(), &jwt, &["restore", name])).await.expect(1);
    assert!(running.stderr.contains("in use by process"), "{}", running.stderr);
    let nothing = run(on(dir.path(), &jwt, &["restore"])).await.expect(1);
    assert!(nothing.stderr.contains("FILE") && nothing.stderr.contains("--from"), "{}", nothing.stderr);
    // Killed, so that the latest is in the journal's log only.
    for account in [&changed, &new] {
        let (path, wanted) = (file(dir.path(), account), server.http.get(&account.path()).await.body);
        until("the file follows", || async { fs::read_to_string(&path).is_ok_and(|text| text == wanted) }).await;
    }
    server.kill();
    let mut permissions = fs::metadata(&backup).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&backup, permissions).unwrap();
    let refused = run(on(dir.path(), &jwt, &["restore", name])).await.expect(1);
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);
    for account in [&changed, &deleted, &new] {
        assert!(refused.stdout.contains(&account.key()), "{}", refused.stdout);
    }
    assert!(!refused.stdout.contains(&kept.key()), "{}", refused.stdout);
    let restored = run(on(dir.path(), &jwt, &["restore", "--replace", name])).await.expect(0);
    assert!(restored.stdout.contains("3 things") && restored.stdout.contains(&deleted.key()), "{}", restored.stdout);
    let aside = restored.stdout.split("kept as ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(PathBuf::from(aside).exists());
    let server = launch.start().await;
    for account in [&changed, &new] {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, operator_jwt(dir.path(), account));
    }
    for account in [&kept, &deleted] {
        server.http.get(&account.path()).await.expect(200);
    }
    // The replica notices: it holds what is newer, and follows the new session.
    replica.follows().await;
    let later = operator.account(&kept, 1);
    server.http.post(&kept.path(), later.clone()).await.expect(200);
    until("the replica follows", || async { replica.http.get(&kept.path()).await.body == later }).await;
    replica.http.get(&deleted.path()).await.expect(404);
    stop(server).await;
    // Once more, on what is no newer: nothing is in the way.
    let backup = other.path().join("second");
    run(on(dir.path(), &jwt, &["backup", backup.to_str().unwrap()])).await.expect(0);
    run(on(dir.path(), &jwt, &["restore", backup.to_str().unwrap()])).await.expect(0);
}

/// What the file of an account holds.
fn operator_jwt(dir: &Path, account: &Account) -> String {
    fs::read_to_string(file(dir, account)).unwrap()
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_changes_nothing() {
    let (operator, dir, other) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::named("to be damaged");
    let token = operator.account(&account, 100);
    server.http.post(&account.path(), token.clone()).await.expect(200);
    stop(server).await;
    let (jwt, backup) = (operator.jwt(), other.path().join("backup"));
    run(on(dir.path(), &jwt, &["backup", backup.to_str().unwrap()])).await.expect(0);
    let sound = fs::read(&backup).unwrap();
    let journal = dir.path().join(".nats-account-server/journal.sqlite");
    let before = fs::read(&journal).unwrap();
    let position = |text: &[u8]| sound.windows(text.len()).position(|part| part == text).unwrap();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let edited = |sql: &str| {
        let path = other.path().join("edited");
        fs::write(&path, &sound).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::read(&path).unwrap()
    };
    for (what, bytes, wanted) in [
        ("empty", Vec::new(), "is empty: the disk was full"),
        ("cut off", sound[..sound.len() / 2].to_vec(), "damaged"),
        ("something else", b"no database at all, but long enough to be looked at; ".repeat(20), "is no backup"),
        ("a changed byte of a JWT", flipped(position(token.as_bytes()) + 50), "does not match its digest"),
        ("an account left out", edited("DELETE FROM head WHERE kind = 1"), "but has 0"),
        ("a change left out", edited("DELETE FROM change WHERE serial = 1"), "change 2 does not follow"),
        ("another program's", edited("PRAGMA application_id = 7"), "of another program"),
        ("a later version's", edited("PRAGMA user_version = 99"), "newer version"),
    ] {
        let path = other.path().join("damaged");
        fs::write(&path, bytes).unwrap();
        let ran = run(on(dir.path(), &jwt, &["restore", "--replace", path.to_str().unwrap()])).await.expect(1);
        assert!(ran.stderr.contains(wanted), "{what}: {}", ran.stderr);
        assert_eq!(fs::read(&journal).unwrap(), before, "{what}");
    }
    // A journal that cannot be read is replaced only when that is wanted, and kept.
    fs::write(&journal, &before[..before.len() / 2]).unwrap();
    let args = |flags: &[&'static str]| {
        let rest = [&["restore"], flags].concat();
        on(dir.path(), &jwt, &rest)
            .into_iter()
            .map(str::to_owned)
            .chain([backup.to_str().unwrap().to_owned()])
            .collect::<Vec<_>>()
    };
    let ran = run(args(&[])).await.expect(1);
    assert!(ran.stderr.contains("--replace"), "{}", ran.stderr);
    run(args(&["--replace"])).await.expect(0);
    let server = Server::primary_in(&operator, dir.path()).await;
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, token);
}

#[tokio::test]
async fn a_backup_whose_heads_do_not_agree_with_its_changes_is_refused() {
    let (operator, dir, other) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let [one, gone] = std::array::from_fn(|_| Account::new());
    for (account, age) in [(&one, 200), (&one, 100), (&gone, 100)] {
        server.http.post(&account.path(), operator.account(account, age)).await.expect(200);
    }
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 50)).await.expect(200);
    stop(server).await;
    let (jwt, backup, edited) = (operator.jwt(), other.path().join("backup"), other.path().join("edited"));
    run(on(dir.path(), &jwt, &["backup", backup.to_str().unwrap()])).await.expect(0);
    let (heads, texts) = ("what it says of account", "does not agree with its text");
    let live = "kind = 1 AND deleted IS NULL";
    let replaced = "id = (SELECT min(id) FROM change WHERE kind = 1)";
    for (sql, wanted) in [
        (format!("UPDATE head SET row = (SELECT max(id) - 1 FROM change) WHERE {live}"), heads),
        (format!("UPDATE head SET row = 99 WHERE {live}"), heads),
        (format!("UPDATE head SET row = 0 WHERE {live}"), heads),
        (format!("UPDATE head SET digest = zeroblob(32) WHERE {live}"), heads),
        (format!("UPDATE head SET issuer = zeroblob(32) WHERE {live}"), heads),
        (format!("UPDATE head SET identity = zeroblob(32) WHERE {live}"), heads),
        (format!("UPDATE head SET iat = iat - 1000 WHERE {live}"), heads),
        (format!("UPDATE head SET exp = 7 WHERE {live}"), heads),
        (format!("UPDATE head SET removed = row WHERE {live}"), heads),
        (format!("UPDATE change SET body = NULL WHERE id = (SELECT row FROM head WHERE {live})"), heads),
        ("UPDATE head SET deleted = deleted + 1 WHERE deleted > 0".to_owned(), heads),
        ("UPDATE head SET deleted_row = row WHERE deleted > 0".to_owned(), heads),
        ("UPDATE head SET deleted_issuer = zeroblob(32) WHERE deleted > 0".to_owned(), heads),
        (
            format!(
                "UPDATE head SET (deleted, deleted_row, deleted_issuer) =
                     (SELECT deleted, deleted_row, deleted_issuer FROM head WHERE deleted > 0) WHERE {live}"
            ),
            heads,
        ),
        (format!("UPDATE change SET key = zeroblob(32) WHERE {replaced}"), texts),
        (format!("UPDATE change SET iat = iat + 1 WHERE {replaced}"), texts),
        (format!("UPDATE change SET issuer = zeroblob(32) WHERE {replaced}"), texts),
        ("UPDATE change SET iat = iat + 1 WHERE op = 100".to_owned(), texts),
        ("UPDATE change SET iat = iat + 1 WHERE kind = 2".to_owned(), texts),
    ] {
        fs::copy(&backup, &edited).unwrap();
        assert_ne!(rusqlite::Connection::open(&edited).unwrap().execute(&sql, []).unwrap(), 0, "{sql}");
        let ran = run(on(&other.path().join("place"), &jwt, &["restore", edited.to_str().unwrap()])).await.expect(1);
        assert!(ran.stderr.contains(wanted) && ran.stderr.contains("use another copy"), "{sql}: {}", ran.stderr);
    }
    run(on(&other.path().join("place"), &jwt, &["restore", backup.to_str().unwrap()])).await.expect(0);
}
