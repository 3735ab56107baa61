//! nats-server's full resolver.

use std::fs;
use std::path::Path;

use async_nats::{Client, ConnectOptions};
use serde_json::Value;

use super::file;
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, Server, until, within};

/// Releases whose resolver may differ.
const VERSIONS: [&str; 3] = ["2.10.26", "2.12.8", "2.15.1"];
const NEWEST: &str = VERSIONS[2];

/// A nats-server with a full resolver, and a client of its system account.
struct Resolver {
    server: NatsServer,
    client: Client,
}

impl Resolver {
    fn launch(version: &str, operator: &Operator, dir: &Path) -> NatsLaunch {
        let (system, jwt) = (operator.system().key(), operator.account(operator.system(), 90_000));
        NatsLaunch::new(version, operator).with(&format!(
            "resolver: {{ type: full, dir: {dir:?}, allow_delete: true, interval: \"1s\" }}\n\
             resolver_preload: {{ {system}: {jwt} }}"
        ))
    }

    async fn start(version: &str, operator: &Operator, dir: &Path) -> Self {
        Self::of(Self::launch(version, operator, dir), operator).await
    }

    async fn of(launch: NatsLaunch, operator: &Operator) -> Self {
        let server = launch.start().await;
        let options = ConnectOptions::with_credentials(&operator.system().user().creds()).unwrap();
        let client = within("a connection", options.connect(format!("nats://{}", server.address()))).await.unwrap();
        Self { server, client }
    }

    async fn ask(&self, subject: String, payload: String) -> String {
        let reply = within("an answer", self.client.request(subject, payload.into())).await.unwrap();
        String::from_utf8(reply.payload.to_vec()).unwrap()
    }

    /// Asks for a change, which must be made.
    async fn change(&self, what: &str, payload: String) {
        let reply = self.ask(format!("$SYS.REQ.CLAIMS.{what}"), payload).await;
        let answer: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(answer["data"]["code"], 200, "{what}: {reply}");
    }

    /// The JWT of an account; empty if there is none.
    async fn look_up(&self, account: &Account) -> String {
        self.ask(format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", account.key()), String::new()).await
    }

    /// The accounts that it knows, but for the system account.
    async fn list(&self, operator: &Operator) -> Vec<String> {
        let answer: Value =
            serde_json::from_str(&self.ask("$SYS.REQ.CLAIMS.LIST".into(), String::new()).await).unwrap();
        let keys = answer["data"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        let mut keys: Vec<String> = keys.filter(|key| *key != operator.system().key()).collect();
        keys.sort();
        keys
    }
}

fn keys(accounts: &[(Account, String)]) -> Vec<String> {
    let mut keys: Vec<String> = accounts.iter().map(|(account, _)| account.key()).collect();
    keys.sort();
    keys
}

async fn written_by_a_full_resolver(version: &str) {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let resolver = Resolver::start(version, &operator, dir.path()).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let account = Account::new();
        let jwt = operator.account(&account, 100);
        resolver.change("UPDATE", jwt.clone()).await;
        held.push((account, jwt));
    }
    let (gone, old) = held.pop().unwrap();
    resolver.change("DELETE", operator.delete_request(&[&gone], 50)).await;
    // A second version of one of them.
    let newer = operator.account(&held[0].0, 10);
    resolver.change("UPDATE", newer.clone()).await;
    held[0].1 = newer;
    assert_eq!(resolver.list(&operator).await, keys(&held));
    drop(resolver);
    assert!(dir.path().join(format!("{}.jwt.deleted", gone.key())).exists());
    let server = Server::primary_in(&operator, dir.path()).await;
    for (account, jwt) in &held {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
        assert_eq!(fs::read_to_string(file(dir.path(), account)).unwrap(), *jwt);
    }
    server.http.get(&operator.system().path()).await.expect(200);
    assert_ne!(server.http.get(&gone.path()).await.body, old);
    server.http.get(&gone.path()).await.expect(404);
    assert_eq!(server.http.metric("accounts", "").await, 20.0, "with the system account");
    assert!(!server.log().contains("[WRN]"), "{}", server.log());
}

#[tokio::test]
async fn what_a_full_resolver_of_2_10_wrote_is_served() {
    written_by_a_full_resolver(VERSIONS[0]).await;
}

#[tokio::test]
async fn what_a_full_resolver_of_2_12_wrote_is_served() {
    written_by_a_full_resolver(VERSIONS[1]).await;
}

#[tokio::test]
async fn what_the_newest_full_resolver_wrote_is_served() {
    written_by_a_full_resolver(NEWEST).await;
}

/// A folder of ours with all that there can be in it: accounts, one deleted, one deleted and back, something refused.
async fn ours(operator: &Operator, dir: &Path) -> (Vec<(Account, String)>, Account) {
    let mut server = Launch::primary(operator).dir(dir).start().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let account = Account::new();
        server.http.post(&account.path(), operator.account(&account, 1_000)).await.expect(200);
        let jwt = operator.account(&account, 900);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        held.push((account, jwt));
    }
    let (gone, _) = held.pop().unwrap();
    until("the files are there", || async { held.iter().all(|(account, _)| file(dir, account).exists()) }).await;
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 50)).await.expect(200);
    server.http.delete(&held[0].0.path(), operator.delete_request(&[&held[0].0], 50)).await.expect(200);
    held[0].1 = operator.account(&held[0].0, 10);
    server.http.post(&held[0].0.path(), held[0].1.clone()).await.expect(200);
    // An older JWT of an account, and one of nobody's, dropped over ours.
    fs::write(file(dir, &held[1].0), operator.account(&held[1].0, 5_000)).unwrap();
    fs::write(file(dir, &held[2].0), "junk").unwrap();
    fs::write(file(dir, &gone), operator.account(&gone, 5_000)).unwrap();
    server.logs_times("it was moved to", 3).await;
    until("the folder is as it should be", || async {
        let text = |account| fs::read_to_string(file(dir, account)).unwrap_or_default();
        held.iter().all(|(account, jwt)| text(account) == *jwt) && !file(dir, &gone).exists()
    })
    .await;
    server.signal("TERM");
    assert!(server.exit().await.success());
    (held, gone)
}

async fn read_by_a_full_resolver(version: &str) {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (held, gone) = ours(&operator, dir.path()).await;
    let resolver = Resolver::start(version, &operator, dir.path()).await;
    for (account, jwt) in &held {
        assert_eq!(resolver.look_up(account).await, *jwt);
    }
    assert_eq!(resolver.look_up(&gone).await, "");
    assert_eq!(resolver.list(&operator).await, keys(&held), "nothing of our state is taken for an account");
    // What it writes there is found by us again.
    let newer = operator.account(&held[3].0, 5);
    resolver.change("UPDATE", newer.clone()).await;
    drop(resolver);
    let server = Server::primary_in(&operator, dir.path()).await;
    until("it is served", || async { server.http.get(&held[3].0.path()).await.body == newer }).await;
    server.http.get(&gone.path()).await.expect(404);
}

#[tokio::test]
async fn a_full_resolver_of_2_10_finds_everything_in_our_folder() {
    read_by_a_full_resolver(VERSIONS[0]).await;
}

#[tokio::test]
async fn a_full_resolver_of_2_12_finds_everything_in_our_folder() {
    read_by_a_full_resolver(VERSIONS[1]).await;
}

#[tokio::test]
async fn the_newest_full_resolver_finds_everything_in_our_folder() {
    read_by_a_full_resolver(NEWEST).await;
}

#[tokio::test]
async fn a_full_resolver_hands_our_folder_on_to_another_one() {
    let (operator, dir, other) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (held, gone) = ours(&operator, dir.path()).await;
    let launch = Resolver::launch(NEWEST, &operator, dir.path()).named("first").cluster(None);
    let first = Resolver::of(launch, &operator).await;
    let seed = first.server.cluster_address().to_owned();
    let launch = Resolver::launch(NEWEST, &operator, other.path()).named("second").cluster(Some(&seed));
    let _second = Resolver::of(launch, &operator).await;
    // They compare a sum over all that they hold, and send each other what differs.
    until("the other one has everything", || async {
        held.iter().all(|(account, jwt)| fs::read_to_string(file(other.path(), account)).is_ok_and(|text| text == *jwt))
    })
    .await;
    assert!(!file(other.path(), &gone).exists());
    let files = fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter(|name| !name.starts_with(&operator.system().key())).collect();
    names.sort();
    let expected: Vec<String> = keys(&held).iter().map(|key| format!("{key}.jwt")).collect();
    assert_eq!(names, expected);
}
