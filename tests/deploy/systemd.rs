//! The units, and what the server tells systemd.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UnixDatagram;

use crate::support::command::run;
use crate::support::{Account, Launch, Operator, free_address, until};
use crate::{shipped, text_of};

/// What systemd would hear.
struct Manager {
    folder: tempfile::TempDir,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let into = heard.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes).await {
                into.lock().push(String::from_utf8(bytes[..length].to_vec()).unwrap());
            }
        });
        Self { folder, heard }
    }

    fn socket(&self) -> String {
        self.folder.path().join("notify").to_str().unwrap().to_owned()
    }

    /// Messages so far.
    fn count(&self) -> usize {
        self.heard.lock().len()
    }

    /// Waits for a message with this text after the first `past` ones, and returns it with its place.
    async fn hears(&self, past: usize, text: &str) -> (usize, String) {
        let found = || {
            let heard = self.heard.lock();
            heard
                .iter()
                .enumerate()
                .skip(past)
                .find(|(_, message)| message.contains(text))
                .map(|(at, m)| (at, m.clone()))
        };
        until(&format!("systemd hears {text:?}"), || async { found().is_some() }).await;
        found().unwrap()
    }
}

/// The value of a key in a unit: its last one.
fn value<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// The paths of the units, in a folder of the test.
fn mapped(text: &str, root: &Path) -> String {
    let root = root.display();
    let mut text = text.to_owned();
    for folder in
        ["/etc/nats-account-server", "/var/lib/nats-account-server", "/var/log/nats-account-server", "/var/backups"]
    {
        text = text.replace(folder, &format!("{root}{folder}"));
    }
    text
}

#[tokio::test]
async fn the_units_run_and_systemd_hears_of_start_reload_life_and_stop() {
    let (operator, account, root) = (Operator::new(), Account::new(), tempfile::tempdir().unwrap());
    let (unit, backup) =
        (text_of("deploy/nats-account-server.service"), text_of("deploy/nats-account-server-backup.service"));
    let etc = root.path().join("etc/nats-account-server");
    let backups = root.path().join("var/backups/nats-account-server");
    // What the comments and StateDirectory, LogsDirectory of the units make.
    let state = ["StateDirectory", "LogsDirectory"].map(|key| value(&unit, key).unwrap());
    let of_state =
        [format!("var/lib/{}", state[0]), format!("var/log/{}", state[1])].map(|path| root.path().join(path));
    for folder in of_state.iter().chain([&etc, &backups]) {
        std::fs::create_dir_all(folder).unwrap();
    }
    let settings = mapped(&text_of("deploy/nats-account-server.conf"), root.path());
    std::fs::write(etc.join("nats-account-server.conf"), settings.replace("localhost:4222", &free_address())).unwrap();
    std::fs::write(etc.join("operator.jwt"), operator.jwt()).unwrap();
    std::fs::write(etc.join("sys.creds"), operator.system().user().creds()).unwrap();

    // systemd gives the socket, and the time that WatchdogSec says.
    let manager = Manager::listen();
    assert!(value(&unit, "WatchdogSec").is_some() && value(&unit, "Type") == Some("notify"));
    let command = mapped(value(&unit, "ExecStart").unwrap(), root.path());
    let words: Vec<&str> = command.split(' ').collect();
    let [_, flag, file] = words[..] else { panic!("{command}") };
    let mut launch =
        Launch::default().flag(flag, file).env("NOTIFY_SOCKET", &manager.socket()).env("WATCHDOG_USEC", "400000");
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        launch = launch.env(name, value);
    }
    let (_, log) = launch.clone().try_start().await.map(drop).unwrap_err();
    assert!(log.contains("require_existing"), "the first start needs a word of consent: {log}");
    let launch = launch.env("NAS_STORE__REQUIRE_EXISTING", "false").env("NAS_HTTP__DRAIN_DELAY", "0");
    let past = manager.count();
    let mut server = launch.start().await;
    let (opened, _) = manager.hears(past, "STATUS=opening the store").await;
    let (listening, _) = manager.hears(opened, "STATUS=listening on port").await;
    let (ready, _) = manager.hears(listening, "READY=1").await;
    let (_, status) = manager.hears(ready, "STATUS=primary, ready; accounts: 0; serial: ").await;
    assert!(status.starts_with("WATCHDOG=1\n") && status.contains("; nats: not connected"), "{status}");
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let (told, _) = manager.hears(ready, "STATUS=primary, ready; accounts: 1; serial: ").await;
    for _ in 0..3 {
        let past = manager.count();
        let (_, message) = manager.hears(past, "WATCHDOG=1").await;
        assert!(!message.contains("STATUS"), "nothing has changed: {message}");
    }

    let past = manager.count().max(told);
    server.signal("HUP");
    let (reloading, message) = manager.hears(past, "RELOADING=1").await;
    assert!(message.contains("\nMONOTONIC_USEC="), "{message}");
    manager.hears(reloading, "READY=1").await;

    let command = mapped(value(&backup, "ExecStart").unwrap(), root.path());
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    run(words).await.expect(0);
    let made: Vec<_> = std::fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(made.len() == 1 && made[0].to_str().unwrap().ends_with("Z.backup"), "{made:?}");

    // The restore drill of the runbook.
    let drill = root.path().join("drill");
    let (dir, jwt, file) = (drill.to_str().unwrap(), operator.jwt(), made[0].to_str().unwrap());
    run(["-dir", dir, "-operator", &jwt, "restore", file]).await.expect(0);
    let restored = Launch::primary(&operator).dir(&drill).start().await;
    assert_eq!(restored.http.get(&account.path()).await.body, server.http.get(&account.path()).await.body);
    drop(restored);

    // A writer that does not answer, because somebody holds its database.
    let journal = of_state[0].join(".nats-account-server/journal.sqlite");
    let database = rusqlite::Connection::open(journal).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let http = server.http.clone();
    let (path, jwt) = (account.path(), operator.account(&account, 5));
    let push = tokio::spawn(async move { http.post(&path, jwt).await });
    let silent_for = Duration::from_millis(500);
    until("the signs of life stay away", || async {
        let before = manager.count();
        tokio::time::sleep(silent_for).await;
        manager.count() == before
    })
    .await;
    assert_eq!(server.http.get("/livez").await.status, 200, "reads go on");
    database.execute_batch("ROLLBACK").unwrap();
    push.await.unwrap().expect(200);
    let past = manager.count();
    manager.hears(past, "WATCHDOG=1").await;

    server.signal("TERM");
    manager.hears(past, "STOPPING=1").await;
    assert_eq!(server.exit().await.code(), Some(0), "{}", server.log());
}

#[test]
fn the_units_are_hardened() {
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).output();
    // --offline came with 250.
    if analyze(&["security", "--offline=true", "--help"]).is_ok_and(|output| output.status.success()) {
        for unit in ["deploy/nats-account-server.service", "deploy/nats-account-server-backup.service"] {
            let path = shipped(unit);
            let output = analyze(&["security", "--offline=true", "--threshold=15", path.to_str().unwrap()]).unwrap();
            assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
        }
    } else {
        println!("skipped: systemd-analyze is missing, or too old");
    }
}
