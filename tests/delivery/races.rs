//! No fault at all: a nats-server is fetching an account while a change of it is announced. It answers that it has not
//! loaded the account, and then loads what it was fetching.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, NEWEST, or_newest};
use crate::support::login::{Session, login};
use crate::support::mint::User;
use crate::support::{Account, NatsLaunch, Proxy, Server, until};

/// The promise: so long after the change was acknowledged it is in force.
const PROMISED: Duration = Duration::from_secs(5);

/// A nats-server whose answers from its resolver can be kept waiting.
struct Race {
    cluster: Cluster,
    resolver: Proxy,
}

/// A user who was let in by the JWT that revokes nobody, after the one that revokes the user was announced.
struct LetIn {
    account: Account,
    user: User,
    jwt: String,
    session: Session,
    revoked: Instant,
}

impl Race {
    async fn new(version: &str) -> Self {
        let resolver = Proxy::to_nowhere().await;
        let slow = |launch: NatsLaunch, primary: &Server| {
            resolver.lead_to(primary.host());
            // A large account takes longer than clients have by default.
            launch.asks(&resolver.url()).with("authorization { timeout: 10 }")
        };
        let cluster = Cluster::with(&[version], |launch| launch, slow).await;
        Self { cluster, resolver }
    }

    /// Brings the race about: the nats-server gets the older JWT as soon as it has answered. On a busy machine it may give
    /// up its fetch: then another account races.
    async fn run(&self) -> LetIn {
        self.run_with(0, Duration::ZERO).await
    }

    /// The same with an account of so many exports, and a nats-server that gets the older JWT at the end of a time.
    async fn run_with(&self, exports: usize, fetch: Duration) -> LetIn {
        let export = |number| json!({ "name": number, "subject": format!("export.{number}"), "type": "stream" });
        let exports: Vec<Value> = (0..exports).map(|number| export(number.to_string())).collect();
        for _ in 0..5 {
            let account = Account::new();
            let user = account.user();
            let push = async |mut claims: Value| {
                claims["nats"]["exports"] = exports.clone().into();
                let jwt = self.cluster.operator.sign(&claims);
                self.cluster.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
                (jwt, Instant::now())
            };
            push(account.claims(self.cluster.next_iat())).await;
            self.cluster.all_is_announced().await;
            let skipped = self.skipped().await;
            self.resolver.hold();
            let (address, logs_in) = (self.cluster.nats[0].address(), async {
                self.resolver.holds().await;
                let fetching = Instant::now();
                let (jwt, revoked) = push(account.with_revocation(self.cluster.next_iat(), &user)).await;
                until("the nats-server has answered", || async { self.skipped().await > skipped }).await;
                tokio::time::sleep(fetch.saturating_sub(fetching.elapsed())).await;
                self.resolver.heal();
                (jwt, revoked)
            });
            let (session, (jwt, revoked)) = tokio::join!(login(address, &user), logs_in);
            if let Ok(session) = session {
                return LetIn { account, user, jwt, session, revoked };
            }
        }
        panic!("the nats-server gave up each of its fetches");
    }

    async fn skipped(&self) -> f64 {
        self.cluster.primary.http.metric("announce_replies_total", "result=\"not_loaded\"").await
    }
}

#[tokio::test]
async fn a_change_during_a_fetch_is_in_force_within_five_seconds() {
    let race = Race::new(NEWEST).await;
    let LetIn { account, user, jwt, session, revoked } = race.run().await;
    race.cluster.ends_before_complete(&session, "n1", &account, &jwt).await;
    let said = session.ends_in(PROMISED, revoked).await;
    assert!(said.contains("Revoked"), "{said}");
    assert!(login(race.cluster.nats[0].address(), &user).await.is_err(), "the revoked user is let in again");
    until("the repair is counted", || async {
        race.cluster.primary.http.metric("repairs_total", "outcome=\"announced\"").await >= 1.0
    })
    .await;
}

#[tokio::test]
async fn a_page_that_compares_does_not_call_it_complete_either() {
    let race = Race::new("2.12.8").await;
    let LetIn { account, session, revoked, .. } = race.run().await;
    loop {
        // The end of the connection may still be on its way to us.
        if race.cluster.page(&account).await["complete"] == true {
            session.ends_in(Duration::from_millis(300), Instant::now()).await;
            break;
        }
        assert!(revoked.elapsed() < PROMISED, "it is not in force");
    }
}

#[tokio::test]
async fn a_large_account_that_takes_a_nats_server_long_to_load_is_waited_for() {
    let race = Race::new(NEWEST).await;
    // It validates them for about two seconds after it has fetched them, which it just managed to.
    let LetIn { account, jwt, session, revoked, .. } = race.run_with(1_700, Duration::from_millis(1_750)).await;
    race.cluster.ends_before_complete(&session, "n1", &account, &jwt).await;
    // What it takes for that is the nats-server's own.
    session.ends_in(PROMISED * 3, revoked).await;
}

#[tokio::test]
async fn the_oldest_release_is_repaired_as_well() {
    let race = Race::new(or_newest("2.9.10")).await;
    let LetIn { session, revoked, .. } = race.run().await;
    session.ends_in(PROMISED, revoked).await;
}
