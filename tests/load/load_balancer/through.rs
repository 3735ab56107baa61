//! What only the primary has, asked for through the load balancer.

use crate::support::command::run;
use crate::support::haproxy::HaProxy;
use crate::support::{Account, Launch, Operator, Server, until};

/// How often accounts were asked for at a server.
async fn asked(server: &Server) -> f64 {
    server.http.metric("http_requests_total", "route=\"account\"").await
}

#[tokio::test]
async fn an_import_and_a_follower_through_haproxy_get_everything_from_the_primary() {
    let Some(ports) = HaProxy::or_skip() else { return };
    let operator = Operator::new();
    let primary = Launch::primary(&operator).at(&ports.primary).start().await;
    let replica = |at: &str| Launch::replica(&operator, &primary.url).at(at).start();
    let replicas = [replica(&ports.replicas[0]).await, replica(&ports.replicas[1]).await];
    let balancer = HaProxy::start(&ports).await;
    let accounts: Vec<Account> = (0..30).map(|_| Account::new()).collect();
    let jwts: Vec<String> = accounts.iter().map(|account| operator.account(account, 1000)).collect();
    for (account, jwt) in accounts.iter().zip(&jwts) {
        balancer.http.post(&account.path(), jwt.clone()).await.expect(200);
    }
    let first = accounts[0].path();
    let of_accounts = [format!("{first}/history"), format!("{first}/propagation")];
    let of_all = ["/jwt/v1/pack", "/jwt/v1/keys", "/jwt/v1/digests", "/jwt/v1/followers", "/jwt/v1/changes?after=0"];
    for path in of_all.into_iter().chain(of_accounts.iter().map(String::as_str)) {
        let from = balancer.http.get(path).await.expect(200).header("nas-server").to_owned();
        assert_eq!(from, primary.http.get("/livez").await.header("nas-server"), "{path}");
    }

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let ran = run(["-dir", dir, "-operator", &operator.jwt(), "import", balancer.url()]).await.expect(0);
    assert!(ran.stdout.contains("30"), "{}", ran.stdout);

    // A follower's questions go where the answers are, and not to replicas that may have to ask themselves.
    let before = (asked(&replicas[0]).await, asked(&replicas[1]).await);
    for (age, mode) in [(500, "cache"), (400, "mirror")] {
        let launch = Launch::replica(&operator, balancer.url()).env("NAS_REPLICA__MODE", mode);
        let follower = launch.start().await;
        follower.follows().await;
        for (account, jwt) in accounts.iter().zip(&jwts).skip(1) {
            until("the mirror is full", || async { follower.http.get(&account.path()).await.body == *jwt }).await;
        }
        follower.http.get(&Account::new().path()).await.expect(404);
        let newer = operator.account(&accounts[0], age);
        balancer.http.post(&first, newer.clone()).await.expect(200);
        until("the change arrives", || async { follower.http.get(&first).await.body == newer }).await;
        assert!(!follower.log().contains("[WRN]"), "{}", follower.log());
        until("the primary knows the follower", || async {
            primary.http.get("/jwt/v1/followers").await.expect(200).json()["in_sync"].as_u64() >= Some(3)
        })
        .await;
    }
    assert_eq!((asked(&replicas[0]).await, asked(&replicas[1]).await), before);
}
