//! What others do to the files of a folder of ours.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use super::{file, holds, is_gone, refused, serves};
use crate::support::{Account, Launch, Operator, Server, now, until};

/// How many changes of accounts there were.
async fn changes(server: &Server) -> usize {
    let history = crate::support::feed::history(&server.http).await;
    history.changes.iter().filter(|change| change.kind == "account").count()
}

/// Waits until something is among the refused things, with this in its reason.
async fn is_refused(dir: &std::path::Path, account: &Account, reason: &str) {
    until(&format!("it is refused: {reason}"), || async {
        refused(dir).iter().any(|(name, text)| {
            name.starts_with(&account.key()) && name.ends_with(".reason.txt") && text.contains(reason)
        })
    })
    .await;
}

#[tokio::test]
async fn files_that_are_dropped_edited_and_replaced_are_taken_in_once() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::new();
    let path = file(dir.path(), &account);
    let versions: Vec<String> = (0..4).map(|n| operator.account(&account, 40 - n * 10)).collect();
    // Dropped.
    fs::write(&path, &versions[0]).unwrap();
    serves(&server, &account, &versions[0]).await;
    // Truncated and written again, in pieces and with a line end.
    let mut open = fs::File::create(&path).unwrap();
    let (head, tail) = versions[1].split_at(200);
    open.write_all(head.as_bytes()).unwrap();
    open.flush().unwrap();
    open.write_all(tail.as_bytes()).unwrap();
    open.write_all(b"\n").unwrap();
    drop(open);
    serves(&server, &account, &versions[1]).await;
    // Replaced by a rename.
    let made = dir.path().join("made");
    fs::write(&made, &versions[2]).unwrap();
    fs::rename(&made, &path).unwrap();
    serves(&server, &account, &versions[2]).await;
    assert_eq!(changes(&server).await, 3, "one change for each");
    assert_eq!(server.http.metric("accepted_total", "path=\"file\"").await, 3.0);
    // A push is written over what was taken in.
    server.http.post(&account.path(), versions[3].clone()).await.expect(200);
    holds(&path, &versions[3]).await;
    assert!(refused(dir.path()).is_empty(), "{:?}", refused(dir.path()));
}

#[tokio::test]
async fn what_cannot_be_served_is_moved_away_with_its_reason_and_ours_is_put_back() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::new();
    let (path, jwt) = (file(dir.path(), &account), operator.account(&account, 10));
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    holds(&path, &jwt).await;
    let expired = {
        let mut claims = account.claims(now() - 5);
        claims["exp"] = (now() - 2).into();
        operator.sign(&claims)
    };
    for (content, reason) in [
        (String::new(), "is empty"),
        (jwt[..100].to_owned(), "is refused: "),
        (Operator::new().account(&account, 1), "is not a key of the configured operator"),
        (operator.account(&Account::new(), 1), "but was sent for"),
        (operator.account(&account, 500), "stale JWT"),
        (expired, "claim is expired"),
    ] {
        fs::write(&path, &content).unwrap();
        is_refused(dir.path(), &account, reason).await;
        holds(&path, &jwt).await;
        assert!(content.is_empty() || refused(dir.path()).iter().any(|(_, text)| *text == content), "{reason}");
    }
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    is_refused(dir.path(), &account, "is not a regular file").await;
    holds(&path, &jwt).await;
    fs::remove_file(&path).unwrap();
    symlink(dir.path().join("nowhere"), &path).unwrap();
    is_refused(dir.path(), &account, "is a link to nothing").await;
    holds(&path, &jwt).await;
    assert_eq!(changes(&server).await, 1);
    assert_eq!(server.http.get(&account.path()).await.body, jwt);
}

#[tokio::test]
async fn a_file_that_is_removed_comes_back_and_so_does_nobody_who_was_deleted() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let (kept, deleted) = (Account::new(), Account::new());
    let (jwt, old) = (operator.account(&kept, 10), operator.account(&deleted, 10));
    server.http.post(&kept.path(), jwt.clone()).await.expect(200);
    server.http.post(&deleted.path(), old.clone()).await.expect(200);
    holds(&file(dir.path(), &kept), &jwt).await;
    holds(&file(dir.path(), &deleted), &old).await;
    fs::remove_file(file(dir.path(), &kept)).unwrap();
    holds(&file(dir.path(), &kept), &jwt).await;
    server.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 5)).await.expect(200);
    until("its file is gone", || async { !file(dir.path(), &deleted).exists() }).await;
    fs::write(file(dir.path(), &deleted), &old).unwrap();
    is_refused(dir.path(), &deleted, "the account was deleted").await;
    assert!(!file(dir.path(), &deleted).exists());
    is_gone(&server, &deleted).await;
    // A JWT that was signed later brings it back, also as a file.
    let new = operator.account(&deleted, 1);
    let grave = dir.path().join(format!("{}.jwt.deleted", deleted.key()));
    assert!(grave.exists());
    fs::write(file(dir.path(), &deleted), &new).unwrap();
    serves(&server, &deleted, &new).await;
    until("nothing says any more that it is deleted", || async { !grave.exists() }).await;
    // The same if it is pushed.
    server.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
    until("its file is gone again", || async { grave.exists() }).await;
    let newest = operator.account(&deleted, -2);
    server.http.post(&deleted.path(), newest.clone()).await.expect(200);
    holds(&file(dir.path(), &deleted), &newest).await;
    until("nothing says any more that it is deleted", || async { !grave.exists() }).await;
}

#[tokio::test]
async fn what_happens_to_files_is_told_once_with_what_to_do() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("there-before.jwt"), "x").unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    let [removed, other, named] = std::array::from_fn(|_| Account::new());
    let jwt = operator.account(&removed, 10);
    server.http.post(&removed.path(), jwt.clone()).await.expect(200);
    let path = file(dir.path(), &removed);
    holds(&path, &jwt).await;
    // Written, and known to be: what is missing from then on was removed.
    until("the folder is behind by nothing", || async { server.http.metric("folder_pending", "").await == 0.0 }).await;
    fs::remove_file(&path).unwrap();
    holds(&path, &jwt).await;
    server.logs(&format!("the file of {} was removed and is restored: {}", removed.called(), path.display())).await;
    server.logs(&format!("delete-request --seed-file operator.nk {} > request.jwt", removed.key())).await;
    // Files that are ignored, and what they hold.
    server.logs("there-before.jwt is ignored because of its name").await;
    let of_other = operator.account(&other, 10);
    for (name, text) in [("foo.jwt".to_owned(), &*of_other), (format!("{}.jwt.bak", removed.key()), "x")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let lower = dir.path().join(format!("{}.jwt", removed.key().to_lowercase()));
    fs::write(&lower, &jwt).unwrap();
    let renaming = |account: &Account| format!("rename it to {}.jwt", account.key());
    server.logs(&format!("foo.jwt is ignored because of its name, but holds the JWT of {}", other.called())).await;
    server.logs(&renaming(&other)).await;
    server.logs(".jwt.bak is ignored because of its name").await;
    server.logs(&format!("{} is ignored because of its name", lower.display())).await;
    // Another account's JWT under the name of one.
    fs::write(file(dir.path(), &named), operator.account(&other, 5)).unwrap();
    server.logs(&format!("the JWT is about {}, but was sent for {}", other.called(), named.key())).await;
    fs::write(dir.path().join("foo.jwt"), &of_other).unwrap();
    // What comes later is told later.
    let last = Account::new();
    let jwt = operator.account(&last, 10);
    fs::write(file(dir.path(), &last), &jwt).unwrap();
    serves(&server, &last, &jwt).await;
    let log = server.log();
    for text in ["was removed and is restored", "foo.jwt is ignored", "there-before.jwt is ignored", "but was sent for"]
    {
        assert_eq!(log.matches(text).count(), 1, "{text}: {log}");
    }
    server.logs(&format!("updated JWT for account - {}", last.called())).await;
    server.logs(&format!("account={}", last.key())).await;
}

#[tokio::test]
async fn a_folder_full_of_other_names_is_one_line() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    for n in 0..1_000 {
        fs::write(dir.path().join(format!("backup-{n}.jwt")), "x").unwrap();
    }
    let server = Server::primary_in(&operator, dir.path()).await;
    server.logs("1000 files are ignored because of their names, such as ").await;
    let server = server.stop_and_start().await;
    server.logs("1000 files are ignored because of their names, such as ").await;
    assert_eq!(server.log().matches("ignored because of").count(), 1, "{}", server.log());
}

#[tokio::test]
async fn what_happened_while_the_server_was_stopped_is_found() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut server = Server::primary_in(&operator, dir.path()).await;
    let [edited, replaced, removed, spoilt, new] = std::array::from_fn(|_| Account::new());
    for account in [&edited, &replaced, &removed, &spoilt] {
        let jwt = operator.account(account, 100);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        holds(&file(dir.path(), account), &jwt).await;
    }
    let before = server.http.get(&spoilt.path()).await.body;
    let gone = server.http.get(&removed.path()).await.body;
    server.signal("TERM");
    assert!(server.exit().await.success());
    let newer = |account: &Account| operator.account(account, 50);
    let [of_edited, of_replaced, of_new] = [newer(&edited), newer(&replaced), newer(&new)];
    fs::write(file(dir.path(), &edited), &of_edited).unwrap();
    // Moved into its place with an old time of modification, as tools do that keep times.
    let made = dir.path().join("made");
    fs::write(&made, &of_replaced).unwrap();
    assert!(Command::new("touch").args(["-d", "2001-01-01"]).arg(&made).status().unwrap().success());
    fs::rename(&made, file(dir.path(), &replaced)).unwrap();
    fs::remove_file(file(dir.path(), &removed)).unwrap();
    fs::write(file(dir.path(), &spoilt), "spoilt").unwrap();
    fs::write(file(dir.path(), &new), &of_new).unwrap();
    let server = server.restart().await;
    serves(&server, &edited, &of_edited).await;
    serves(&server, &replaced, &of_replaced).await;
    serves(&server, &new, &of_new).await;
    holds(&file(dir.path(), &removed), &gone).await;
    is_refused(dir.path(), &spoilt, "is refused").await;
    holds(&file(dir.path(), &spoilt), &before).await;
    assert_eq!(changes(&server).await, 7, "four pushes and three edits");
}

#[tokio::test]
async fn a_file_that_is_overwritten_with_its_size_and_time_kept_is_noticed() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let account = Account::new();
    let (pushed, newer) = (operator.account(&account, 500), operator.account(&account, 400));
    assert_eq!(pushed.len(), newer.len());
    let path = file(dir.path(), &account);
    server.http.post(&account.path(), pushed.clone()).await.expect(200);
    holds(&path, &pushed).await;
    let time = path.metadata().unwrap().modified().unwrap();
    // The same file, which is what a stamp of inode, size and time would know it by.
    let opened = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut &opened, newer.as_bytes()).unwrap();
    opened.set_modified(time).unwrap();
    drop(opened);
    serves(&server, &account, &newer).await;
}

#[tokio::test]
async fn junk_without_an_account_is_left_and_reported_once() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__LOOK_INTERVAL", "100ms").start().await;
    let account = Account::new();
    let path = file(dir.path(), &account);
    fs::write(&path, "junk").unwrap();
    server.logs(&format!("{} is refused", path.display())).await;
    // Each of these takes a second of rest, and so several looks.
    let other = Account::new();
    for age in [30, 20, 10] {
        let jwt = operator.account(&other, age);
        fs::write(file(dir.path(), &other), &jwt).unwrap();
        serves(&server, &other, &jwt).await;
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "junk");
    let lines = server.log().lines().filter(|line| line.contains(&account.key())).count();
    assert!(lines <= 3, "{lines} lines:\n{}", server.log());
    is_gone(&server, &account).await;
}

#[tokio::test]
async fn a_folder_of_shards_is_watched_also_when_it_grows() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__SHARD", "true").start().await;
    let account = Account::new();
    let shard = dir.path().join(&account.key()[54..]);
    fs::create_dir(&shard).unwrap();
    let path = shard.join(format!("{}.jwt", account.key()));
    let versions: Vec<String> = (0..2).map(|n| operator.account(&account, 40 - n * 10)).collect();
    for version in &versions {
        fs::write(&path, version).unwrap();
        serves(&server, &account, version).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_moved_here_is_read_however_old_its_files_are() {
    let (operator, dir, outside) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let account = Account::new();
    let name = account.key()[54..].to_owned();
    let jwt = operator.account(&account, 10);
    fs::create_dir(outside.path().join(&name)).unwrap();
    let old = outside.path().join(&name).join(format!("{}.jwt", account.key()));
    fs::write(&old, &jwt).unwrap();
    let server = Launch::primary(&operator)
        .dir(dir.path())
        .env("NAS_STORE__SHARD", "true")
        .env("NAS_STORE__LOOK_INTERVAL", "100ms")
        .start()
        .await;
    // So that no look that goes by the time of a change finds them.
    until("the file is old", || async {
        fs::metadata(&old).unwrap().modified().unwrap().elapsed().is_ok_and(|age| age > Duration::from_secs(4))
    })
    .await;
    fs::rename(outside.path().join(&name), dir.path().join(&name)).unwrap();
    serves(&server, &account, &jwt).await;
}

#[tokio::test]
async fn a_file_counts_at_once_however_the_folder_is_written() {
    let operator = Operator::new();
    for path in ["d", "./d/", "d/../d", "link"] {
        let work = tempfile::tempdir().unwrap();
        let dir = work.path().join("d");
        fs::create_dir(&dir).unwrap();
        symlink("d", work.path().join("link")).unwrap();
        let server = Launch::primary(&operator).current_dir(work.path()).flag("-dir", path).start().await;
        let account = Account::new();
        let (place, jwt) = (file(&dir, &account), operator.account(&account, 10));
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        holds(&place, &jwt).await;
        // A removed file is restored, and a broken one is moved away, long before the folder is looked through.
        fs::remove_file(&place).unwrap();
        holds(&place, &jwt).await;
        fs::write(&place, "broken").unwrap();
        is_refused(&dir, &account, "is refused").await;
        holds(&place, &jwt).await;
    }
}
