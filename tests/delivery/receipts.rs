//! With nats-servers that answer, and such that do not.

use std::time::{Duration, Instant};

use async_nats::connection::State;
use futures_util::StreamExt as _;

use crate::cluster::{Cluster, outcomes, page, silent, waiting};
use crate::support::login::login;
use crate::support::{Account, until, within};

/// Names and outcomes of the header, without the times.
fn header(reply: &crate::support::Reply) -> Vec<String> {
    let mut shown: Vec<String> = reply
        .header("nas-receipts")
        .split(", ")
        .map(|part| {
            let (receipt, time) = part.split_once(';').unwrap_or((part, "0ms"));
            assert!(time.strip_suffix("ms").is_some_and(|time| time.parse::<f64>().is_ok()), "{part}");
            receipt.to_owned()
        })
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn a_paused_nats_server_is_told_apart_from_those_that_have_the_change_and_gets_it_later() {
    let cluster = Cluster::three().await;
    let account = cluster.open().await;
    let (revoked, other) = (account.user(), account.user());
    let mut clients = Vec::new();
    for number in 1..=3 {
        clients.push(cluster.client(number, &other).await);
    }
    let victim = cluster.client(3, &revoked).await;
    cluster.nats[2].signal("STOP");
    let revocation = cluster.operator.sign(&account.with_revocation(cluster.next_iat(), &revoked));
    let started = Instant::now();
    let reply = cluster.primary.http.post(&waiting(&account, "1500ms"), revocation).await.expect(200);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(reply.body, "");
    assert_eq!(header(&reply), ["n1=updated", "n2=updated", "n3=silent"]);
    let found = cluster.page(&account).await;
    assert_eq!(found["complete"], false);
    assert_eq!((outcomes(&found), silent(&found)), (vec!["n1 updated".into(), "n2 updated".into()], vec!["n3"]));
    assert_eq!(victim.connection_state(), State::Connected);

    cluster.nats[2].signal("CONT");
    let found = cluster.complete(&account).await;
    assert_eq!(outcomes(&found), ["n1 updated", "n2 updated", "n3 updated"]);
    let late = found["servers"].as_array().unwrap().iter().find(|server| server["name"] == "n3").unwrap();
    assert!(late["after_ms"].as_f64().unwrap() >= 1500.0, "{found}");
    // By the answer to the announcement that it found when it went on, long after the log line about it.
    cluster.primary.logs(&format!("nats-server n3 answered change {} late: updated in", found["serial"])).await;
    until("the revoked user is cut off", || async { victim.connection_state() != State::Connected }).await;
}

#[tokio::test]
async fn a_push_returns_as_soon_as_all_nats_servers_have_answered() {
    let cluster = Cluster::three().await;
    let account = Account::new();
    // Nobody has it loaded.
    let started = Instant::now();
    let first = cluster.version(&account);
    let reply = cluster.primary.http.post(&waiting(&account, "25s"), first).await.expect(200);
    assert_eq!(header(&reply), ["n1=not_loaded", "n2=not_loaded", "n3=not_loaded"]);
    assert_eq!((&*reply.body, reply.header("cache-control")), ("", "no-store"));
    let before = cluster.page(&account).await;
    let _client = cluster.client(2, &account.user()).await;

    // A client that reads JSON is told the same in the body.
    let jwt = cluster.version(&account);
    let push = cluster.primary.http.request("POST", &waiting(&account, "25s")).header("accept", "application/json");
    let reply = push.body(jwt.clone()).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let told: serde_json::Value = reply.json().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(outcomes(&told), ["n1 not_loaded", "n2 updated", "n3 not_loaded"]);
    assert_eq!((&told["complete"], &told["account"]), (&true.into(), &account.key().into()));
    assert_eq!(told, cluster.page(&account).await);
    let ids: Vec<&str> = told["servers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.iter().all(|id| id.len() == 56 && id.starts_with('N')), "{ids:?}");
    assert!(told["announced_at"].as_i64().unwrap() >= told["committed_at"].as_i64().unwrap());
    assert_eq!(told["note"], serde_json::Value::Null);

    // The same again is no change: it is told what became of it when it was one.
    let reply = cluster.primary.http.post(&waiting(&account, "25s"), jwt).await.expect(200);
    assert_eq!(header(&reply), ["n1=not_loaded", "n2=updated", "n3=not_loaded"]);

    // The earlier one is kept, too.
    let earlier = format!("{}?serial={}", page(&account), before["serial"]);
    let found = cluster.primary.http.get(&earlier).await.expect(200).json();
    assert_eq!(
        (outcomes(&found), &found["iat"]),
        (vec!["n1 not_loaded".into(), "n2 not_loaded".into(), "n3 not_loaded".into()], &before["iat"])
    );
    assert_eq!(found["note"], format!("a later change of the account has taken its place: serial {}", told["serial"]));
}

#[tokio::test]
async fn many_wait_at_the_same_time_and_none_for_another() {
    let cluster = Cluster::three().await;
    cluster.nats[2].signal("STOP");
    let (stuck, http) = (Account::new(), cluster.primary.http.clone());
    let push = (waiting(&stuck, "20s"), cluster.version(&stuck));
    let stuck = tokio::spawn(async move { http.post(&push.0, push.1).await });
    let started = Instant::now();
    let accounts: Vec<Account> = (0..20).map(|_| Account::new()).collect();
    let pushes = accounts.iter().map(|account| async {
        let reply = cluster.primary.http.post(&waiting(account, "500ms"), cluster.version(account)).await.expect(200);
        assert_eq!(header(&reply), ["n1=not_loaded", "n2=not_loaded", "n3=silent"]);
    });
    futures_util::future::join_all(pushes).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!stuck.is_finished());
    // Its silence ends, and so does the wait.
    cluster.nats[2].signal("CONT");
    let reply = within("the answer", stuck).await.unwrap().expect(200);
    assert_eq!(header(&reply), ["n1=not_loaded", "n2=not_loaded", "n3=not_loaded"]);
}

#[tokio::test]
async fn a_nats_server_that_stops_is_not_waited_for() {
    let cluster = Cluster::three().await;
    cluster.nats[2].signal("TERM");
    cluster.knows(2).await;
    let account = Account::new();
    let reply = cluster.primary.http.post(&waiting(&account, "25s"), cluster.version(&account)).await.expect(200);
    assert_eq!(header(&reply), ["n1=not_loaded", "n2=not_loaded"]);
    // One that is killed says nothing, and so is waited for.
    cluster.nats[1].signal("KILL");
    let reply = cluster.primary.http.post(&waiting(&account, "500ms"), cluster.version(&account)).await.expect(200);
    assert_eq!(header(&reply), ["n1=not_loaded", "n2=silent"]);
}

#[tokio::test]
async fn what_is_announced_again_has_one_receipt_of_each_nats_server() {
    let cluster = Cluster::three().await;
    let account = cluster.open().await;
    let before = cluster.complete(&account).await;
    let announced = cluster.primary.http.metric("announced_total", "").await;
    // What was sent lately on a connection that breaks is compared, and announced again only where it is missing.
    cluster.wire.cut();
    cluster.connected(0.0).await;
    cluster.wire.heal();
    cluster.connected(1.0).await;
    cluster.complete(&account).await;
    assert_eq!(cluster.primary.http.metric("announced_total", "").await, announced);
    let notify = format!("{}?notify=true", account.path());
    cluster.primary.http.get(&notify).await.expect(200);
    until("all have answered again", || async {
        cluster.primary.http.metric("announce_replies_total", "").await >= 3.0 * (announced + 1.0)
    })
    .await;
    assert_eq!(outcomes(&cluster.complete(&account).await), outcomes(&before));
}

#[tokio::test]
async fn a_nats_server_that_was_cut_off_is_told_when_it_is_back() {
    let (cluster, link) = Cluster::with_leafnodes().await;
    let leaf = cluster.leafnode("leaf", &link, |launch| launch.asks(&cluster.primary.url)).await;
    cluster.knows(2).await;
    let account = cluster.open().await;
    let user = account.user();
    let victim = login(leaf.address(), &user).await.unwrap();
    link.cut();
    cluster.leafnode_is_away().await;
    let revocation = cluster.operator.sign(&account.with_revocation(cluster.next_iat(), &user));
    let reply = cluster.primary.http.post(&waiting(&account, "200ms"), revocation).await.expect(200);
    assert_eq!(header(&reply), ["leaf=silent", "n1=not_loaded"]);
    assert!(victim.is_up());
    link.heal();
    assert_eq!(outcomes(&cluster.complete(&account).await), ["leaf updated", "n1 not_loaded"]);
    until("the revoked user is cut off", || async { !victim.is_up() }).await;
    cluster.primary.logs("nats-server leaf does not run the current JWT of").await;
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_reason_and_a_strange_name_does_no_harm() {
    let cluster = Cluster::one().await;
    let system = cluster.system_client().await;
    let mut heard = system.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE").await.unwrap();
    system.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let answer = serde_json::json!({
                "server": { "name": "a=updated;1ms, b\r\nx: y", "id": "NX" },
                "error": { "code": 500, "description": "no room" },
            });
            system.publish(message.reply.unwrap(), answer.to_string().into()).await.unwrap();
        }
    });
    let account = cluster.open().await;
    until("both have answered", || async { outcomes(&cluster.page(&account).await).len() == 2 }).await;
    let found = cluster.page(&account).await;
    let refused = found["servers"].as_array().unwrap().iter().find(|server| server["outcome"] == "error").unwrap();
    assert_eq!((&refused["error"], &refused["id"]), (&"no room".into(), &"NX".into()));
    let jwt = cluster.primary.http.get(&account.path()).await.expect(200).body;
    let reply = cluster.primary.http.post(&waiting(&account, "0s"), jwt).await.expect(200);
    assert_eq!(header(&reply), ["a%3Dupdated%3B1ms%2C%20b%0D%0Ax%3A%20y=error", "n1=not_loaded"]);
}
