//! A replica whose clock is not that of its upstream says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, until};

const METRIC: &str = "nats_account_server_replica_clock_difference_seconds ";

/// Answers 404, as of `behind` seconds ago.
fn dated(behind: u64, age: bool) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |_| {
        let then = SystemTime::now() - Duration::from_secs(behind);
        let then = then.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(then));
        let answer = Answer::new(404, "no\n").header("date", &date);
        if age { answer.header("age", &behind.to_string()) } else { answer }
    }
}

async fn difference(replica: &Server) -> Option<f64> {
    let text = replica.http.get("/metrics").await.expect(200).body;
    text.lines().find_map(|line| line.strip_prefix(METRIC)?.parse().ok())
}

#[tokio::test]
async fn a_clock_that_is_far_from_upstreams_is_said_and_so_is_its_end() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(dated(62, true)).await;
    let replica = Launch::replica(&operator, &primary.url).start().await;
    let asks = || async { replica.http.get(&Account::new().path()).await.expect(404) };
    // A copy out of a cache says nothing of the clock there.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(1_800) {
        asks().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(difference(&replica).await, None);
    primary.now_answers(dated(62, false));
    until("the difference is said", || async {
        asks().await;
        replica.log().contains("[WRN] the clock of this server is 62 s ahead of that of")
    })
    .await;
    let known = difference(&replica).await.unwrap();
    assert!((60.0..64.0).contains(&known), "{known}");
    let ready = replica.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("[+] clock: the clock of this server is 6"), "{ready}");
    primary.now_answers(dated(0, false));
    until("it is over", || async {
        asks().await;
        replica.log().contains("agrees with that of")
    })
    .await;
    assert!(!replica.http.get("/readyz?verbose").await.expect(200).body.contains("] clock"));
    assert!(difference(&replica).await.unwrap().abs() < 3.0);
    assert_eq!(replica.log().matches("the clock of this server is").count(), 1);
}

#[tokio::test]
async fn the_clock_of_a_primary_is_known_without_anybody_asking_for_accounts() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    until("the difference is known", || async { difference(&replica).await.is_some() }).await;
    assert!(difference(&replica).await.unwrap().abs() < 3.0);
    assert!(!replica.log().contains("the clock of this server is"));
}
