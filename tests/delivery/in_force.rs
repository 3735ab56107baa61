//! A change is complete only when connected clients feel it.

use std::sync::atomic::Ordering;

use async_nats::connection::State;
use serde_json::{Value, json};

use crate::cluster::{Cluster, waiting};
use crate::support::{Account, until};

/// A release that does not tell connected clients of changed default permissions, and one that does.
const RELEASES: [&str; 2] = ["2.12.8", "2.15.1"];

/// What is known of the nats-server with this name.
fn told<'v>(page: &'v Value, name: &str) -> &'v Value {
    page["servers"].as_array().unwrap().iter().find(|server| server["name"] == name).unwrap_or(&Value::Null)
}

/// A version of an account whose users may publish on less than before.
fn narrowed(cluster: &Cluster, account: &Account) -> String {
    let mut claims = account.claims(cluster.next_iat());
    claims["nats"]["default_permissions"]["pub"] = json!({ "allow": ["only.this"] });
    cluster.operator.sign(&claims)
}

#[tokio::test]
async fn a_claim_that_connected_clients_do_not_feel_is_complete_when_they_have_connected_again() {
    let cluster = Cluster::with(&RELEASES, |launch| launch, |launch, primary| launch.asks(&primary.url)).await;
    let account = cluster.open().await;
    let user = account.user();
    let old = cluster.client(1, &user).await;
    let _other = cluster.client(2, &user).await;
    let path = format!("{}&require=all", waiting(&account, "1500ms"));
    let reply = cluster.primary.http.post(&path, narrowed(&cluster, &account)).await.expect(504);
    let found = &reply.json()["propagation"];
    assert_eq!((&found["complete"], &told(found, "n1")["connections_left"]), (&false.into(), &1.into()), "{found}");
    assert_eq!(told(found, "n1")["not_live"], json!(["default_permissions"]));
    assert_eq!((&told(found, "n2")["connections_left"], &told(found, "n2")["not_live"]), (&0.into(), &Value::Null));
    let fleet = cluster.primary.http.get("/api/v1/servers").await.expect(200).json();
    assert_eq!((&fleet["servers"][0]["state"], &fleet["servers"][0]["accounts_behind"]), (&"behind".into(), &1.into()));

    drop(old);
    let _new = cluster.client(1, &user).await;
    let found = cluster.complete(&account).await;
    assert_eq!((&told(&found, "n1")["connections_left"], &told(&found, "n1")["not_live"]), (&0.into(), &Value::Null));
}

#[tokio::test]
async fn connections_that_go_on_as_before_are_closed_if_that_is_wanted() {
    let kick = |launch: crate::support::Launch| launch.env("NAS_NATS__KICK", "true");
    let cluster = Cluster::with(&RELEASES[..1], kick, |launch, primary| launch.asks(&primary.url)).await;
    let account = cluster.open().await;
    let client = cluster.client(1, &account.user()).await;
    cluster.primary.http.post(&account.path(), narrowed(&cluster, &account)).await.expect(200);
    until("the client has connected again", || async { client.statistics().connects.load(Ordering::Relaxed) == 2 })
        .await;
    cluster.complete(&account).await;
    // A nats-server may list a connection for a moment after it was told to close it.
    assert!(cluster.primary.http.metric("connections_kicked_total", "").await >= 1.0);
    assert_eq!(client.statistics().connects.load(Ordering::Relaxed), 2);
    cluster.primary.logs("closed 1 connections of").await;
}

#[tokio::test]
async fn a_revocation_is_complete_with_no_connection_left_on_any_release() {
    let cluster = Cluster::three().await;
    let account = cluster.open().await;
    let (revoked, other) = (account.user(), account.user());
    let mut victims = Vec::new();
    let mut others = Vec::new();
    for number in 1..=3 {
        victims.push(cluster.client(number, &revoked).await);
        others.push(cluster.client(number, &other).await);
    }
    let revocation = cluster.operator.sign(&account.with_revocation(cluster.next_iat(), &revoked));
    let path = format!("{}&require=all", waiting(&account, "10s"));
    cluster.primary.http.post(&path, revocation).await.expect(200);
    let found = cluster.page(&account).await;
    for name in ["n1", "n2", "n3"] {
        assert_eq!(told(&found, name)["connections_left"], 0, "{found}");
    }
    for victim in &victims {
        until("the revoked user is cut off", || async { victim.connection_state() != State::Connected }).await;
    }
    assert!(others.iter().all(|other| other.connection_state() == State::Connected));
}

#[tokio::test]
async fn the_time_until_a_change_is_in_force_is_measured_by_what_it_does() {
    let cluster = Cluster::one().await;
    let (account, http) = (cluster.open().await, &cluster.primary.http);
    let count = async |name: &str, change: &str| {
        http.metric(&format!("{name}_duration_seconds_count"), &format!("change=\"{change}\"")).await
    };
    until("the account is in force", || async { count("in_force", "other").await >= 1.0 }).await;
    assert_eq!(count("in_force", "revocation").await, 0.0);
    cluster.revoke(&account, &account.user()).await;
    until("the revocation is in force", || async { count("in_force", "revocation").await == 1.0 }).await;
    assert_eq!(count("in_force_nats", "revocation").await, 1.0);
    let text = http.get("/metrics").await.body;
    for change in ["revocation", "deletion", "other"] {
        let line = format!("in_force_overdue{{change=\"{change}\"}} 0");
        assert!(text.contains(&line), "{text}");
    }
    let request = cluster.operator.delete_request(&[&account], 0);
    http.delete(&format!("{}&require=all", waiting(&account, "10s")), request).await.expect(200);
    until("the deletion is in force", || async { count("in_force", "deletion").await == 1.0 }).await;
}

#[tokio::test]
async fn a_revocation_that_waits_for_nats_is_overdue_also_if_a_later_change_takes_its_place() {
    let cluster = Cluster::one().await;
    let (account, http) = (cluster.open().await, &cluster.primary.http);
    // The system account's, too.
    until("both accounts are in force", || async {
        http.metric("in_force_duration_seconds_count", "change=\"other\"").await == 2.0
    })
    .await;
    cluster.wire.cut();
    cluster.connected(0.0).await;
    cluster.revoke(&account, &account.user()).await;
    // The later one revokes nothing more, and is not older than ten seconds when the revocation is.
    let overdue = async |change: &str| http.metric("in_force_overdue", &format!("change=\"{change}\"")).await;
    until("it is overdue", || async { overdue("revocation").await == 1.0 }).await;
    http.post(&account.path(), cluster.version(&account)).await.expect(200);
    assert_eq!((overdue("revocation").await, overdue("other").await), (1.0, 0.0));
    cluster.wire.heal();
    until("it is in force", || async { overdue("revocation").await == 0.0 }).await;
    assert_eq!(http.metric("in_force_duration_seconds_count", "change=\"revocation\"").await, 1.0);
    assert!(http.metric("in_force_duration_seconds_sum", "change=\"revocation\"").await > 10.0);
}
