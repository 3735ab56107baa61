//! Waiting.

use super::*;

fn announcement(serial: u64) -> Announcement {
    Announcement { serial, key: AccountKey::from_raw([1; 32]), iat: 1, identity: [2; 32], committed_at: 3 }
}

fn server(id: &str) -> Server {
    Server { id: id.into(), name: id.into(), cluster: String::new(), host: String::new() }
}

/// Runs `settled` beside what shall end it.
async fn settles(receipts: &Receipts, serial: u64, then: impl FnOnce()) {
    let events = async {
        // The other one waits by now.
        while receipts.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        then();
    };
    let both = async { tokio::join!(receipts.settled(serial), events) };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("it ends");
    assert!(receipts.lock().waiting.is_empty());
}

#[tokio::test]
async fn who_waits_is_told_when_the_last_server_has_answered() {
    let receipts = Receipts::default();
    for id in ["A", "B"] {
        receipts.heard(server(id), Instant::now());
    }
    settles(&receipts, 7, || {
        receipts.announced(announcement(7));
        receipts.answered(7, server("A"), Outcome::Updated, None);
        assert!(matches!(receipts.progress(7), Progress::Announced(delivery) if !delivery.complete));
        receipts.answered(7, server("B"), Outcome::Skipped, None);
    })
    .await;
    assert!(matches!(receipts.progress(7), Progress::Announced(delivery) if delivery.complete));
}

#[tokio::test]
async fn who_waits_is_told_when_the_last_silent_server_stops() {
    let receipts = Receipts::default();
    for id in ["A", "B"] {
        receipts.heard(server(id), Instant::now());
    }
    receipts.announced(announcement(7));
    receipts.answered(7, server("A"), Outcome::Updated, None);
    settles(&receipts, 7, || receipts.gone("B")).await;
}

#[tokio::test]
async fn who_waits_right_after_the_connection_is_made_waits_until_all_servers_are_known() {
    let receipts = Receipts::default();
    let started = Instant::now();
    receipts.called(true);
    settles(&receipts, 7, || {
        receipts.announced(announcement(7));
        receipts.answered(7, server("A"), Outcome::Updated, None);
    })
    .await;
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn who_waits_for_what_is_never_announced_is_told() {
    let receipts = Receipts::default();
    assert!(matches!(receipts.progress(7), Progress::Pending));
    settles(&receipts, 7, || receipts.passed(8)).await;
    assert!(matches!(receipts.progress(7), Progress::Passed));
    settles(&receipts, 9, || {
        receipts.announced(announcement(9));
        receipts.unsent(9, "it is too large");
    })
    .await;
    settles(&receipts, 10, || receipts.switch_off()).await;
    assert!(matches!(receipts.progress(10), Progress::Off));
}

#[tokio::test]
async fn who_gives_up_leaves_nothing_behind() {
    let receipts = Receipts::default();
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(1), receipts.settled(7)).await.is_err());
        assert!(receipts.lock().waiting.is_empty());
    }
}
