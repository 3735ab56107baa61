//! What older followers send is answered in the form that they know, by a primary and by replicas.
// The servers are ours.
#![allow(clippy::disallowed_methods)]

use nats_account_server::feed::digest::Prefix;
use nats_account_server::feed::{Fingerprint, Subject};
use serde_json::{Value, json};

use crate::support::feed::{Events, page};
use crate::support::{Account, Http, Launch, Operator, Server, until};

/// The servers that are asked, by their place in a [`Row`].
const SERVERS: [&str; 3] = ["primary", "mirror", "cache"];

/// A request of an older follower.
struct Row {
    method: &'static str,
    path: String,
    body: Value,
    /// What each server answers.
    statuses: [u16; 3],
    /// Whether an answer of status 200 has the form of old.
    is_of_old: fn(&Value) -> bool,
}

impl Row {
    fn get(path: impl Into<String>, statuses: [u16; 3], is_of_old: fn(&Value) -> bool) -> Self {
        Self { method: "GET", path: path.into(), body: Value::Null, statuses, is_of_old }
    }

    fn post(path: &str, body: Value, statuses: [u16; 3], is_of_old: fn(&Value) -> bool) -> Self {
        Self { method: "POST", path: path.into(), body, statuses, is_of_old }
    }
}

fn has_position(value: &Value) -> bool {
    value["session"].is_string() && value["serial"].is_u64() && value["chain"].is_string() && value["floor"].is_u64()
}

fn is_page(value: &Value) -> bool {
    has_position(value)
        && value["head"].is_u64()
        && value["changes"].as_array().is_some_and(|all| all.iter().all(is_item))
}

/// A change as format 1 has it. A reader of that format needs no other member.
fn is_item(item: &Value) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| item[name].is_string());
    let is_placed = item["serial"].is_u64() && item["at"].is_i64() && has(&["chain", "kind", "op"]);
    let is_known = ["account", "operator", "activation"].contains(&item["kind"].as_str().unwrap_or_default());
    is_placed
        && is_known
        && match item["op"].as_str() {
            Some("put") => has(&["key"]) && item["jwt"].is_string() != item["digest"].is_string(),
            Some("delete") => has(&["request"]) && item["keys"].is_array(),
            Some("remove") => has(&["key", "digest"]),
            Some("none") => has(&["key"]),
            _ => false,
        }
}

fn is_tree(value: &Value) -> bool {
    let is_sum = |sum: &Value| sum.as_str().is_some_and(|sum| sum.len() == 16);
    has_position(value)
        && is_sum(&value["sum"])
        && value["children"].as_object().is_some_and(|sums| !sums.is_empty() && sums.values().all(is_sum))
        && value.get("items").is_none()
        && value.get("next").is_none()
}

fn is_bucket(value: &Value) -> bool {
    let is_leaf =
        |leaf: &Value| leaf.as_array().is_some_and(|leaf| leaf.len() == 3 && leaf.iter().all(Value::is_string));
    has_position(value)
        && value.get("children").is_none()
        && value["items"].as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_leaf))
}

fn is_comparison(value: &Value) -> bool {
    has_position(value)
        && value.get("pause").is_none()
        && value["items"].as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_item))
}

fn is_anything(_: &Value) -> bool {
    true
}

/// A primary with a mirror and a cache, which have everything, and accounts with a JWT.
struct Fleet {
    operator: Operator,
    servers: [Server; 3],
    accounts: Vec<Account>,
}

impl Fleet {
    async fn new() -> Self {
        let operator = Operator::new();
        let primary = Server::primary(&operator).await;
        let replica = |mode| Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", mode).start();
        let (mirror, cache) = (replica("mirror").await, replica("cache").await);
        for replica in [&mirror, &cache] {
            replica.follows().await;
            replica.logs("in sync with").await;
        }
        let [deleted, accounts @ ..] = [(); 4].map(|()| Account::new());
        for account in accounts.iter().chain([&deleted]) {
            for age in [900, 800] {
                primary.http.post(&account.path(), operator.account(account, age)).await.expect(200);
            }
        }
        primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
        let end = page(&primary.http, "").await.serial;
        for replica in [&mirror, &cache] {
            until("all has come", || async { page(&replica.http, "").await.serial == end }).await;
        }
        Self { operator, servers: [primary, mirror, cache], accounts: accounts.into() }
    }
}

fn rows(fleet: &Fleet, floor: u64) -> Vec<Row> {
    let key = fleet.accounts[0].key();
    let raw = Subject::parse(&key).unwrap();
    let bucket = Prefix::parse(&data_encoding::HEXLOWER.encode(&raw.raw()[..2])).unwrap();
    let bucket = data_encoding::HEXLOWER.encode(&bucket.bytes());
    let report = json!({
        "id": "0".repeat(32), "run": "1".repeat(16), "seq": 1, "name": "old", "mode": "cache", "version": "1.0.0",
    });
    let mut newer = report.clone();
    newer["future"] = json!({ "a": 1 });
    newer["seq"] = json!(2);
    vec![
        Row::get("/jwt/v1/changes", [200; 3], is_page),
        Row::get(format!("/jwt/v1/changes?after={floor}"), [200; 3], is_page),
        Row::get(format!("/jwt/v1/changes?after={floor}&future=1"), [200; 3], is_page),
        Row::get("/jwt/v1/digests", [200; 3], is_tree),
        Row::get(format!("/jwt/v1/digests?prefix={}", &bucket[..2]), [200; 3], is_tree),
        // `after` has no effect without `leaves`.
        Row::get(format!("/jwt/v1/digests?prefix={}&after={key}", &bucket[..2]), [200; 3], is_tree),
        Row::get(format!("/jwt/v1/digests?prefix={bucket}"), [200; 3], is_bucket),
        Row::post("/jwt/v1/digests", json!({ "have": [[key, "0".repeat(16)]] }), [200; 3], is_comparison),
        Row::post("/jwt/v1/digests", json!({ "have": [], "prefix": bucket }), [200; 3], is_comparison),
        // What another member means for the question, this version cannot know.
        Row::post("/jwt/v1/digests", json!({ "have": [], "future": 1 }), [400; 3], is_anything),
        Row::post("/jwt/v1/followers", report, [204; 3], is_anything),
        Row::post("/jwt/v1/followers", newer, [204; 3], is_anything),
        // A cache does not have the list that earlier builds read.
        Row::get("/jwt/v1/keys", [200, 200, 503], is_anything),
        Row::get("/jwt/v1/pack?max=-1", [200, 200, 404], is_anything),
    ]
}

#[tokio::test]
async fn requests_of_older_followers_are_answered_in_the_form_that_they_know() {
    let fleet = Fleet::new().await;
    for (number, server) in fleet.servers.iter().enumerate() {
        let floor = page(&server.http, "").await.floor;
        for Row { method, path, body, statuses, is_of_old } in rows(&fleet, floor) {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = server.http.request(method, &path).body(body).send().await.unwrap();
            let what = format!("{method} {path} at the {}", SERVERS[number]);
            assert_eq!(answer.status(), statuses[number], "{what}");
            let is_json = answer.headers().get("content-type").is_some_and(|kind| kind == "application/json");
            let text = answer.bytes().await.unwrap();
            if is_json {
                let value = serde_json::from_slice(&text).unwrap();
                assert!(is_of_old(&value), "{what}: {value:#}");
            }
        }
        // An earlier build reads the operator's JWT without a chain.
        let jwt = server.http.get("/jwt/v1/operator").await.expect(200).body;
        assert_eq!(jwt, fleet.operator.jwt());
        events_are_of_old(&server.http, floor).await;
    }
    for server in &fleet.servers[..2] {
        let list = server.http.request("GET", "/jwt/v1/keys").send().await.unwrap().bytes().await.unwrap();
        for account in &fleet.accounts {
            let wanted = Fingerprint::of(&Subject::parse(&account.key()).unwrap()).bytes();
            assert!(list.chunks(Fingerprint::BYTES).any(|fingerprint| fingerprint == wanted));
        }
    }
}

/// The stream has no event that an older follower does not know, and ends at the position of the server.
async fn events_are_of_old(http: &Http, floor: u64) {
    let end = page(http, "").await.serial;
    let mut events = Events::open(http, &format!("?after={floor}")).await;
    let (kind, hello) = events.next().await.unwrap();
    assert!(kind == "hello" && is_page(&hello), "{kind}: {hello:#}");
    let mut serial = floor;
    while serial < end {
        let (kind, data) = events.next().await.unwrap();
        match kind.as_str() {
            "heartbeat" => assert!(is_page(&data), "{data:#}"),
            "change" => {
                assert!(is_item(&data), "{data:#}");
                serial = data["serial"].as_u64().unwrap();
            }
            other => panic!("{other}: {data:#}"),
        }
    }
}
