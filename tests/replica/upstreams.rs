//! A replica with several servers to ask: one fails, comes back, or hosts somebody else's accounts.

use std::time::{Duration, Instant};

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, until};
use crate::{fetches, known};

/// Less than a nats-server waits for its answer.
const IN_TIME: Duration = Duration::from_millis(1_600);

/// Two primaries, each behind a proxy, with the same accounts.
struct Two {
    operator: Operator,
    primaries: [Server; 2],
    ways: [Proxy; 2],
}

impl Two {
    async fn new() -> Self {
        let operator = Operator::new();
        let primaries = [Server::primary(&operator).await, Server::primary(&operator).await];
        let ways = [Proxy::to(primaries[0].host()).await, Proxy::to(primaries[1].host()).await];
        Self { operator, primaries, ways }
    }

    fn launch(&self) -> Launch {
        // It asks for what clients ask for, so that requests can be counted.
        Launch::replica(&self.operator, &list(&self.ways.each_ref().map(Proxy::url))).env("NAS_REPLICA__WARM", "false")
    }

    /// A replica that follows the first.
    async fn replica(&self) -> Server {
        let replica = self.launch().start().await;
        replica.follows().await;
        assert!(asks(&replica, &self.ways[0].url()).await);
        replica
    }

    /// An account that both have, and that the replica has not been asked for yet.
    async fn account(&self) -> (Account, String) {
        let account = Account::new();
        let jwt = self.operator.account(&account, 1_000);
        for primary in &self.primaries {
            primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        }
        (account, jwt)
    }
}

fn list(urls: &[String]) -> String {
    urls.join(",")
}

/// Whether everything goes to the server at `url`.
async fn asks(replica: &Server, url: &str) -> bool {
    replica.http.metric("replica_upstream", &format!("url=\"{url}\"")).await == 1.0
}

async fn follows(replica: &Server, url: &str) {
    until(&format!("the replica follows {url}"), || async {
        asks(replica, url).await && replica.http.metric("replica_feed_connected", "").await == 1.0
    })
    .await;
}

/// Pulls an account, and says how long that took.
async fn pulls(replica: &Server, (account, jwt): &(Account, String)) -> Duration {
    let began = Instant::now();
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    began.elapsed()
}

/// A change at `primary` arrives at the replica without being asked for.
async fn hears(two: &Two, primary: usize, replica: &Server, account: &Account, age: i64) {
    let newer = two.operator.account(account, age);
    two.primaries[primary].http.post(&account.path(), newer.clone()).await.expect(200);
    let asked = fetches(replica).await;
    until("the change arrives", || async { replica.http.get(&account.path()).await.body == newer }).await;
    assert!(fetches(replica).await <= asked + 1.0);
}

#[tokio::test]
async fn everything_goes_to_the_second_while_the_first_is_down_and_back_afterwards() {
    let two = Two::new().await;
    let urls = two.ways.each_ref().map(Proxy::url);
    // What is pushed while the replica follows comes with the feed.
    let (held, cold) = (two.account().await, [two.account().await, two.account().await]);
    let replica = two.replica().await;
    pulls(&replica, &held).await;
    let asked_second =
        two.primaries[1].http.metric("http_requests_total", "code=\"200\",method=\"GET\",route=\"account\"").await;

    two.ways[0].cut();
    for account in &cold {
        let took = pulls(&replica, account).await;
        assert!(took < IN_TIME, "{took:?}");
    }
    follows(&replica, &urls[1]).await;
    hears(&two, 1, &replica, &held.0, 500).await;
    assert_eq!(replica.http.metric("replica_failovers_total", "").await, 1.0);
    let ready = replica.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains(&urls[1]) && !ready.contains(&urls[0]), "{ready}");
    let refused = replica.http.post(&held.0.path(), held.1.clone()).await.expect(405);
    assert!(refused.body.contains(&urls[1]), "{}", refused.body);
    let asked =
        two.primaries[1].http.metric("http_requests_total", "code=\"200\",method=\"GET\",route=\"account\"").await;
    assert!(asked >= asked_second + 2.0);

    two.ways[0].heal();
    follows(&replica, &urls[0]).await;
    hears(&two, 0, &replica, &held.0, 400).await;
    assert_eq!(replica.http.metric("replica_failovers_total", "").await, 2.0);
    assert!(replica.log().contains("it is well again, and preferred"));
}

#[tokio::test]
async fn a_black_hole_before_the_first_delays_nobody_for_long() {
    let two = Two::new().await;
    let (replica, second) = (two.replica().await, two.ways[1].url());
    let cold = two.account().await;
    two.ways[0].black_hole();
    let began = Instant::now();
    let took = pulls(&replica, &cold).await;
    assert!(took < IN_TIME, "{took:?}");
    // Three that it is too slow for are enough.
    until("the second is asked", || async {
        let asked = Instant::now();
        replica.http.get(&Account::new().path()).await.expect(404);
        assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
        asks(&replica, &second).await
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(4), "the feed takes five seconds to notice");
    follows(&replica, &second).await;
}

#[tokio::test]
async fn a_first_that_answers_nonsense_is_gone_round() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    for status in [500, 503, 401, 302] {
        let broken = FakePrimary::new(move |_| Answer::new(status, "boom\n")).await;
        let replica = Launch::replica(&operator, &list(&[broken.url.clone(), primary.url.clone()])).start().await;
        let account = Account::new();
        let jwt = operator.account(&account, 100);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        let took = pulls(&replica, &(account, jwt)).await;
        assert!(took < IN_TIME, "{status}: {took:?}");
        follows(&replica, &primary.url).await;
        replica.http.get(&Account::new().path()).await.expect(404);
    }
}

#[tokio::test]
async fn a_first_of_another_operator_is_put_aside_until_it_is_of_ours() {
    let two = Two::new().await;
    let stranger = Server::primary(&Operator::new()).await;
    two.ways[0].lead_to(stranger.host());
    let urls = two.ways.each_ref().map(Proxy::url);
    let account = two.account().await;
    let replica = two.launch().start_unready().await;
    // The stranger does not know it, which is no answer.
    pulls(&replica, &account).await;
    follows(&replica, &urls[1]).await;
    replica.logs("is put aside").await;
    assert_eq!(replica.http.metric("replica_foreign_upstreams_total", "").await, 1.0);
    assert_eq!(replica.http.metric("refused_total", "").await, 0.0);
    two.ways[0].lead_to(two.primaries[0].host());
    follows(&replica, &urls[0]).await;
}

#[tokio::test]
async fn with_all_of_another_operator_nothing_is_said_to_be_unknown() {
    let operator = Operator::new();
    let strangers = [Server::primary(&Operator::new()).await, Server::primary(&Operator::new()).await];
    let urls = strangers.each_ref().map(|stranger| stranger.url.clone());
    let replica = Launch::replica(&operator, &list(&urls)).start_unready().await;
    for _ in 0..2 {
        let reply = replica.http.get(&Account::new().path()).await.expect(503);
        assert!(reply.body.contains("its operator is O"), "{}", reply.body);
    }
}

#[tokio::test]
async fn with_both_down_what_is_held_is_served() {
    let two = Two::new().await;
    let replica = two.launch().env("NAS_REPLICA__TTL", "100ms").start().await;
    replica.follows().await;
    let known = known(&two.operator, &two.primaries[0], &replica, 3).await;
    for way in &two.ways {
        way.cut();
    }
    until("stale answers are given", || async {
        for held in &known {
            let took = pulls(&replica, held).await;
            assert!(took < IN_TIME, "{took:?}");
        }
        replica.http.metric("replica_stale_total", "").await > 0.0
    })
    .await;
    let began = Instant::now();
    replica.http.get(&Account::new().path()).await.expect(503);
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    // Whoever comes back first is asked.
    two.ways[1].heal();
    follows(&replica, &two.ways[1].url()).await;
    let cold = two.account().await;
    pulls(&replica, &cold).await;
}

#[tokio::test]
async fn a_change_is_sent_on_to_the_one_that_is_asked_now() {
    let two = Two::new().await;
    let replica = two.launch().env("NAS_REPLICA__WRITES", "forward").start().await;
    replica.follows().await;
    let (first, second) = (Account::new(), Account::new());
    replica.http.post(&first.path(), two.operator.account(&first, 10)).await.expect(200);
    two.primaries[0].http.get(&first.path()).await.expect(200);
    two.ways[0].cut();
    follows(&replica, &two.ways[1].url()).await;
    replica.http.post(&second.path(), two.operator.account(&second, 10)).await.expect(200);
    two.primaries[0].http.get(&second.path()).await.expect(404);
    two.primaries[1].http.get(&second.path()).await.expect(200);
}
