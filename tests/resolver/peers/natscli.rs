//! The `nats` command, with its own store of accounts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::fleet::{Fleet, NEWEST};
use crate::support::{Account, until};

/// `None`, and a line that says so, if it is not here.
#[allow(clippy::print_stdout)]
fn binary() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/natscli/nats");
    if !path.exists() {
        println!("skipped: {} is missing: run tests/get-natscli.sh", path.display());
        return None;
    }
    Some(path)
}

// What is between us and the nats-server goes on while the command runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_pushed_and_queried() {
    let Some(binary) = binary() else { return };
    for kind in ["url", "full"] {
        let fleet = if kind == "url" { Fleet::url(NEWEST).await } else { Fleet::full(NEWEST, |launch| launch).await };
        let home = tempfile::tempdir().unwrap();
        let file = |name: &str| home.path().join(name);
        let run = |args: &[&str]| {
            let mut command = Command::new(&binary);
            command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path()).env("NO_COLOR", "1");
            command.env("XDG_DATA_HOME", file("data")).env("XDG_CONFIG_HOME", file("config")).stdin(Stdio::null());
            let server = ["-s", fleet.nats.address(), "--creds", fleet.creds.to_str().unwrap(), "--timeout", "5s"];
            expect(&format!("{kind}: {args:?}"), &command.args(server).output().unwrap())
        };
        let [identity, signing] = fleet.operator.seeds();
        for (name, text) in [("op.jwt", fleet.operator.jwt()), ("op.nk", identity), ("sk.nk", signing)] {
            std::fs::write(file(name), text).unwrap();
        }
        let path = |name: &str| file(name).to_str().unwrap().to_owned();
        run(&["auth", "operator", "import", &path("op.jwt"), &path("op.nk"), &path("sk.nk")]);

        let account = Account::new();
        let jwt = fleet.operator.account(&account, 60);
        let store = file("data/nats/nsc/stores/Tests/accounts/A");
        std::fs::create_dir_all(&store).unwrap();
        std::fs::write(store.join("A.jwt"), &jwt).unwrap();
        let pushed = run(&["auth", "account", "push", "A", "--operator", "Tests"]);
        assert!(pushed.contains("Success 1 Failed 0 Expected 1"), "{kind}: {pushed}");
        // It may have been told so by the nats-server before we were done.
        until("we have it", || async { fleet.held(&account).await == jwt }).await;
        run(&["auth", "account", "query", "A", &path("out.jwt"), "--operator", "Tests"]);
        assert_eq!(std::fs::read_to_string(file("out.jwt")).unwrap().trim_end(), jwt, "{kind}");
    }
}

#[track_caller]
fn expect(what: &str, output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{text}", output.status);
    text
}
