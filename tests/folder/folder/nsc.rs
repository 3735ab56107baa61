//! An operator's folder of nsc.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkeys::KeyPair;

use super::{is_gone, serves};
use crate::support::{Account, Launch, Operator, Server, now, until_in};

/// Well below the 60 s after which a folder is looked through, whatever was reported.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Writes an account as nsc does: under the name that a person gave it.
pub(crate) fn place(root: &Path, name: &str) -> PathBuf {
    let folder = root.join("accounts").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.jwt"))
}

#[tokio::test]
async fn accounts_are_found_by_what_is_in_their_files() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let [first, second, removed] = std::array::from_fn(|_| Account::new());
    let launch = || Launch::default().flag("-operator", operator.jwt()).flag("-nsc", dir.path());
    let (code, text) = launch().flag("-hp", "127.0.0.1:0").fail().await;
    assert_eq!(code, Some(1));
    assert!(text.contains(".nsc"), "{text}");
    fs::write(dir.path().join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
    let jwt = operator.account(&first, 100);
    fs::write(place(dir.path(), "first"), &jwt).unwrap();
    fs::write(place(dir.path(), "removed"), operator.account(&removed, 100)).unwrap();
    fs::write(place(dir.path(), "torn"), "torn").unwrap();
    let server = launch().start().await;
    serves(&server, &first, &jwt).await;
    server.http.get(&removed.path()).await.expect(200);
    // A new account: its folder first, then its file, as nsc makes them.
    let path = place(dir.path(), "a new one");
    let jwt = operator.account(&second, 100);
    fs::write(&path, &jwt[..50]).unwrap();
    fs::write(&path, &jwt).unwrap();
    serves(&server, &second, &jwt).await;
    let newer = operator.account(&first, 50);
    fs::write(place(dir.path(), "first"), &newer).unwrap();
    serves(&server, &first, &newer).await;
    fs::remove_dir_all(dir.path().join("accounts/removed")).unwrap();
    is_gone(&server, &removed).await;
    server.http.post(&first.path(), operator.account(&first, 1)).await.expect(405);
    assert_eq!(server.http.metric("accounts", "").await, 2.0);
}

/// A folder of nsc with an operator, who is called as the folder is not.
fn folder(operator: &Operator) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
    let file = dir.path().join("O.jwt");
    fs::write(&file, operator.jwt()).unwrap();
    (dir, file)
}

#[tokio::test]
async fn the_operator_of_the_folder_counts_where_none_is_configured() {
    let (operator, own, foreign) = (Operator::new(), Account::new(), Account::new());
    let (dir, file) = folder(&operator);
    let jwt = operator.account(&own, 100);
    fs::write(place(dir.path(), "own"), &jwt).unwrap();
    let theirs = Operator::new();
    let their_jwt = theirs.account(&foreign, 100);
    fs::write(place(dir.path(), "foreign"), &their_jwt).unwrap();
    let launch = || Launch::default().flag("-nsc", dir.path());
    let server = launch().start().await;
    serves(&server, &own, &jwt).await;
    server.http.get(&foreign.path()).await.expect(404);
    assert_eq!(server.http.get("/jwt/v1/operator").await.expect(200).body, operator.jwt());
    let log = server.log();
    assert!(log.contains(&format!("loading operator from {}", file.display())), "{log}");
    assert!(!log.contains("No Operator is configured"), "{log}");
    drop(server);
    // The configured one comes before it.
    let server = launch().flag("-operator", theirs.jwt()).start().await;
    serves(&server, &foreign, &their_jwt).await;
    server.http.get(&own.path()).await.expect(404);
    drop(server);
    fs::remove_file(file).unwrap();
    let server = launch().start().await;
    server.logs("No Operator is configured").await;
    serves(&server, &own, &jwt).await;
}

#[tokio::test]
async fn an_operator_that_nsc_edits_counts_at_once_if_it_came_from_there() {
    let (operator, account) = (Operator::new(), Account::new());
    let (dir, file) = folder(&operator);
    fs::write(place(dir.path(), "a"), operator.account(&account, 100)).unwrap();
    let server = Launch::default().flag("-nsc", dir.path()).start().await;
    let (elsewhere, copy) = (tempfile::tempdir().unwrap(), operator.jwt());
    let copied = elsewhere.path().join("operator.jwt");
    fs::write(&copied, &copy).unwrap();
    let other = Launch::default().flag("-nsc", dir.path()).flag("-operator", &copied).start().await;
    // A new signing key, and an account that it signs, as quickly as a script does it.
    let key = KeyPair::new_operator();
    let newer = operator.jwt_with_signing_key(&key);
    let jwt = nats_account_server::testkit::sign(&account.claims(now() - 10), &key);
    fs::write(&file, &newer).unwrap();
    fs::write(place(dir.path(), "a"), &jwt).unwrap();
    serves(&server, &account, &jwt).await;
    assert_eq!(server.http.get("/jwt/v1/operator").await.expect(200).body, newer);
    server.logs(&format!("signing key {} is new", key.public_key())).await;
    other.logs("is not a key of the configured operator").await;
    assert_eq!(other.http.get("/jwt/v1/operator").await.expect(200).body, copy);
    for server in [&server, &other] {
        assert!(!server.log().contains("O.jwt is refused"), "{}", server.log());
    }
}

/// How the folder `d/O` below the working directory is written.
const SPELLINGS: [(&str, &str); 6] = [
    ("relative", "d/O"),
    ("with a dot", "./d/O"),
    ("with a slash", "d/O/"),
    ("there and back", "d/../d/O"),
    ("through a link", "link"),
    ("through two links", "above/O/"),
];

#[tokio::test]
async fn an_edit_counts_at_once_however_the_folder_is_written() {
    let (operator, account) = (Operator::new(), Account::new());
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("d/O");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
    fs::write(root.join("O.jwt"), operator.jwt()).unwrap();
    fs::write(place(&root, "a"), operator.account(&account, 100)).unwrap();
    symlink("d/O", work.path().join("link")).unwrap();
    symlink("d", work.path().join("above")).unwrap();
    let mut servers = Vec::new();
    for (what, path) in SPELLINGS {
        servers.push((what, Launch::default().current_dir(work.path()).flag("-nsc", path).start().await));
    }
    let same = Launch::default().flag("-operator", "./d/O/O.jwt").flag("-nsc", "link");
    servers.push(("its operator's file by another path", same.current_dir(work.path()).start().await));
    let (newer, jwt) = with_another_key(&operator, &account, 20);
    fs::write(root.join("O.jwt"), &newer).unwrap();
    fs::write(place(&root, "a"), &jwt).unwrap();
    count_at_once(&servers, &account, &newer, &jwt).await;
}

#[tokio::test]
async fn another_folder_in_its_place_counts_at_once() {
    let (operator, account) = (Operator::new(), Account::new());
    let work = tempfile::tempdir().unwrap();
    let make = |name: &str, operator_jwt: &str, jwt: &str| {
        let root = work.path().join(name);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
        fs::write(root.join("O.jwt"), operator_jwt).unwrap();
        fs::write(place(&root, "a"), jwt).unwrap();
    };
    make("v1", &operator.jwt(), &operator.account(&account, 100));
    symlink("v1", work.path().join("link")).unwrap();
    make("plain", &operator.jwt(), &operator.account(&account, 100));
    let launch = |path: &str| Launch::default().current_dir(work.path()).flag("-nsc", path).start();
    let servers = [("a link", launch("link").await), ("a folder", launch("plain").await)];
    let (newer, jwt) = with_another_key(&operator, &account, 20);
    make("v2", &newer, &jwt);
    make("v3", &newer, &jwt);
    symlink("v2", work.path().join("next")).unwrap();
    fs::rename(work.path().join("next"), work.path().join("link")).unwrap();
    fs::rename(work.path().join("plain"), work.path().join("old")).unwrap();
    fs::rename(work.path().join("v3"), work.path().join("plain")).unwrap();
    count_at_once(&servers, &account, &newer, &jwt).await;
    // What is in the new place is watched, too.
    let (newest, jwt) = with_another_key(&operator, &account, 10);
    for root in ["v2", "plain"] {
        fs::write(work.path().join(root).join("O.jwt"), &newest).unwrap();
        fs::write(place(&work.path().join(root), "a"), &jwt).unwrap();
    }
    count_at_once(&servers, &account, &newest, &jwt).await;
}

/// An operator JWT with one more signing key, and an account that this key signed so many seconds ago.
fn with_another_key(operator: &Operator, account: &Account, ago: i64) -> (String, String) {
    let key = KeyPair::new_operator();
    let jwt = nats_account_server::testkit::sign(&account.claims(now() - ago), &key);
    (operator.jwt_with_signing_key(&key), jwt)
}

/// Waits, less long than it takes until a folder is looked through, until what was written counts.
async fn count_at_once(servers: &[(&str, Server)], account: &Account, operator: &str, jwt: &str) {
    for (what, server) in servers {
        until_in(AT_ONCE, what, || async {
            server.http.get("/jwt/v1/operator").await.body == operator
                && server.http.get(&account.path()).await.body == jwt
        })
        .await;
        assert!(!server.log().contains("is refused"), "{what}: {}", server.log());
    }
}

#[tokio::test]
async fn another_level_of_the_store_names_the_right_one() {
    let store = tempfile::tempdir().unwrap();
    let base = store.path().canonicalize().unwrap();
    for name in ["one", "two"] {
        let root = base.join("stores").join(name);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join(".nsc"), "{}").unwrap();
        fs::write(place(&root, "A"), "x").unwrap();
    }
    let (one, two) = (base.join("stores/one"), base.join("stores/two"));
    let both = format!("which holds .nsc: {} or {}", one.display(), two.display());
    for (path, named) in [
        (base.clone(), &both),
        (base.join("stores"), &both),
        (one.join("accounts"), &format!("which holds .nsc: {}", one.display())),
        (two.join("accounts/A"), &format!("which holds .nsc: {}", two.display())),
    ] {
        let (code, text) = Launch::default().flag("-nsc", &path).flag("-hp", "127.0.0.1:0").fail().await;
        assert_eq!(code, Some(1));
        assert!(text.lines().any(|line| line.ends_with(named)), "{}: {text}", path.display());
    }
}
