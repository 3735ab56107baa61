//! A strict operator over its whole life, with a cache and a mirror, with an operator of their own and without.

use super::{World, answers, in_force, reload};
use crate::support::{Launch, Proxy, until};

#[tokio::test]
async fn a_strict_operator_adds_rotates_and_removes_keys_and_every_server_follows() {
    let world = World::new();
    let primary = world.primary().await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = |name: &str, mode: &str| {
        Launch::default().flag("-primary", proxy.url()).env("NAS_REPLICA__MODE", mode).dir(&world.folder(name))
    };
    let first = std::fs::read_to_string(world.file()).unwrap();
    let mut replicas = Vec::new();
    for (name, mode, own) in
        [("cache", "cache", true), ("mirror", "mirror", true), ("pinned", "cache", false), ("bare", "mirror", false)]
    {
        let launch = replica(name, mode);
        replicas.push(if own { launch.flag("-operator", &first) } else { launch }.start().await);
    }
    for replica in &replicas {
        replica.follows().await;
        in_force(replica, &first).await;
    }
    let by_first = world.put(&primary, 0).await;
    for replica in &replicas {
        answers(replica, &by_first, 200).await;
    }
    // Added by the first key, rotated by the second, and the first removes itself.
    let steps = [world.by_key(0, &[0, 1], 900), world.by_key(1, &[0, 1, 2], 800), world.by_key(0, &[1, 2], 700)];
    for jwt in &steps {
        world.configure(jwt);
        reload(&primary).await;
        for server in replicas.iter().chain([&primary]) {
            in_force(server, jwt).await;
        }
    }
    let by_new = world.put(&primary, 2).await;
    for server in replicas.iter().chain([&primary]) {
        answers(server, &by_first, 404).await;
        answers(server, &by_new, 200).await;
        assert_eq!(server.http.metric("operator_chain_links", "").await, 4.0);
    }
    // All of them start again with what they have: the primary with its newest file, the replicas with their first one.
    let mut restarted = Vec::new();
    for replica in replicas {
        restarted.push(replica.stop_and_start().await);
    }
    let primary = primary.stop_and_start().await;
    proxy.lead_to(primary.host());
    for server in restarted.iter().chain([&primary]) {
        in_force(server, &steps[2]).await;
        answers(server, &by_first, 404).await;
    }
    for replica in &restarted[..2] {
        replica.logs("the configured operator JWT is not used; the one in the store stays in force").await;
    }
    // One that begins with the newest file has no links before it, and goes on from there.
    let late = Launch::default().flag("-primary", proxy.url()).flag("-operator", &steps[2]).start().await;
    late.follows().await;
    late.logs("cannot be checked at a first start").await;
    let next = world.by_key(2, &[2], 600);
    world.configure(&next);
    reload(&primary).await;
    in_force(&late, &next).await;
    assert_eq!(late.http.metric("replica_operator_unconnected", "").await, 0.0);
    answers(&late, &by_new, 200).await;
}

#[tokio::test]
async fn a_mirror_that_is_promoted_takes_the_chain_along() {
    let world = World::new();
    let first = std::fs::read_to_string(world.file()).unwrap();
    let primary = world.primary().await;
    let mut mirror = Launch::default()
        .flag("-primary", &primary.url)
        .flag("-operator", &first)
        .env("NAS_REPLICA__MODE", "mirror")
        .dir(&world.folder("mirror"))
        .start()
        .await;
    mirror.follows().await;
    let newest = world.by_key(0, &[1], 900);
    world.configure(&newest);
    reload(&primary).await;
    let account = world.put(&primary, 1).await;
    in_force(&mirror, &newest).await;
    answers(&mirror, &account, 200).await;
    drop(primary);
    mirror.signal("TERM");
    assert!(mirror.exit().await.success());
    // The mirror's own file is the first one still.
    let folder = world.folder("mirror");
    let args = super::on(&folder, &["-operator", &first, "promote"]);
    crate::support::command::run(args).await.expect(0);
    let promoted = Launch::default().flag("-operator", &first).dir(&folder).start().await;
    in_force(&promoted, &newest).await;
    answers(&promoted, &account, 200).await;
    let page = promoted.http.get("/jwt/v1/operator?chain=true").await.expect(200).json();
    assert_eq!(page["links"], serde_json::json!([first, newest]));
}

#[tokio::test]
async fn a_long_chain_asks_for_the_identity_key() {
    let world = World::new();
    let primary = world.primary().await;
    for link in 2..=33 {
        world.configure(world.by_key(0, &[0], 2_000 - link));
        reload(&primary).await;
        if link == 24 {
            primary.logs("24 operator JWTs in a row are in force, and 32 is the limit").await;
        }
    }
    assert_eq!(primary.http.metric("operator_chain_links", "").await, 32.0);
    let ready = super::report(&primary).await;
    assert!(ready.contains("32 of at most 32 links") && ready.contains("that is the limit"), "{ready}");
    world.configure(world.by_identity(&[0], 10));
    reload(&primary).await;
    until("the chain is short", || async { primary.http.metric("operator_chain_links", "").await == 1.0 }).await;
}
