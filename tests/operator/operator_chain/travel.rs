//! What other servers of this program send and get: those that know no chain, and those that have one and cannot connect it.

use nats_account_server::feed::wire::{Item, Page};
use nats_account_server::feed::{Chain, Head, Operation, Session};
use sha2::{Digest as _, Sha256};

use super::{World, in_force, report};
use crate::support::{Answer, FakePrimary};
use crate::support::{Launch, until};

/// The feed of a primary that stands at its first change, and sends another one: the operator's JWT.
fn feed(operator: &str, jwt: &str, links: &[&str]) -> String {
    let session = Session([7; 16]);
    let chain = Chain::default();
    let hello = Page::new(Head { session, serial: 0, chain }, 1, Vec::new());
    let item = Item {
        serial: 1,
        chain: chain.next(1, Operation::Put, &Sha256::digest(jwt).into()).to_string(),
        at: 0,
        kind: "operator".into(),
        op: "put".into(),
        key: Some(operator.into()),
        jwt: Some(jwt.into()),
        keys: Vec::new(),
        request: None,
        digest: None,
        identity: None,
        links: links.iter().map(ToString::to_string).collect(),
    };
    let json = |value: serde_json::Result<String>| value.unwrap();
    format!(
        "event: hello\ndata: {}\n\nevent: change\nid: 1\ndata: {}\n\n",
        json(serde_json::to_string(&hello)),
        json(serde_json::to_string(&item))
    )
}

/// A primary that shows `shown` as its operator JWT, and knows no chain.
async fn old_primary(feed: String, shown: String) -> FakePrimary {
    FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") => Answer::stream(feed.clone()),
        path if path.starts_with("/jwt/v1/operator") => Answer::new(200, shown.clone()),
        _ => Answer::new(404, ""),
    })
    .await
}

#[tokio::test]
async fn a_primary_that_knows_no_chain_is_followed() {
    let world = World::new();
    let first = world.by_identity(&[0], 5_000);
    for (what, next) in [("the identity key's", world.by_identity(&[1], 100)), ("a key's", world.by_key(0, &[1], 100))]
    {
        let feed = feed(&world.operator.key(), &next, &[]);
        let primary = old_primary(feed, first.clone()).await;
        let configured = Launch::default().flag("-primary", &primary.url).flag("-operator", &first).start().await;
        let pinned = Launch::default().flag("-primary", &primary.url).start().await;
        for replica in [&configured, &pinned] {
            in_force(replica, &next).await;
            assert_eq!(replica.http.metric("replica_operator_unconnected", "").await, 0.0, "{what}");
        }
    }
}

#[tokio::test]
async fn links_that_were_missed_come_with_the_last_and_what_does_not_connect_changes_nothing() {
    let world = World::new();
    let links = [
        world.by_identity(&[0], 5_000),
        world.by_key(0, &[0, 1], 900),
        world.by_key(1, &[1, 2], 800),
        world.by_key(2, &[2, 3], 700),
    ];
    let texts: Vec<_> = links.iter().map(String::as_str).collect();
    let fork = world.by_key(0, &[0, 3], 850);
    for (own, sent, expected) in
        [(&links[0], &texts[..], &links[3]), (&links[1], &texts[..], &links[3]), (&fork, &texts[..], &fork)]
    {
        let primary = old_primary(feed(&world.operator.key(), &links[3], sent), links[3].clone()).await;
        let replica = Launch::default().flag("-primary", &primary.url).flag("-operator", own).start().await;
        if expected == own {
            replica.logs("cannot be connected with the one in force here").await;
            let ready = report(&replica).await;
            assert!(ready.contains("cannot be connected with it"), "{ready}");
        }
        in_force(&replica, expected).await;
        let unconnected = f64::from(u8::from(expected == own));
        until("the metric says so", || async {
            replica.http.metric("replica_operator_unconnected", "").await == unconnected
        })
        .await;
    }
}

#[tokio::test]
async fn a_follower_waits_for_a_link_that_its_clock_does_not_allow() {
    let world = World::new();
    let first = world.by_identity(&[0], 5_000);
    let ahead = world.by_key(0, &[1], -4);
    let primary = old_primary(feed(&world.operator.key(), &ahead, &[&first, &ahead]), ahead.clone()).await;
    let replica = Launch::default()
        .flag("-primary", &primary.url)
        .flag("-operator", &first)
        .env("NAS_STORE__MAX_IAT_AHEAD", "1s")
        .start()
        .await;
    replica.logs("dated too far in the future").await;
    assert_eq!(replica.http.get("/jwt/v1/operator").await.body, first);
    until("the clock allows it", || async { replica.http.get("/jwt/v1/operator").await.body == ahead }).await;
    // What the identity key signed is not judged by the clock.
    let withdrawal = world.by_identity(&[2], -86_400);
    let primary = old_primary(feed(&world.operator.key(), &withdrawal, &[&withdrawal]), first.clone()).await;
    let replica = Launch::default().flag("-primary", &primary.url).flag("-operator", &first).start().await;
    in_force(&replica, &withdrawal).await;
}
