//! `operator trust`, and what a restored backup makes of the operator.

use super::{World, answers, in_force, on, reload, report, until};
use crate::support::command::run;
use crate::support::{Launch, Operator};

#[tokio::test]
async fn a_jwt_that_nobody_can_check_is_trusted_by_hand_and_proves_nothing_to_others() {
    let world = World::new();
    let mut primary = world.primary().await;
    let launch = Launch::default()
        .flag("-primary", &primary.url)
        .flag("-operator", std::fs::read_to_string(world.file()).unwrap());
    let replica = launch.clone().start().await;
    let mirror = launch.env("NAS_REPLICA__MODE", "mirror").start().await;
    for replica in [&replica, &mirror] {
        replica.follows().await;
    }
    let first = std::fs::read_to_string(world.file()).unwrap();
    let account = world.put(&primary, 0).await;
    // Links that are missing are between the two.
    let lost = world.by_key(2, &[2], 600);
    let file = world.folder("lost.jwt");
    std::fs::write(&file, &lost).unwrap();
    let (folder, file) = (world.folder("primary"), file.to_str().unwrap().to_owned());
    let trust =
        |file: &str| run(on(&folder, &["operator", "trust", file]).iter().map(ToString::to_string).collect::<Vec<_>>());
    let busy = trust(&file).await.expect(1);
    assert!(busy.stderr.contains("in use"), "{}", busy.stderr);
    primary.signal("TERM");
    assert!(primary.exit().await.success());
    let stranger = world.folder("stranger.jwt");
    std::fs::write(&stranger, Operator::new().jwt()).unwrap();
    let refused = trust(stranger.to_str().unwrap()).await.expect(1);
    assert!(refused.stderr.contains("belongs to the operator"), "{}", refused.stderr);
    let trusted = trust(&file).await.expect(0);
    assert!(trusted.stdout.contains("1 accounts are withheld by that"), "{}", trusted.stdout);

    world.configure(&lost);
    let primary = world.launch("primary").at(primary.host()).start_unready().await;
    in_force(&primary, &lost).await;
    answers(&primary, &account, 404).await;
    let ready = report(&primary).await;
    assert!(ready.contains("was trusted by hand") && !ready.contains("is not in force"), "{ready}");
    let page = primary.http.get("/jwt/v1/operator?chain=true").await.expect(200).json();
    assert_eq!(page["origin"], "trusted");
    // The replica decides for itself.
    replica.logs("cannot be connected with the one in force here").await;
    in_force(&replica, &first).await;
    let unseen = world.put(&primary, 2).await;
    for replica in [&replica, &mirror] {
        let rejected = || replica.http.metric("refused_total", "path=\"feed\",reason=\"untrusted\"");
        until("the replica rejects it", || async { rejected().await > 0.0 }).await;
    }
    assert_eq!(replica.http.metric("replica_operator_unconnected", "").await, 1.0);
    let ready = report(&replica).await;
    assert!(ready.contains("cannot be connected with it"), "{ready}");
    // What the identity key signs connects both again.
    let signed = world.by_identity(&[0, 2], 5);
    primary.http.post("/jwt/v1/operator", signed.clone()).await.expect(200);
    in_force(&replica, &signed).await;
    until("the replica is connected", || async {
        replica.http.metric("replica_operator_unconnected", "").await == 0.0
    })
    .await;
    // The feed does not repeat what was rejected, and nobody asks for it.
    replica.logs("because not every key that it has is known here").await;
    until("the mirror has it", || async { mirror.http.get("/jwt/v1/pack").await.body.contains(&unseen.key()) }).await;
}

#[tokio::test]
async fn a_replica_is_told_by_hand_as_well() {
    let world = World::new();
    let primary = world.primary().await;
    let mut replica = Launch::default()
        .flag("-primary", &primary.url)
        .flag("-operator", world.by_identity(&[0], 5_000))
        .dir(&world.folder("replica"))
        .start()
        .await;
    replica.follows().await;
    replica.signal("TERM");
    assert!(replica.exit().await.success());
    let file = world.folder("older.jwt");
    let older = world.by_identity(&[1], 9_000);
    std::fs::write(&file, &older).unwrap();
    let folder = world.folder("replica");
    run(on(&folder, &["operator", "trust", file.to_str().unwrap()])).await.expect(0);
    let replica =
        Launch::default().flag("-primary", "http://127.0.0.1:9").dir(&world.folder("replica")).start_unready().await;
    in_force(&replica, &older).await;
}

#[tokio::test]
async fn a_restored_backup_brings_no_withdrawn_key_back() {
    let world = World::new();
    let mut primary = world.primary().await;
    let account = world.put(&primary, 0).await;
    let (folder, backup) = (world.folder("primary"), world.folder("backup"));
    run(on(&folder, &["backup", backup.to_str().unwrap()])).await.expect(0);
    let newest = [world.by_key(0, &[0, 1], 900), world.by_key(1, &[1], 800)];
    for jwt in &newest {
        world.configure(jwt);
        reload(&primary).await;
    }
    in_force(&primary, &newest[1]).await;
    primary.signal("TERM");
    assert!(primary.exit().await.success());
    let restored = run(on(&folder, &["restore", backup.to_str().unwrap()])).await.expect(0);
    assert!(restored.stdout.contains("the operator JWT of the former state stays in force"), "{}", restored.stdout);
    world.configure(world.by_identity(&[0], 5_000));
    let primary = world.launch("primary").start_unready().await;
    in_force(&primary, &newest[1]).await;
    answers(&primary, &account, 404).await;
}
