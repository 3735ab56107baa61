//! What is on disk survives: kills, a full disk, other people's files, and a second process.
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::support::feed::history;
use crate::support::{Account, Http, Launch, Operator, Server, SmallDisk, now};
use data_encoding::HEXLOWER;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

/// Where a folder's journal is.
fn journal(dir: &Path) -> PathBuf {
    dir.join(".nats-account-server/journal.sqlite")
}

/// What one poster sent for one account, oldest first, and how many of these were acknowledged.
#[derive(Default)]
struct Sent {
    tokens: Vec<String>,
    acknowledged: usize,
}

/// Pushes version after version until the server is gone.
async fn pushes(http: Http, operator: Arc<Operator>, account: Arc<Account>, first: i64, sent: Arc<Mutex<Sent>>) {
    for version in first.. {
        let jwt = operator.sign(&account.with_connections(now() - 50_000 + version, version));
        sent.lock().tokens.push(jwt.clone());
        match http.try_post(&account.path(), jwt).await {
            Ok(reply) => {
                assert_eq!(reply.status, 200, "{}", reply.body);
                let mut sent = sent.lock();
                sent.acknowledged = sent.tokens.len();
            }
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_every_kill() {
    let (operator, dir) = (Arc::new(Operator::new()), tempfile::tempdir().unwrap());
    let posters: Vec<(Arc<Account>, Arc<Mutex<Sent>>)> =
        (0..24).map(|_| (Arc::new(Account::new()), Arc::default())).collect();
    let mut server = Server::primary_in(&operator, dir.path()).await;
    for round in 0..6 {
        let tasks: Vec<_> = posters
            .iter()
            .map(|(account, sent)| {
                tokio::spawn(pushes(
                    server.http.clone(),
                    operator.clone(),
                    account.clone(),
                    round * 1_000,
                    sent.clone(),
                ))
            })
            .collect();
        // A random moment, so that each run tries others.
        tokio::time::sleep(Duration::from_millis(rand::random_range(50..600))).await;
        server.kill();
        for task in tasks {
            task.await.unwrap();
        }
        server = server.restart().await;
        let history = history(&server.http).await;
        let committed: HashSet<String> = history
            .changes
            .iter()
            .map(|change| change.digest.clone().unwrap_or_else(|| digest(change.jwt.as_ref().unwrap())))
            .collect();
        let mut acknowledged = 0;
        for (account, sent) in &posters {
            let (tokens, known) = {
                let sent = sent.lock();
                (sent.tokens.clone(), sent.acknowledged)
            };
            acknowledged += known;
            for token in &tokens[..known] {
                // Not acknowledged before an earlier kill may be missing; those are cut off below.
                assert!(committed.contains(&digest(token)), "an acknowledged change is lost in round {round}");
            }
            let held = server.http.get(&account.path()).await;
            match tokens.iter().position(|token| *token == held.body) {
                Some(at) => assert!(at + 1 >= known, "an older JWT is served in round {round}"),
                None => assert!(known == 0 && held.status == 404, "{}", held.body),
            }
            // What was sent and not acknowledged is forgotten, or stands as if it had been.
            let mut sent = sent.lock();
            sent.tokens.retain(|token| committed.contains(&digest(token)));
            sent.acknowledged = sent.tokens.len();
        }
        assert!(acknowledged > 0, "round {round} acknowledged nothing");
    }
}

fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token))
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_refused_and_the_first_goes_on() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let (code, text) = Launch::primary(&operator).dir(dir.path()).flag("-hp", "127.0.0.1:0").fail().await;
    assert_eq!(code, Some(1));
    for part in [dir.path().to_str().unwrap(), "is in use by process", "stop that process"] {
        assert!(text.contains(part), "{text}");
    }
    // Nor does one that keeps its journal elsewhere write there.
    let elsewhere = tempfile::tempdir().unwrap();
    let launch = Launch::primary(&operator).dir(dir.path()).flag("-hp", "127.0.0.1:0");
    let (code, text) = launch.env("NAS_STORE__STATE_DIR", elsewhere.path().to_str().unwrap()).fail().await;
    assert!(code == Some(1) && text.contains("is in use by process"), "{text}");
    let account = Account::new();
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
}

/// Files that are named like an account's JWT and hold none.
fn strange_files(operator: &Operator, dir: &Path) -> Vec<(&'static str, Account)> {
    let file = |account: &Account| dir.join(format!("{}.jwt", account.key()));
    let written = |what, bytes: &dyn Fn(&Account) -> String| {
        let account = Account::new();
        fs::write(file(&account), bytes(&account)).unwrap();
        (what, account)
    };
    let (pipe, folder, dangling) = (Account::new(), Account::new(), Account::new());
    assert!(Command::new("mkfifo").arg(file(&pipe)).status().unwrap().success());
    fs::create_dir(file(&folder)).unwrap();
    std::os::unix::fs::symlink(dir.join("nowhere"), file(&dangling)).unwrap();
    vec![
        written("torn", &|account| operator.account(account, 10)[..300].to_owned()),
        written("foreign", &|account| Operator::new().account(account, 10)),
        written("self-signed", &|account| account.sign(&account.claims(now()))),
        written("empty", &|_| String::new()),
        written("another account's", &|_| operator.account(&Account::new(), 10)),
        written("no text", &|_| "\u{0}\u{fffd}".repeat(100)),
        written("huge", &|_| "x".repeat(3 << 20)),
        ("a pipe", pipe),
        ("a folder", folder),
        ("a link to nothing", dangling),
    ]
}

#[tokio::test]
async fn a_folder_of_jwts_is_taken_in_and_what_is_strange_is_named_and_left_alone() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let good: Vec<(Account, String)> = (0..20)
        .map(|number| {
            let account = Account::new();
            let jwt = operator.account(&account, 10);
            // Flat, in a sub-folder as a sharded store has them, and with a line end as editors leave it.
            let folder = if number % 2 == 0 { dir.path().to_owned() } else { dir.path().join(&account.key()[54..]) };
            fs::create_dir_all(&folder).unwrap();
            let end = if number % 3 == 0 { "\n" } else { "" };
            fs::write(folder.join(format!("{}.jwt", account.key())), format!("{jwt}{end}")).unwrap();
            (account, jwt)
        })
        .collect();
    let strange = strange_files(&operator, dir.path());
    fs::write(dir.path().join("operator.jwt"), operator.jwt()).unwrap();
    fs::write(dir.path().join(format!("{}.jwt.deleted", Account::new().key())), "x").unwrap();
    let before = listing(dir.path());
    let server = Server::primary_in(&operator, dir.path()).await;
    let log = server.log();
    for (account, jwt) in &good {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
        assert!(!log.contains(&format!("{}.jwt ", account.key())), "{log}");
    }
    for (what, account) in &strange {
        server.http.get(&account.path()).await.expect(404);
        assert!(log.contains(&format!("{}.jwt ", account.key())), "{what} is not reported:\n{log}");
    }
    assert_eq!(server.http.metric("accounts", "").await, 20.0);
    let mut after = listing(dir.path());
    after.retain(|path, _| !path.starts_with(dir.path().join(".nats-account-server")));
    assert_eq!(after, before);
    // The second start finds the same and changes nothing.
    let serial = server.http.metric("serial", "").await;
    let server = server.restart().await;
    assert_eq!(server.http.metric("serial", "").await, serial);
    assert_eq!(server.http.metric("accounts", "").await, 20.0);
}

/// Every path under a folder, with what a plain file holds.
fn listing(dir: &Path) -> HashMap<PathBuf, Option<Vec<u8>>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(listing(&path));
        }
        let content = kind.is_file().then(|| fs::read(&path).unwrap());
        found.insert(path, content);
    }
    found
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_is_overcome_by_making_room() {
    let Some(disk) = SmallDisk::or_skip("2m") else { return };
    let (operator, dir) = (Operator::new(), disk.path());
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 700_000]).unwrap();
    let server = Server::primary_in(&operator, dir).await;
    let mut acknowledged = Vec::new();
    let full = loop {
        let account = Account::new();
        let jwt = operator.sign(&account.with_bulk(now() - 100, 20_000));
        let reply = server.http.post(&account.path(), jwt.clone()).await;
        if reply.status != 200 {
            break reply.expect(507);
        }
        acknowledged.push((account, jwt));
        assert!(acknowledged.len() < 200, "the disk does not fill");
    };
    assert!(full.body.starts_with("error saving JWT\n") && full.body.contains("full"), "{}", full.body);
    assert!(!acknowledged.is_empty());
    all_served(&server, &acknowledged).await;
    server.http.get("/livez").await.expect(200);
    assert!(server.http.metric("commit_failures_total", "").await >= 1.0);
    fs::remove_file(&ballast).unwrap();
    let account = Account::new();
    let jwt = operator.sign(&account.with_bulk(now() - 100, 20_000));
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    acknowledged.push((account, jwt));
    let server = server.restart().await;
    all_served(&server, &acknowledged).await;
    assert_eq!(history(&server.http).await.changes.len(), 1 + acknowledged.len(), "the operator's JWT, and these");
}

async fn all_served(server: &Server, held: &[(Account, String)]) {
    for (account, jwt) in held {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_everything_in_the_one_file_of_the_journal() {
    let (operator, dir, copy) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = Server::primary_in(&operator, dir.path()).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let account = Account::new();
        let jwt = operator.account(&account, 10);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        server.http.get(&account.path()).await.expect(200);
        held.push((account, jwt));
    }
    server.signal("TERM");
    assert_eq!(server.exit().await.code(), Some(0));
    fs::create_dir(journal(copy.path()).parent().unwrap()).unwrap();
    fs::copy(journal(dir.path()), journal(copy.path())).unwrap();
    all_served(&Server::primary_in(&operator, copy.path()).await, &held).await;
}

/// What was done to a journal, how, and a part of the text that says what to do.
type Spoilt<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

#[tokio::test]
async fn a_journal_that_cannot_be_used_is_named_with_what_to_do() {
    let operator = Operator::new();
    let cases: [Spoilt<'_>; 5] = [
        (
            "garbage",
            &|file| fs::write(file, "no database at all, but long enough to be looked at".repeat(100)).unwrap(),
            "restore it from a backup",
        ),
        ("newer", &|file| sql(file, "PRAGMA user_version = 99"), "newer version"),
        ("foreign", &|file| sql(file, "PRAGMA application_id = 1"), "another program; move it away"),
        ("edited", &|file| sql(file, "UPDATE change SET chain = zeroblob(32)"), "restore it from a backup"),
        ("a folder", &|file| fs::remove_file(file).and_then(|()| fs::create_dir(file)).unwrap(), "journal.sqlite"),
    ];
    for (what, spoil, remedy) in cases {
        let (dir, account) = (tempfile::tempdir().unwrap(), Account::new());
        let mut server = Server::primary_in(&operator, dir.path()).await;
        server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
        server.signal("TERM");
        assert_eq!(server.exit().await.code(), Some(0));
        let file = journal(dir.path());
        spoil(&file);
        let spoilt = fs::read(&file).ok();
        let (code, text) = Launch::primary(&operator).dir(dir.path()).flag("-hp", "127.0.0.1:0").fail().await;
        assert_eq!(code, Some(1), "{what}: {text}");
        assert!(text.contains(file.to_str().unwrap()) && text.contains(remedy), "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
        assert_eq!(fs::read(&file).ok(), spoilt, "{what} is left as it was");
    }
}

fn sql(file: &Path, statement: &str) {
    Connection::open(file).unwrap().execute_batch(statement).unwrap();
}
