//! Kills: no committed change is without a line after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::world::{World, is_committed};
use crate::support::feed::history;
use crate::support::{Account, Http, until};

/// Pushes version after version until the server is gone.
async fn pushes(http: Http, world: Arc<World>, first: i64) {
    let account = Account::new();
    for age in (0..40_000 - first).rev() {
        let Ok(reply) = http.try_post(&account.path(), world.operator.account(&account, age)).await else { return };
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

#[tokio::test]
async fn no_committed_change_is_without_a_line_after_a_kill() {
    for refuse in [false, true] {
        let world = Arc::new(World::new());
        let launch = world.launch().env("NAS_AUDIT__ON_FAILURE", if refuse { "refuse" } else { "continue" });
        let mut server = launch.start().await;
        for round in 0..4 {
            let tasks: Vec<_> =
                (0..16).map(|_| tokio::spawn(pushes(server.http.clone(), world.clone(), round))).collect();
            // A random moment, so that each run tries others.
            tokio::time::sleep(Duration::from_millis(rand::random_range(100..500))).await;
            server.kill();
            for task in tasks {
                task.await.unwrap();
            }
            server = server.restart().await;
            let last = history(&server.http).await.changes.last().unwrap().serial;
            let reached = |line: &serde_json::Value| is_committed(line) && line["serial"] == last;
            until("the last change has its line", || async { world.lines().iter().any(reached) }).await;
            let mut counts = BTreeMap::<u64, usize>::new();
            for line in world.lines().iter().filter(|line| is_committed(line)) {
                *counts.entry(line["serial"].as_u64().unwrap()).or_default() += 1;
            }
            let serials: Vec<u64> = counts.keys().copied().collect();
            assert_eq!(serials, (serials[0]..=last).collect::<Vec<_>>(), "round {round}");
            assert!(serials[0] <= 2 && last > 10, "{} to {last}", serials[0]);
            assert!(counts.values().all(|count| *count == 1), "a change has two lines in round {round}");
            world.verify(&[]).await.expect(0);
            assert_eq!(server.http.metric("audit_broken_total", "").await, 0.0);
        }
    }
}

#[tokio::test]
async fn an_incomplete_last_line_is_removed() {
    let world = World::new();
    let mut server = world.start().await;
    let account = Account::new();
    server.http.post(&account.path(), world.operator.account(&account, 50)).await.expect(200);
    world.waits_for(1, |line| line["key"] == account.key()).await;
    server.kill();
    let whole = std::fs::read_to_string(world.log()).unwrap();
    std::fs::write(world.log(), format!("{whole}{{\"seq\":99,\"prev\":\"ab")).unwrap();
    let server = server.restart().await;
    server.logs("removed the incomplete last line").await;
    assert_eq!(server.http.metric("audit_broken_total", "").await, 0.0);
    server.http.post(&account.path(), world.operator.account(&account, 40)).await.expect(200);
    world.waits_for(2, |line| line["key"] == account.key()).await;
    world.verify(&[]).await.expect(0);
}
