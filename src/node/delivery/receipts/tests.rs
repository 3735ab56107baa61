//! Waiting.

use super::*;
use crate::node::delivery::compared::Match;

fn announcement(serial: u64) -> Announcement {
    Announcement { serial, key: AccountKey::from_raw([1; 32]), iat: 1, identity: [2; 32], has_older: false, bytes: 700 }
}

fn server(id: &str) -> Server {
    let none = String::new;
    Server { id: id.into(), name: id.into(), cluster: none(), host: none(), version: none() }
}

fn compare(receipts: &Receipts, serial: u64, id: &str, found: Match) {
    let compared =
        Compared { serial, found, asked: Instant::now(), at: 5, connections_left: None, lagging: Vec::new() };
    receipts.compared(&Arc::new(server(id)), AccountKey::from_raw([1; 32]), compared, None);
}

/// Runs `settled` next to what shall end it.
async fn settles(receipts: &Receipts, serial: u64, then: impl FnOnce()) {
    let events = async {
        // The other one waits by now.
        while receipts.state.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        then();
    };
    let both = async { tokio::join!(receipts.settled(serial, true), events) };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("it ends");
    assert!(receipts.state.lock().waiting.is_empty());
}

fn is_proven(receipts: &Receipts, serial: u64) -> bool {
    matches!(receipts.progress(serial), DeliveryProgress::Announced(delivery) if delivery.is_proven)
}

#[tokio::test]
async fn a_wait_ends_when_the_last_server_is_proven_to_run_the_change() {
    let receipts = Receipts::default();
    for id in ["A", "B"] {
        receipts.heard(server(id), 1);
    }
    settles(&receipts, 7, || {
        receipts.announced(announcement(7));
        receipts.answered(7, server("A"), Outcome::Updated, None);
        compare(&receipts, 7, "A", Match::Current);
        assert!(!is_proven(&receipts, 7));
        compare(&receipts, 7, "B", Match::NotLoaded);
    })
    .await;
    assert!(is_proven(&receipts, 7));
}

#[tokio::test]
async fn a_wait_ends_when_the_last_server_has_answered_if_nothing_is_compared() {
    let receipts = Receipts::default();
    receipts.heard(server("A"), 1);
    receipts.announced(announcement(7));
    receipts.answered(7, server("A"), Outcome::Updated, None);
    tokio::time::timeout(Duration::from_secs(10), receipts.settled(7, false)).await.expect("it ends");
    assert!(!is_proven(&receipts, 7));
}

#[tokio::test]
async fn a_wait_ends_when_the_last_silent_server_stops() {
    let receipts = Receipts::default();
    for id in ["A", "B"] {
        receipts.heard(server(id), 1);
    }
    receipts.announced(announcement(7));
    compare(&receipts, 7, "A", Match::Current);
    settles(&receipts, 7, || receipts.stopped("B")).await;
}

#[tokio::test]
async fn a_wait_right_after_the_connection_is_made_lasts_until_all_servers_are_known() {
    let receipts = Receipts::default();
    let started = Instant::now();
    receipts.called(1, true);
    receipts.heard(server("A"), 1);
    settles(&receipts, 7, || {
        receipts.announced(announcement(7));
        compare(&receipts, 7, "A", Match::Current);
    })
    .await;
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_wait_for_what_is_never_announced_ends() {
    let receipts = Receipts::default();
    assert!(matches!(receipts.progress(7), DeliveryProgress::Pending));
    settles(&receipts, 7, || receipts.passed(8)).await;
    assert!(matches!(receipts.progress(7), DeliveryProgress::Passed));
    settles(&receipts, 9, || {
        receipts.announced(announcement(9));
        receipts.unsent(9, "it is too large");
    })
    .await;
    settles(&receipts, 10, || receipts.switch_off()).await;
    assert!(matches!(receipts.progress(10), DeliveryProgress::Off));
}

#[tokio::test]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let receipts = Receipts::default();
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(1), receipts.settled(7, true)).await.is_err());
        assert!(receipts.state.lock().waiting.is_empty());
    }
}

#[test]
fn a_comparison_with_a_server_that_is_gone_is_not_noted() {
    let receipts = Receipts::default();
    receipts.announced(announcement(7));
    compare(&receipts, 7, "A", Match::Current);
    let DeliveryProgress::Announced(delivery) = receipts.progress(7) else { panic!("no receipts") };
    assert!(delivery.receipts.is_empty() && receipts.standings().is_empty());
}
