//! `/api/v1/servers`, and the metrics that say the same.

use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::cluster::{Cluster, NEWEST, of_server, page};
use crate::support::login::login;
use crate::support::openapi::Document;
use crate::support::{Launch, NatsLaunch, Operator, Server, until};

async fn by_state(server: &Server, state: &str) -> f64 {
    server.http.metric("nats_servers_by_state", &format!("state=\"{state}\"")).await
}

/// Milliseconds since 1970 that are not long ago.
fn is_lately(at: &Value) -> bool {
    at.as_i64().is_some_and(|at| (crate::support::now() - at / 1000).abs() < 60)
}

#[tokio::test]
async fn a_nats_server_that_runs_what_is_stored_is_in_sync() {
    let cluster = Cluster::three().await;
    let account = cluster.open().await;
    let _session = login(cluster.nats[1].address(), &account.user()).await.unwrap();
    until("all are in sync", || async { by_state(&cluster.primary, "in_sync").await == 3.0 }).await;
    let reply = cluster.primary.http.get("/api/v1/servers").await.expect(200);
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), ("application/json", "no-store"));
    let report = reply.json();
    assert_eq!((&report["compared"], &report["silent"], report.get("note")), (&true.into(), &json!([]), None));
    let servers = report["servers"].as_array().unwrap();
    for (server, (name, version)) in servers.iter().zip([("n1", "2.10.26"), ("n2", "2.12.8"), ("n3", NEWEST)]) {
        assert_eq!((&server["name"], &server["version"]), (&name.into(), &version.into()), "{server}");
        assert_eq!((&server["cluster"], server["id"].as_str().unwrap().len()), (&"test".into(), 56));
        assert_eq!((&server["state"], &server["in_sync"]), (&"in_sync".into(), &true.into()), "{server}");
        assert_eq!((&server["accounts_behind"], &server["accounts_pending"]), (&0.into(), &0.into()), "{server}");
        assert!(is_lately(&server["last_compared"]) && is_lately(&server["last_sweep"]), "{server}");
        assert_eq!(server["operator"]["current"], true, "{server}");
        for list in ["behind", "cannot_unload", "incomplete"] {
            assert_eq!(server[list], json!([]), "{server}");
        }
    }
    assert!(servers[1]["accounts_loaded"].as_u64() >= Some(1), "{report}");
    assert!(cluster.primary.http.metric("reconcile_oldest_sweep_timestamp_seconds", "").await > 0.0);
    assert_eq!(cluster.primary.http.metric("accounts_behind", "").await, 0.0);
    assert!(cluster.primary.http.metric("in_force_duration_seconds_count", "").await >= 1.0);
    // The API says the same, and in the form that it describes.
    let document = Document::of(&cluster.primary.http).await;
    document.check("/servers", &report);
    cluster.complete(&account).await;
    let shown = cluster.primary.http.get(&format!("/api/v1/accounts/{}", account.key())).await.expect(200).json();
    document.check("/accounts/{key}", &shown);
    let told = cluster.primary.http.get(&page(&account)).await.expect(200).json();
    for fact in ["account", "serial", "iat", "identity", "committed_at", "announced_at", "complete", "silent"] {
        assert_eq!(shown["delivery"][fact], told[fact], "{fact}");
    }
    assert_eq!(shown["delivery"]["servers"].as_array().unwrap().len(), 3);
    let status = cluster.primary.http.get("/api/v1/status").await.expect(200).json();
    document.check("/status", &status);
    assert_eq!(status["nats"], json!({ "configured": true, "connected": true }));
}

#[tokio::test]
async fn a_nats_server_that_rejects_a_jwt_is_behind() {
    // It was started before the operator listed another signing key.
    let (operator, key) = (Operator::new(), KeyPair::new_operator());
    let newer = operator.jwt_with_signing_key(&key);
    let setup = |launch: Launch| launch.flag("-operator", &newer);
    let asks = |launch: NatsLaunch, primary: &Server| launch.asks(&primary.url);
    let cluster = Cluster::unconnected(operator, &[NEWEST], setup, asks).await;
    cluster.wire.lead_to(cluster.nats[0].address());
    let account = cluster.open().await;
    let old = cluster.complete(&account).await;
    let session = login(cluster.nats[0].address(), &account.user()).await.unwrap();
    let jwt = sign(&account.claims(cluster.next_iat()), &key);
    cluster.primary.http.post(&account.path(), jwt).await.expect(200);
    until("it is behind", || async { cluster.standing("n1").await["state"] == "behind" }).await;
    let page = cluster.page(&account).await;
    let there = of_server(&page, "n1").unwrap();
    assert_eq!((&there["outcome"], &page["complete"]), (&"error".into(), &false.into()), "{page}");
    assert!(there["error"].as_str().unwrap().contains("account validation failed"), "{page}");
    assert_eq!(there["runs"]["identity"], old["identity"], "{page}");

    let standing = cluster.standing("n1").await;
    assert_eq!((&standing["in_sync"], &standing["accounts_behind"]), (&false.into(), &1.into()));
    let listed = &standing["behind"][0];
    assert_eq!((&listed["account"], &listed["name"]), (&account.key().into(), &"A".into()));
    assert_eq!(listed["runs"], json!({ "iat": old["iat"], "identity": old["identity"] }));
    assert_eq!(listed["should_run"], json!({ "iat": page["iat"], "identity": page["identity"] }));
    assert!(is_lately(&listed["since"]) && is_lately(&listed["last_compared"]), "{listed}");
    until("its operator JWT is known", || async { cluster.standing("n1").await["operator"]["current"] == false }).await;
    assert_eq!(by_state(&cluster.primary, "behind").await, 1.0);
    assert_eq!(cluster.primary.http.metric("accounts_behind", "server=\"n1\"").await, 1.0);
    until("it is repaired again and again", || async {
        cluster.primary.http.metric("repairs_total", "still_behind").await >= 1.0
    })
    .await;
    // One that it takes ends that.
    cluster.primary.http.post(&account.path(), cluster.version(&account)).await.expect(200);
    cluster.complete(&account).await;
    until("it is in sync", || async { cluster.standing("n1").await["state"] == "in_sync" }).await;
    assert_eq!(cluster.primary.http.metric("accounts_behind", "server=\"n1\"").await, 0.0);
    assert!(session.is_up());
}

#[tokio::test]
async fn without_permission_to_compare_nothing_is_known() {
    let operator = Operator::new();
    let deny = json!({ "deny": ["$SYS.REQ.SERVER.*.ACCOUNTZ"] });
    let creds = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(creds.path(), operator.system().user_with(deny, json!({})).creds()).unwrap();
    let setup = |launch: Launch| launch.flag("-creds", creds.path());
    let asks = |launch: NatsLaunch, primary: &Server| launch.asks(&primary.url);
    let cluster = Cluster::unconnected(operator, &[NEWEST], setup, asks).await;
    cluster.wire.lead_to(cluster.nats[0].address());
    cluster.knows(1).await;
    let account = cluster.open().await;
    let missing = "publish to $SYS.REQ.SERVER.*.ACCOUNTZ";
    cluster.primary.logs(&format!("the NATS user is not permitted to {missing}")).await;
    until("the readiness report names it", || async {
        cluster.primary.http.get("/readyz?verbose").await.body.contains(missing)
    })
    .await;
    let named = |text: &Value| text.as_str().is_some_and(|text| text.contains(missing));
    until("the page says why", || async { named(&cluster.page(&account).await["note"]) }).await;
    until("it is unknown there", || async { named(&cluster.standing("n1").await["unknown"]) }).await;
    // What it answers to announcements is all there is, and proves nothing.
    until("it has answered", || async { cluster.page(&account).await["servers"][0]["outcome"] == "not_loaded" }).await;
    assert_eq!(cluster.page(&account).await["complete"], false);
    let standing = cluster.standing("n1").await;
    assert_eq!((&standing["state"], &standing["in_sync"]), (&"unknown".into(), &Value::Null), "{standing}");
    let report = cluster.primary.http.get("/api/v1/servers").await.expect(200).json();
    assert!(report["compared"] == false && named(&report["note"]), "{report}");
    assert_eq!(by_state(&cluster.primary, "unknown").await, 1.0);
    let path = format!("{}?wait=100ms&require=all", account.path());
    cluster.primary.http.post(&path, cluster.version(&account)).await.expect(504);
}

#[tokio::test]
async fn where_nothing_is_compared_the_page_says_why() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let report = primary.http.get("/api/v1/servers").await.expect(200).json();
    assert_eq!((&report["compared"], &report["note"]), (&false.into(), &"NATS is not configured".into()));
    assert_eq!(report["servers"], json!([]));
    let replica = Server::replica(&operator, &primary.url).await;
    let reply = replica.http.get("/api/v1/servers").await.expect(404);
    assert!(reply.body.contains(&primary.url), "{}", reply.body);
}
