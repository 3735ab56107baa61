//! A follower that leaves one server for another goes on where it was, and compares nothing: the log of a mirror is that of its
//! primary.

use std::path::Path;

use futures_util::StreamExt as _;

use crate::fetches;
use crate::support::feed::page;
use crate::support::{Account, Launch, Operator, Proxy, Server, until};

/// More changes than a server has in memory.
const MANY: usize = 4_200;

/// A primary with two mirrors. No other server asks the second mirror but the follower of the test.
struct Fleet {
    operator: Operator,
    primary: Server,
    mirrors: [Server; 2],
    way: Proxy,
    _dir: tempfile::TempDir,
}

impl Fleet {
    async fn new() -> Self {
        let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
        let primary = Server::primary_in(&operator, &dir.path().join("primary")).await;
        let mirror = |name: &str| {
            let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror");
            launch.dir(&dir.path().join(name)).start()
        };
        let mirrors = [mirror("first").await, mirror("second").await];
        for mirror in &mirrors {
            mirror.follows().await;
        }
        let way = Proxy::to(mirrors[0].host()).await;
        Self { operator, primary, mirrors, way, _dir: dir }
    }

    fn follower(&self, mode: &str, dir: &Path) -> Launch {
        Launch::replica(&self.operator, &self.way.url()).env("NAS_REPLICA__MODE", mode).dir(dir)
    }

    async fn push(&self, account: &Account, age: i64) -> String {
        let jwt = self.operator.account(account, age);
        self.primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        jwt
    }

    /// Waits until a server has all changes of the primary.
    async fn has_all(&self, server: &Server) {
        let wanted = page(&self.primary.http, "").await;
        until("all changes have come", || async {
            let page = page(&server.http, "").await;
            (page.serial, &page.session, &page.chain) == (wanted.serial, &wanted.session, &wanted.chain)
        })
        .await;
    }
}

async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("it is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

/// How often a server was asked about digests.
async fn compared_at(server: &Server) -> f64 {
    server.http.metric("http_requests_total", "route=\"digests\"").await
}

/// How often a replica compared itself with its upstream.
fn comparisons(replica: &Server) -> usize {
    replica.log().matches("in sync with").count()
}

/// The changes after a serial, as a server passes them on: serial, chain value and operation.
async fn changes(server: &Server, after: u64) -> Vec<(u64, String, String)> {
    let (mut all, mut serial) = (Vec::new(), after);
    loop {
        let page = page(&server.http, &format!("?after={serial}")).await;
        if page.changes.is_empty() {
            return all;
        }
        serial = page.serial;
        all.extend(page.changes.into_iter().map(|item| (item.serial, item.chain, item.op)));
    }
}

#[tokio::test]
async fn a_follower_goes_from_mirror_to_mirror_to_the_primary_and_back_without_a_comparison() {
    for mode in ["cache", "mirror"] {
        let (fleet, dir) = (Fleet::new().await, tempfile::tempdir().unwrap());
        let begin = page(&fleet.primary.http, "").await.serial;
        let follower = fleet.follower(mode, dir.path()).start().await;
        follower.follows().await;
        until("it is compared", || async { comparisons(&follower) == 1 }).await;
        let account = Account::new();
        serves(&follower, &account, &fleet.push(&account, 900).await).await;
        let asked = fetches(&follower).await;
        let [first, second] = &fleet.mirrors;
        for (age, server) in [(800, second), (700, &fleet.primary), (600, first), (500, second)] {
            let before = compared_at(server).await;
            // Something happens while it is on its way.
            fleet.way.cut();
            let other = Account::new();
            let (newer, missed) = (fleet.push(&account, age).await, fleet.push(&other, age).await);
            fleet.has_all(server).await;
            fleet.way.lead_to(server.host());
            follower.follows().await;
            fleet.has_all(&follower).await;
            assert_eq!(follower.http.get(&account.path()).await.expect(200).body, newer, "{mode}");
            assert_eq!(follower.http.get(&other.path()).await.expect(200).body, missed, "{mode}");
            serves(&follower, &account, &fleet.push(&account, age - 50).await).await;
            assert_eq!(compared_at(server).await, before, "{mode}: it compared");
        }
        assert_eq!((comparisons(&follower), fetches(&follower).await), (1, asked), "{mode}: {}", follower.log());
        assert!(!follower.log().contains("has another history"), "{}", follower.log());
        // All have the same log.
        let wanted = changes(&fleet.primary, begin).await;
        assert_eq!(wanted.len(), 13);
        for server in fleet.mirrors.iter().chain([&follower]) {
            fleet.has_all(server).await;
            assert_eq!(changes(server, begin).await, wanted, "{mode}");
        }
    }
}

#[tokio::test]
async fn a_follower_that_was_away_for_long_reads_what_it_missed_from_the_disk_of_another_mirror() {
    let (fleet, dir) = (Fleet::new().await, tempfile::tempdir().unwrap());
    let [_, second] = &fleet.mirrors;
    let follower = fleet.follower("mirror", dir.path()).start().await;
    follower.follows().await;
    until("it is compared", || async { comparisons(&follower) == 1 }).await;
    let account = Account::new();
    serves(&follower, &account, &fleet.push(&account, 900).await).await;
    fleet.has_all(&follower).await;
    let begin = page(&follower.http, "").await.serial;
    let mut follower = follower;
    follower.signal("TERM");
    assert!(follower.exit().await.success());

    let accounts: Vec<_> = (0..MANY).map(|_| Account::new()).collect();
    let pushes = accounts.iter().map(|account| fleet.push(account, 10));
    let jwts: Vec<_> = futures_util::stream::iter(pushes).buffered(16).collect().await;
    fleet.has_all(second).await;
    let before = compared_at(second).await;
    fleet.way.lead_to(second.host());
    let follower = follower.restart().await;
    follower.follows().await;
    fleet.has_all(&follower).await;
    assert_eq!((comparisons(&follower), compared_at(second).await), (0, before), "{}", follower.log());
    assert!(!follower.log().contains("has another history"), "{}", follower.log());
    for (account, jwt) in accounts.iter().zip(&jwts).step_by(97) {
        assert_eq!(follower.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(fetches(&follower).await, 0.0, "nothing was asked for one by one");
    let wanted = changes(&fleet.primary, begin).await;
    assert_eq!(wanted.len(), MANY);
    assert!(changes(&follower, begin).await == wanted && changes(second, begin).await == wanted);
}
