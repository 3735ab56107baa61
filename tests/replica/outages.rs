//! The primary is gone, silent, or broken: a replica answers what it knows, in time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::known;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, until};

/// nats-server waits so long for its URL resolver, and does not ask twice.
const NATS_SERVER_WAITS: Duration = Duration::from_millis(1_900);

/// More than a replica asks its primary for at the same time.
const KNOWN: usize = 150;

struct Pair {
    operator: Operator,
    primary: Server,
    proxy: Proxy,
    replica: Server,
    known: Vec<(Account, String)>,
}

impl Pair {
    async fn new() -> Self {
        let operator = Operator::new();
        let primary = Server::primary(&operator).await;
        let proxy = Proxy::to(primary.host()).await;
        let replica = Launch::replica(&operator, &proxy.url()).env("NAS_REPLICA__TTL", "1s").start().await;
        replica.follows().await;
        let known = known(&operator, &primary, &replica, KNOWN).await;
        Self { operator, primary, proxy, replica, known }
    }

    /// Asks for everything until answers are given that the primary did not confirm, and then once more.
    async fn answers_all_it_knows(&self) {
        until("stale answers are given", || async {
            let stale = self.replica.http.metric("replica_stale_total", "").await;
            join_all(self.known.iter().map(|(account, jwt)| async move {
                let asked = Instant::now();
                let reply = self.replica.http.get(&account.path()).await.expect(200);
                assert_eq!(reply.body, *jwt);
                assert!(asked.elapsed() < NATS_SERVER_WAITS, "answered after {:?}", asked.elapsed());
            }))
            .await;
            stale > 0.0
        })
        .await;
        self.replica.http.get("/readyz").await.expect(200);
    }

    /// What cannot be known is said to be unknown for now, also in time, however many ask.
    async fn says_in_time_what_it_cannot_know(&self) {
        let asked = Instant::now();
        let strangers: Vec<Account> = (0..KNOWN).map(|_| Account::new()).collect();
        for reply in
            join_all(strangers.iter().map(|account| async { self.replica.http.get(&account.path()).await })).await
        {
            let reply = reply.expect(503);
            assert!(
                reply.body.starts_with("error loading JWT\n") && reply.body.contains(&self.proxy.url()),
                "{}",
                reply.body
            );
            assert_eq!(reply.header("retry-after"), "1");
        }
        assert!(asked.elapsed() < NATS_SERVER_WAITS, "answered after {:?}", asked.elapsed());
    }

    /// The primary can be reached again, and all is as before.
    async fn recovers(&self) {
        self.replica.follows().await;
        let account = Account::new();
        let jwt = self.operator.account(&account, 10);
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        until("the replica pulls again", || async { self.replica.http.get(&account.path()).await.body == jwt }).await;
    }
}

#[tokio::test]
async fn a_killed_primary() {
    let mut pair = Pair::new().await;
    pair.primary.kill();
    pair.answers_all_it_knows().await;
    pair.says_in_time_what_it_cannot_know().await;
}

#[tokio::test]
async fn a_black_hole_in_front_of_the_primary() {
    let pair = Pair::new().await;
    pair.proxy.black_hole();
    pair.answers_all_it_knows().await;
    pair.says_in_time_what_it_cannot_know().await;
    until("the silence is noticed", || async { pair.replica.http.metric("replica_feed_connected", "").await == 0.0 })
        .await;
    pair.answers_all_it_knows().await;
    pair.proxy.heal();
    pair.recovers().await;
}

#[tokio::test]
async fn a_primary_that_answers_500() {
    let pair = Pair::new().await;
    let broken = FakePrimary::new(|_| Answer::new(500, "boom\n")).await;
    pair.proxy.lead_to(broken.url.trim_start_matches("http://"));
    pair.answers_all_it_knows().await;
    pair.says_in_time_what_it_cannot_know().await;
    pair.proxy.lead_to(pair.primary.host());
    pair.recovers().await;
}

#[tokio::test]
async fn a_primary_that_answers_too_late() {
    let pair = Pair::new().await;
    let slow = FakePrimary::new(|_| Answer::new(404, "no\n").after(Duration::from_secs(5))).await;
    pair.proxy.lead_to(slow.url.trim_start_matches("http://"));
    pair.answers_all_it_knows().await;
    pair.says_in_time_what_it_cannot_know().await;
}
