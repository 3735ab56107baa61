//! Which accounts `list` prints, and how.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{cmd, end, lines, sorted, stable, write};
use crate::support::command::run_with;
use crate::support::{Account, Launch, Operator, Server, free_address, now, until};

/// Pushes an account that expires in so many days.
async fn push(server: &Server, operator: &Operator, name: &str, days: Option<i64>) -> Account {
    let account = Account::named(name);
    let mut claims = account.claims(now() - 7200);
    if let Some(days) = days {
        claims["exp"] = (now() + days * 86_400 + 3600).into();
    }
    server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    account
}

#[tokio::test]
async fn a_person_reads_the_accounts_in_columns() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let app = push(&server, &operator, "app", None).await;
    let orders = push(&server, &operator, "Orders of the shop", Some(40)).await;
    let gone = push(&server, &operator, "gone", None).await;
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    let steering = push(&server, &operator, "a\x1b[31m\u{9b}b\nc\u{202e}", None).await;
    let keys = [&app, &orders, &gone, &steering].map(Account::key);
    let issuer = operator.key();
    let mut replaced: Vec<_> = keys.iter().cloned().map(|key| (key, "KEY")).collect();
    replaced.push((format!("{}…{}", &issuer[..4], &issuer[52..]), "ISSUER"));
    // Without a terminal there are no colours, whatever NO_COLOR says.
    let args = ["list", "--url", &server.url, "--state", "live,deleted"];
    let ran = run_with(&[("TZ", "Asia/Tokyo")], args).await.expect(0);
    let shown = stable(&ran.stdout, &replaced);
    let (head, rows) = shown.split_once('\n').unwrap();
    let mut rows: Vec<_> = rows.lines().collect();
    rows.sort_unstable();
    let line = |name: &str, key: &str, state: &str, expires: &str, rest: &str| {
        format!("{name:<29}  {key}  {state:<7}  {expires:<10}  {rest}")
    };
    let key = format!("{:<56}", "KEY");
    assert_eq!(head, line("NAME", &key, "STATE", "EXPIRES", "ISSUER     CHANGED (Asia/Tokyo)"));
    let expected = [
        ("Orders of the shop", "live", "in 40 days"),
        (r"a\u{1b}[31m\u{9b}b\nc\u{202e}", "live", "never"),
        ("app", "live", "never"),
        ("gone", "deleted", "never"),
    ];
    assert_eq!(rows, expected.map(|(name, state, expires)| line(name, "KEY", state, expires, "ISSUER  MINUTE post")));
    assert_eq!(ran.stderr, "");
    let ran = cmd(&["list", "--url", &server.url, "--json"]).await.expect(0);
    assert!(!ran.stdout.chars().any(|symbol| symbol != '\n' && symbol.is_control()), "{}", ran.stdout);
    assert!(sorted(&lines(&ran), "name").contains(&"a\x1b[31m\u{9b}b\nc\u{202e}".to_owned()));
}

#[tokio::test]
async fn each_filter_leaves_what_it_says() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator).dir(dir.path()).start().await;
    let orders = push(&server, &operator, "Orders", None).await;
    push(&server, &operator, "orders-test", Some(1)).await;
    push(&server, &operator, "billing & co", Some(40)).await;
    let gone = push(&server, &operator, "gone", None).await;
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    let url = server.url.clone();
    let (key, folder) = (orders.key(), dir.path().to_str().unwrap());
    for offline in [false, true] {
        let place = if offline { ["-dir", folder] } else { ["--url", &*url] };
        // The journal of a server that runs can be read as well.
        let place: Vec<&str> = place.into_iter().chain(offline.then_some("--offline")).collect();
        for (args, names) in [
            (&[][..], &["Orders", "billing & co", "orders-test"][..]),
            (&["--name", "ORDERS*"], &["Orders", "orders-test"]),
            (&["--name", "order?"], &["Orders"]),
            (&["--name", "*& co"], &["billing & co"]),
            (&["--name", &key], &["Orders"]),
            (&["--expiring", "30d"], &["orders-test"]),
            (&["--expiring", "2099-01-01T00:00:00Z"], &["billing & co", "orders-test"]),
            (&["--state", "deleted"], &["gone"]),
            (&["--state", "live,deleted", "--name", "?o*"], &["gone"]),
            (&["--changed-since", "1h"], &["Orders", "billing & co", "orders-test"]),
            (&["--changed-since", "2099-01-01T00:00:00Z"], &[]),
            (&["--name", "nobody"], &[]),
        ] {
            let ran = cmd(&[&["list", "--json"], &place[..], args].concat()).await;
            assert_eq!(sorted(&lines(&ran), "name"), names, "{args:?}: {}", ran.stderr);
            let is_empty = names.is_empty();
            assert_eq!((ran.status, ran.stderr.contains("no account matches at ")), (i32::from(is_empty), is_empty));
        }
    }
    let ran = cmd(&["list", "--json", "--limit", "2", "--url", &url]).await.expect(0);
    assert_eq!(lines(&ran).len(), 2);
}

#[tokio::test]
async fn a_mirror_and_its_folder_answer_like_the_primary() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let gone = push(&primary, &operator, "gone", None).await;
    for name in ["a", "b"] {
        push(&primary, &operator, name, Some(3)).await;
    }
    let mirror = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror").dir(dir.path());
    let mirror = mirror.start().await;
    until("the mirror is in sync", || async { mirror.http.get("/api/v1/status").await.json()["in_sync"] == true })
        .await;
    // Of an account that was deleted before it came, a mirror knows less.
    primary.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    let path = format!("/api/v1/accounts/{}", gone.key());
    until("the mirror knows", || async { mirror.http.get(&path).await.json()["state"] == "deleted" }).await;
    let states = ["--state", "live,deleted"];
    let expected = listed(&[&states[..], &["--url", &primary.url]].concat()).await;
    // When and how a change came is the mirror's own.
    let facts = |list: Vec<Value>| {
        let fact = |account: &Value| {
            ["key", "name", "state", "issuer", "iat", "exp", "serial"].map(|name| account[name].clone())
        };
        list.iter().map(fact).collect::<Vec<_>>()
    };
    let online = listed(&[&states[..], &["--url", &mirror.url]].concat()).await;
    assert_eq!(facts(online.clone()), facts(expected));
    end(mirror).await;
    let folder = dir.path().to_str().unwrap();
    let offline = listed(&[&states[..], &["-dir", folder, "-primary", &primary.url]].concat()).await;
    assert_eq!(offline, online);
}

/// The accounts that `list` prints, each with all that it says.
async fn listed(args: &[&str]) -> Vec<Value> {
    let ran = cmd(&[&["list", "--json"], args].concat()).await.expect(0);
    assert_eq!(ran.stderr, "");
    lines(&ran)
}

#[tokio::test]
async fn thousands_are_listed_once_from_files_from_a_server_and_from_its_journal() {
    const ACCOUNTS: usize = 2500;
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (folder, jwt) = (dir.path().to_str().unwrap(), operator.jwt());
    let accounts: Vec<_> = (0..ACCOUNTS).map(|_| Account::new()).collect();
    accounts.iter().for_each(|account| write(dir.path(), &operator, account, 100));
    let expected: BTreeSet<_> = accounts.iter().map(Account::key).collect();
    let is_all = |list: &[Value]| {
        let keys: BTreeSet<_> = list.iter().map(|account| account["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!((list.len(), &keys), (ACCOUNTS, &expected));
    };
    let from_files = listed(&["-dir", folder, "-operator", &jwt]).await;
    is_all(&from_files);
    assert!(!dir.path().join(".nats-account-server").exists(), "something was written");
    let address = free_address();
    let server = Launch::primary(&operator).dir(dir.path()).at(&address).start().await;
    let url = server.url.clone();
    // The folder is still being imported, perhaps: then the server is asked again.
    let online = listed(&["--url", &url]).await;
    is_all(&online);
    assert_eq!(listed(&["-dir", folder, "-hp", &address]).await, online, "the server on the folder");
    // The reader of a table may have enough.
    let mut child = Command::new(env!("CARGO_BIN_EXE_nats-account-server"))
        .args(["list", "--url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("NAME"), "{first}");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    end(server).await;
    assert_eq!(listed(&["-dir", folder]).await, online, "the journal of the folder");
    // What only a journal knows is missing in the files, and nothing else differs.
    let bare = |account: &Value| {
        let mut account = account.clone();
        for member in ["serial", "changed_at", "via"] {
            account[member] = Value::Null;
        }
        account
    };
    assert_eq!(online.iter().map(bare).collect::<Vec<_>>(), from_files);
}
