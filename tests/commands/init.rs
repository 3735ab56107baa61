//! `init`: a server and a nats-server start with what it made.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::command::{Ran, run};
use crate::support::fleet::NEWEST;
use crate::support::login::login;
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, free_address, until};

/// A folder with an operator's files.
struct Site {
    operator: Operator,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { operator: Operator::new(), folder: tempfile::tempdir().unwrap() };
        fs::write(site.file("operator.jwt"), site.operator.jwt()).unwrap();
        fs::write(site.file("sys.creds"), site.operator.system().user().creds()).unwrap();
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn init(&self, args: &[&str]) -> Ran {
        let (dir, operator) = (self.file("made"), self.file("operator.jwt"));
        let own = ["init", dir.to_str().unwrap(), "--operator", operator.to_str().unwrap()];
        run(own.iter().chain(args)).await
    }
}

fn statuses(document: &Value) -> Vec<(&str, &str)> {
    let checks = document["checks"].as_array().unwrap().iter();
    checks.map(|check| (check["code"].as_str().unwrap(), check["status"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_server_and_a_nats_server_start_with_what_was_made() {
    let site = Site::new();
    let (http, nats_port, creds) = (free_address(), free_address(), site.file("sys.creds"));
    let args = ["--creds", creds.to_str().unwrap(), "-hp", &http, "-nats", &nats_port, "--json"];
    let ran = site.init(&args).await.expect(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(statuses(&document).contains(&("settings", "pass")), "{document:#}");
    assert!(statuses(&document).contains(&("creds", "pass")), "{document:#}");
    let next = document["next"].to_string();
    let (system, others) =
        (next.find("push the system account").unwrap(), next.find("push the other accounts").unwrap());
    assert!(system < others, "{next}");

    let settings = site.file("made/nats-account-server.conf");
    let primary = Launch::default().flag("-c", &settings).at(&http).start().await;
    let (account, system) = (Account::named("app"), site.operator.system());
    for account in [&account, system] {
        primary.http.post(&account.path(), site.operator.account(account, 100)).await.expect(200);
    }
    let stored = site.file(&format!("made/jwt/{}.jwt", account.key()));
    until("the account is in the folder", || async { stored.exists() }).await;
    let lines = fs::read_to_string(site.file("made/nats-server.conf")).unwrap();
    let nats = NatsServer::start_with(NEWEST, &lines).await;
    drop(login(nats.address(), &account.user()).await.unwrap());
    let ran = run(["healthcheck", "--ready", "-c", settings.to_str().unwrap()]).await.expect(0);
    assert!(ran.stdout.contains(&http), "{}", ran.stdout);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let site = Site::new();
    site.init(&[]).await.expect(0);
    let conf = site.file("made/nats-account-server.conf");
    let ran = site.init(&[]).await.expect(0);
    assert_eq!(ran.stdout.matches("is there ").count(), 4, "{}", ran.stdout);
    fs::write(&conf, "nonsense {").unwrap();
    let ran = site.init(&[]).await.expect(1);
    for text in ["kept       ", "is there with other content, and was not changed", "FAIL     settings"] {
        assert!(ran.stdout.contains(text), "{text}\n{}", ran.stdout);
    }
    assert_eq!(fs::read_to_string(&conf).unwrap(), "nonsense {");
}

#[tokio::test]
async fn what_is_given_is_judged() {
    let site = Site::new();
    let foreign = site.file("app.creds");
    let creds = Account::named("app").user().creds();
    fs::write(&foreign, &creds).unwrap();
    let ran = site.init(&["--creds", foreign.to_str().unwrap()]).await.expect(1);
    assert!(ran.stdout.contains("and not of the system account"), "{}", ran.stdout);
    let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap();
    assert!(!ran.stdout.contains(seed), "{}", ran.stdout);
    let ran = run(["init", site.file("x").to_str().unwrap()]).await.expect(2);
    assert!(ran.stderr.contains("--operator FILE"), "{}", ran.stderr);
    let (dir, jwt) = (site.file("y"), site.operator.account(&Account::new(), 0));
    let ran = run(["init", dir.to_str().unwrap(), "--operator", &jwt]).await.expect(1);
    assert!(ran.stderr.contains("operator JWT") && !dir.exists(), "{}", ran.stderr);
}

/// The operator's JWT is given as a text, and names no system account.
#[tokio::test]
async fn an_operator_without_a_system_account_is_enough() {
    let (operator, folder) = (nkeys::KeyPair::new_operator(), tempfile::tempdir().unwrap());
    let claims = nats_account_server::testkit::operator(&operator, 1_700_000_000, &[]);
    let jwt = nats_account_server::testkit::sign(&claims, &operator);
    let dir = folder.path().join("a \"b\" 100%");
    let ran = run(["init", dir.to_str().unwrap(), "--operator", &jwt]).await.expect(0);
    assert!(ran.stdout.contains("names no system account"), "{}", ran.stdout);
    let made = |name: &str| fs::read_to_string(Path::new(&dir).join(name)).unwrap();
    assert_eq!(made("operator.jwt").trim(), jwt);
    // A nats-server reads the file. Without a system account in the operator's JWT, it makes one of its own.
    let primary = Launch::default().flag("-c", dir.join("nats-account-server.conf")).start().await;
    let snippet = made("nats-server.conf").replace("http://localhost:9090", &primary.url);
    NatsLaunch::bare(NEWEST).with(&snippet).start().await;
}
