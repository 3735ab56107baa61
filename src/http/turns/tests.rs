use proptest::prelude::*;

use super::*;

fn client(last: u8, is_proven: bool) -> Client {
    Client { address: IpAddr::from([10, 0, 0, last]), is_proven }
}

fn turns(most: usize, each: usize) -> Turns {
    with_spare(most, each, 0)
}

fn with_spare(most: usize, each: usize, spare: usize) -> Turns {
    let bounds = Bounds { most, spare, each, waiting_each: 4, waiting: 10, patience: Duration::from_secs(5), rate: 10 };
    Turns::new(bounds, IntCounter::new("cut", "Cut off").expect("a counter"))
}

/// Begins to wait for a turn with so many units.
async fn waits(turns: &Turns, client: Client, units: usize) -> tokio::task::JoinHandle<Result<Turn, Crowded>> {
    let taking = turns.clone();
    let task = tokio::spawn(async move { taking.take(client, units).await });
    tokio::task::yield_now().await;
    task
}

async fn has_turn(task: &tokio::task::JoinHandle<Result<Turn, Crowded>>) -> bool {
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    task.is_finished()
}

#[tokio::test(start_paused = true)]
async fn the_proven_come_first_and_then_the_client_that_has_least() {
    let turns = turns(2, 2);
    let held = [turns.take(client(1, false), 1).await.unwrap(), turns.take(client(2, false), 1).await.unwrap()];
    let more = waits(&turns, client(1, false), 1).await;
    let other = waits(&turns, client(3, false), 1).await;
    let proven = waits(&turns, client(1, true), 1).await;
    let [first, second] = held;
    drop(second);
    assert!(has_turn(&proven).await && !has_turn(&other).await);
    drop(first);
    assert!(has_turn(&other).await && !has_turn(&more).await);
    drop(proven.await.unwrap());
    assert!(has_turn(&more).await);
}

#[tokio::test(start_paused = true)]
async fn one_address_has_no_more_than_its_share_and_leaves_the_rest_to_others() {
    let turns = turns(10, 4);
    let _held = turns.take(client(1, true), 4).await.unwrap();
    let more = waits(&turns, client(1, true), 1).await;
    let other = waits(&turns, client(2, false), 4).await;
    assert!(!has_turn(&more).await && has_turn(&other).await);
    let waiting = [waits(&turns, client(1, true), 1).await, waits(&turns, client(1, true), 1).await];
    let _third = waits(&turns, client(1, true), 1).await;
    assert_eq!(turns.take(client(1, true), 1).await.unwrap_err(), Crowded);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_too_slow_loses_its_turn_only_while_others_wait() {
    let turns = turns(20, 20);
    let slow = turns.take(client(1, true), 10).await.unwrap();
    slow.hold(Bytes::from_static(b"0123456789"));
    let slower = turns.take(client(2, true), 10).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!slow.lost().is_cancelled() && !slower.lost().is_cancelled());
    slower.renew();
    let next = turns.take(client(3, false), 10).await.unwrap();
    assert!(slow.lost().is_cancelled() && !slower.lost().is_cancelled());
    assert_eq!((slow.chunk(), turns.used()), (Chunk::Lost, 20));
    drop(slow);
    assert_eq!(turns.used(), 20);
    drop(next);
    assert_eq!(turns.used(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_turn_counts_what_it_holds_and_gives_it_out_in_chunks() {
    let turns = turns(100_000, 100_000);
    let turn = turns.take(client(1, true), 1_000).await.unwrap();
    turn.hold(Bytes::from(vec![7; 40_000]));
    assert_eq!(turns.used(), 40_000);
    let mut lengths = Vec::new();
    while let Chunk::Next(bytes) = turn.chunk() {
        lengths.push(bytes.len());
    }
    assert_eq!(lengths, [CHUNK, CHUNK, 40_000 - 2 * CHUNK]);
    assert_eq!(turn.chunk(), Chunk::End);
    drop(turn);
    assert_eq!(turns.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_has_nothing_need_not_wait_for_those_that_have_much() {
    let turns = with_spare(4, 4, 2);
    let held = turns.take(client(1, true), 4).await.unwrap();
    let more = waits(&turns, client(1, true), 2).await;
    let other = turns.take(client(2, false), 1).await.unwrap();
    let second = waits(&turns, client(2, false), 1).await;
    assert!(!has_turn(&more).await && !has_turn(&second).await);
    // However many come and go there, what is spare is no part of what the first waits for.
    drop(held);
    assert!(has_turn(&more).await);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let turns = turns(1, 1);
    let held = turns.take(client(1, true), 1).await.unwrap();
    let waiting = waits(&turns, client(2, true), 1).await;
    waiting.abort();
    let _ = waiting.await;
    drop(held);
    assert_eq!(turns.used(), 0);
    drop(turns.take(client(3, false), 1).await.unwrap());
    assert!(turns.state().by_address.is_empty() && turns.state().waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_a_bound_has_its_turn_alone() {
    let turns = turns(10, 5);
    let small = turns.take(client(1, true), 1).await.unwrap();
    let large = waits(&turns, client(2, true), 50).await;
    let behind = waits(&turns, client(3, true), 1).await;
    assert!(!has_turn(&large).await && !has_turn(&behind).await, "nobody overtakes it for ever");
    drop(small);
    assert!(has_turn(&large).await && !has_turn(&behind).await);
    drop(large.await.unwrap());
    assert!(has_turn(&behind).await);
}

proptest! {
    /// Whatever comes and goes: the bounds hold, and in the end nothing is in use.
    #[test]
    fn the_bounds_hold(steps in prop::collection::vec((0u8..5, 1usize..6, any::<bool>()), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let turns = with_spare(12, 6, 6);
            let mut tasks = Vec::new();
            for (address, units, gives_up) in steps {
                tasks.push(waits(&turns, client(address, gives_up), units).await);
                if gives_up && let Some(task) = (!tasks.is_empty()).then(|| tasks.swap_remove(0)) {
                    task.abort();
                    drop(task.await);
                }
                let state = turns.state();
                prop_assert!(state.used[0] <= 12 && state.used[1] <= 6);
                prop_assert!(state.by_address.values().all(|units| *units <= 6));
                prop_assert_eq!(state.used.iter().sum::<usize>(), state.held.values().map(|held| held.units).sum::<usize>());
                prop_assert_eq!(state.used.iter().sum::<usize>(), state.by_address.values().sum::<usize>());
            }
            for task in tasks {
                task.abort();
                drop(task.await);
            }
            prop_assert_eq!(turns.used(), 0);
            Ok(())
        })?;
    }
}
