//! What is owed to the nats-servers across an outage and a crash: each account's newest, and nothing else.

use std::collections::HashMap;

use async_nats::Subscriber;
use futures_util::StreamExt as _;

use crate::cluster::{Cluster, page};
use crate::support::{Account, Launch, NatsServer, Operator, Proxy, until, within};

async fn listen(cluster: &Cluster) -> Subscriber {
    let system = cluster.system_client().await;
    let heard = system.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE").await.unwrap();
    system.flush().await.unwrap();
    heard
}

#[tokio::test]
async fn after_an_outage_and_a_crash_each_account_is_announced_once_in_its_newest_version() {
    let mut cluster = Cluster::one().await;
    let accounts = [Account::new(), Account::new(), Account::new()];
    let first = cluster.open().await;
    cluster.complete(&first).await;
    cluster.wire.cut();
    cluster.connected(0.0).await;
    let mut heard = listen(&cluster).await;
    let mut newest = HashMap::new();
    for round in 0..4 {
        // The last account gets nothing new after the crash.
        for account in &accounts[..if round < 2 { 3 } else { 2 }] {
            let jwt = cluster.version(account);
            cluster.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
            newest.insert(account.key(), jwt);
        }
        if round == 1 {
            cluster.primary = cluster.primary.restart().await;
        }
    }
    cluster.wire.heal();
    // The last one to be announced tells that the others were.
    let last = cluster.open().await;
    let mut seen = Vec::new();
    loop {
        let message = within("an announcement", heard.next()).await.unwrap();
        let key = message.subject.split('.').nth(3).unwrap().to_owned();
        if key == last.key() {
            break;
        }
        seen.push((key, String::from_utf8(message.payload.to_vec()).unwrap()));
    }
    // What was sent shortly before the connection broke is repeated.
    let system = cluster.operator.system().key();
    seen.retain(|(key, _)| *key != first.key() && *key != system);
    let in_order =
        [&accounts[2], &accounts[0], &accounts[1]].map(|account| (account.key(), newest[&account.key()].clone()));
    assert_eq!(seen, in_order);
}

#[tokio::test]
async fn an_interrupted_first_scan_is_no_news_when_it_is_taken_up_again() {
    let operator = Operator::new();
    let mut files = 2000;
    // The more files there are, the longer a scan takes to be over.
    let (folder, wire, launch, account) = loop {
        assert!(files < 100_000, "no scan is interrupted");
        if let Some(interrupted) = interrupted(&operator, files).await {
            break interrupted;
        }
        files *= 3;
    };
    // The server had been connected to NATS, and some of its journal was announced.
    let path = folder.path().join(".nats-account-server/journal.sqlite");
    rusqlite::Connection::open(path)
        .unwrap()
        .execute("INSERT INTO cursor (name, serial) VALUES ('nats', 1)", [])
        .unwrap();
    let primary = launch.start().await;
    assert_eq!(primary.http.metric("accounts", "").await, files as f64 + 1.0);
    let nats = NatsServer::start("2.15.1", &operator, &primary.url).await;
    wire.lead_to(nats.address());
    until("it is connected", || async { primary.http.metric("nats_connected", "").await == 1.0 }).await;
    let found = primary.http.get(&page(&account)).await.expect(200).json();
    assert!(found["note"].as_str().unwrap().starts_with("it came with the folder"), "{found}");
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the push is announced", || async { primary.http.metric("announced_total", "").await > 0.0 }).await;
    until("all is announced", || async { primary.http.metric("announce_pending", "").await == 0.0 }).await;
    assert_eq!(primary.http.metric("announced_total", "").await, 1.0);
}

/// A folder of files and the launch of a server that was killed while it took them in, and one of the accounts. `None`:
/// it was too fast.
async fn interrupted(operator: &Operator, files: usize) -> Option<(tempfile::TempDir, Proxy, Launch, Account)> {
    let (folder, wire) = (tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
    let creds = folder.path().join("system.creds");
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let accounts: Vec<Account> = (0..files).map(|_| Account::new()).collect();
    for account in accounts.iter().chain([operator.system()]) {
        let jwt = operator.account(account, 1_000);
        std::fs::write(folder.path().join(format!("{}.jwt", account.key())), jwt).unwrap();
    }
    let launch = Launch::primary(operator).dir(folder.path()).nats(wire.address(), &creds);
    let mut primary = launch.clone().start_unready().await;
    until("some are taken in", || async { primary.http.metric("accounts", "").await > 0.0 }).await;
    primary.kill();
    let path = folder.path().join(".nats-account-server/journal.sqlite");
    let journal = rusqlite::Connection::open(path).unwrap();
    let taken: usize = journal.query_row("SELECT count FROM meta", [], |row| row.get(0)).unwrap();
    (taken <= files).then(|| (folder, wire, launch, accounts.into_iter().next().unwrap()))
}
