//! A primary with replicas and a nats-server: first everything is well, then each of them is not.

use std::time::Duration;

use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use serde_json::Value;

use super::{codes, document, status};
use crate::support::fleet::{Fleet, NEWEST};
use crate::support::login::login;
use crate::support::{Account, Launch, Operator, Server, now, until, until_in};

/// A replica that is silent is so after 10 seconds, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

async fn replica(operator_jwt: &str, upstream: &Server, name: &str) -> Server {
    let launch = Launch::default().flag("-operator", operator_jwt).flag("-primary", &upstream.url);
    let replica = launch.env("NAS_REPLICA__NAME", name).start().await;
    replica.follows().await;
    replica
}

/// Codes and verdicts of checks.
fn verdicts(status: &Value) -> Vec<(Value, Value)> {
    let checks = status["checks"].as_array().unwrap().iter();
    checks.map(|check| (check["code"].clone(), check["status"].clone())).collect()
}

/// The text with placeholders for what differs from run to run.
fn settled(text: &str, known: &[(&str, &str)]) -> String {
    let text = known.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let lines = text.lines().map(|line| match line.split_once("was last heard ") {
        Some((before, _)) => format!("{before}was last heard N s ago"),
        // Counts memory.
        None if line.starts_with("  pass     cache ") => "  pass     cache               …".to_owned(),
        None => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

#[tokio::test]
async fn a_fleet_is_well_until_one_of_each_kind_is_not() {
    // The nats-server was started before the operator listed another signing key, so it will reject what that signs.
    let (operator, key) = (Operator::new(), KeyPair::new_operator());
    let newer = operator.jwt_with_signing_key(&key);
    let launch = |launch: Launch| launch.flag("-operator", &newer);
    let fleet = Fleet::of(NEWEST, operator, launch, |launch, primary, _| launch.named("n1").asks(&primary.url)).await;
    let Fleet { operator, primary, nats, .. } = &fleet;
    let account = Account::named("app");
    primary.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let _session = login(nats.address(), &account.user()).await.unwrap();
    let hub = replica(&newer, primary, "hub").await;
    let leaf = replica(&newer, &hub, "leaf").await;
    let mut gone = replica(&newer, primary, "gone").await;

    let urls: &[&str] = &[&primary.url, &hub.url, &leaf.url, &gone.url];
    until("all is well", || async {
        let (document, status) = document(urls).await;
        let servers = document["servers"][0]["nats_servers"]["list"].as_array().map(Vec::len);
        let replicas = document["servers"][0]["replicas"]["list"].as_array().map(Vec::len);
        let is_compared = document["servers"][0]["nats_servers"]["list"][0]["state"] == "in_sync";
        (status, servers, replicas, is_compared) == (0, Some(1), Some(2), true)
    })
    .await;
    let (before, _) = document(urls).await;
    assert_eq!((&before["state"], codes(&before)), (&"well".into(), vec![]), "{before:#}");
    for (place, server) in [primary, &hub, &leaf, &gone].into_iter().enumerate() {
        let (shown, asked) = (&before["servers"][place], server.http.get("/api/v1/status").await.expect(200).json());
        assert_eq!((&shown["url"], &shown["state"]), (&server.url.clone().into(), &"well".into()), "{shown:#}");
        assert_eq!(verdicts(&shown["status"]), verdicts(&asked), "the codes are those of the API");
        for member in ["role", "mode", "version", "writable", "operator", "position", "in_sync", "nats", "expires"] {
            assert_eq!(shown["status"].get(member), asked.get(member), "{member}");
        }
    }

    let newest = sign(&account.claims(now()), &key);
    gone.kill();
    leaf.signal("STOP");
    primary.http.post(&account.path(), newest).await.expect(200);
    let urls: &[&str] = &[&primary.url, &hub.url];
    let states = |list: &Value| -> Vec<String> {
        let entry = |entry: &Value| format!("{} {}", entry["name"].as_str().unwrap(), entry["state"].as_str().unwrap());
        list["list"].as_array().unwrap().iter().map(entry).collect()
    };
    until_in(PATIENCE, "each is behind or silent", || async {
        let (document, status) = document(urls).await;
        let (replicas, servers) = (&document["servers"][0]["replicas"], &document["servers"][0]["nats_servers"]);
        let mut replicas = states(replicas);
        replicas.sort();
        let leaves = states(&document["servers"][1]["replicas"]);
        let operator = &servers["list"][0]["operator"]["current"];
        status == 1
            && (replicas, states(servers), leaves)
                == (
                    vec!["gone silent".to_owned(), "hub behind".to_owned()],
                    vec!["n1 behind".to_owned()],
                    vec!["leaf silent".to_owned()],
                )
            && *operator == false
    })
    .await;
    let (after, _) = document(urls).await;
    assert_eq!(codes(&after["servers"][0]), ["replicas", "nats_servers"], "{after:#}");
    assert_eq!(codes(&after["servers"][1]), ["replicas"], "{after:#}");

    // One that does not answer holds nothing up, and one that is away is named.
    let (stopped, _) = document(&["--timeout", "500ms", &primary.url, &leaf.url, &gone.url]).await;
    assert_eq!(stopped["servers"][0]["state"], "degraded");
    for (place, why) in [(1, "no answer within 500 ms"), (2, "refused")] {
        let server = &stopped["servers"][place];
        assert_eq!((&server["state"], codes(server)), (&"unreachable".into(), vec!["unreachable"]), "{server:#}");
        assert!(server["reasons"][0]["detail"].as_str().unwrap().contains(why), "{server:#}");
    }
    status(&[&primary.url, &gone.url]).await.expect(2);

    let ran = status(urls).await.expect(1);
    let session = after["servers"][0]["status"]["position"]["session"].as_str().unwrap();
    let operator_key = operator.key();
    let known = [
        (&*primary.url, "PRIMARY"),
        (&*hub.url, "HUB"),
        (session, "SESSION"),
        (&session[..8], "SESSION"),
        (&*operator_key, "OPERATOR"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
        (NEWEST, "NEWEST"),
    ];
    assert_eq!(settled(&ran.stdout, &known), EXPECTED, "{}", ran.stdout);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    leaf.signal("CONT");
}

const EXPECTED: &str = "\
PRIMARY  primary VERSION  degraded: replicas, nats_servers
  serial 4 of session SESSION…, 2 accounts

  pass     process             is running
  pass     store               2 accounts at serial 4 of session SESSION
  pass     folder              all files are on disk up to serial 4
  warning  replicas            2 known, 0 in sync; gone is silent at serial 3, hub is behind at serial 3
  pass     operator            OPERATOR (Tests)
  pass     nats                connected
  warning  nats_servers        1 there: 0 in sync, 1 behind, 0 unknown
  pass     resolver            LOOKUP, UPDATE, LIST, DELETE and PACK are answered (no full resolver answered; nats.resolver is auto)
  pass     operator_expiry     the operator JWT never expires
  pass     account_expiry      no account has expired, or expires within 3 days
  skip     certificate_expiry  this server has no certificate
  pass     nats_user_expiry    the NATS user never expires

  replica  mode   version  address    state   serial  behind by
  gone     cache  VERSION    127.0.0.1  silent  3       1
  hub      cache  VERSION    127.0.0.1  behind  3       1

  nats-server  version  state   accounts behind  note
  n1           NEWEST   behind  1                runs another operator JWT until its next reload

HUB  replica (cache) VERSION  degraded: replicas
  serial 4 of session SESSION…, upstream PRIMARY

  pass     process             is running
  pass     primary             following PRIMARY, at serial 4; the primary itself was last heard N s ago
  pass     cache               …
  warning  replicas            1 known, 0 in sync; leaf is silent at serial 3
  pass     operator            OPERATOR (Tests)
  skip     nats                not configured
  pass     in_sync             serves what the primary served at serial 4
  pass     operator_expiry     the operator JWT never expires
  skip     account_expiry      this server does not store every account
  skip     certificate_expiry  this server has no certificate
  skip     nats_user_expiry    there are no NATS credentials

  replica  mode   version  address    state   serial  behind by
  leaf     cache  VERSION    127.0.0.1  silent  3       1

degraded: 0 of 2 servers are well
";
