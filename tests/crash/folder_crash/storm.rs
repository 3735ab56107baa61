//! The storm itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::checker::Checker;
use super::editors::editor;
use super::posters::{deleter, passer, poster, reader};
use super::refused;
use super::world::{BUSY, World};
use crate::support::{Launch, Server};

fn rounds() -> usize {
    std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number of rounds"))
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::random_range(range))
}

/// Starts the server again, and at times kills it before it has found its feet.
async fn start_again(launch: &Launch, round: usize) -> Server {
    if round % 3 == 1 {
        let mut server = launch.clone().start_unready().await;
        sleep(millis(0..150)).await;
        server.kill();
    }
    launch.clone().start().await
}

async fn storm(world: &Arc<World>, launch: Launch) {
    let mut server = launch.clone().start().await;
    for subject in 0..BUSY {
        let jwt = world.mint(subject);
        server.http.post(&world.accounts[subject].account.path(), jwt).await.expect(200);
    }
    world.announce(Some(&server.http));
    let mut cast = JoinSet::new();
    (0..6).for_each(|_| drop(cast.spawn(poster(world.clone()))));
    (0..4).for_each(|number| drop(cast.spawn(editor(world.clone(), number))));
    (0..2).for_each(|_| drop(cast.spawn(reader(world.clone()))));
    (0..2).for_each(|_| drop(cast.spawn(passer(world.clone()))));
    cast.spawn(deleter(world.clone()));
    let mut checker = Checker::new(world);
    for round in 0..rounds() {
        // Random moments, so that each run tries others.
        sleep(millis(200..1800)).await;
        server.kill();
        world.announce(None);
        sleep(millis(0..200)).await;
        server = start_again(&launch, round).await;
        world.announce(Some(&server.http));
        checker.check(world, &server.http).await;
        while let Some(ended) = cast.try_join_next() {
            ended.expect("all who take part see what they expect");
        }
    }
    // What was written last gets its time to be judged.
    sleep(Duration::from_secs(1)).await;
    world.end();
    while let Some(ended) = cast.join_next().await {
        ended.expect("all who take part see what they expect");
    }
    checker.settle(world, &server.http).await;
    // A start finds nothing left to do.
    let changes = checker.changes();
    let server = server.restart().await;
    checker.settle(world, &server.http).await;
    assert_eq!(checker.changes(), changes);
    let ledger = world.ledger();
    println!(
        "{} rounds: {} accounts, {} requests, {} acknowledged, {:?} refused; {changes} changes; {} reads; {} texts written, {} judged, \
         {} overtaken, {} in refused/",
        rounds(),
        world.used(),
        ledger.asked.len(),
        ledger.asked.iter().filter(|asked| asked.acknowledged.is_some()).count(),
        ledger.refusals,
        ledger.read,
        ledger.written.len(),
        ledger.judged.len(),
        ledger.raced,
        refused(&world.dir).len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_torn_or_brought_back_by_kills_while_all_write() {
    let dir = tempfile::tempdir().unwrap();
    let (world, began) = (World::new(dir.path(), rounds()), Instant::now());
    // Without a history: a file that waits to be written must be known for ours all the same.
    let launch = Launch::primary(&world.operator).dir(dir.path()).env("NAS_STORE__HISTORY", "1");
    storm(&world, launch).await;
    println!("in {:.1} s", began.elapsed().as_secs_f64());
}
