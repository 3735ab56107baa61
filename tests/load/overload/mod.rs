//! Clients that ask for more than there is, and others that have to be served all the same.

mod crowd;
mod keys;
mod limits;
mod logins;
use std::time::Duration;

use crate::support::{Account, Http, Launch, Operator, Proxy, Server, until};

/// How far the primary is.
const FAR: Duration = Duration::from_millis(100);

/// A primary with accounts, and a replica that has served none of them, on the other side of a long way.
struct Distance {
    operator: Operator,
    primary: Server,
    proxy: Proxy,
    replica: Server,
    accounts: Vec<Account>,
}

impl Distance {
    async fn with(accounts: usize, launch: impl FnOnce(Launch) -> Launch) -> Self {
        let operator = Operator::new();
        let primary = Server::primary(&operator).await;
        let accounts: Vec<_> = (0..accounts).map(|_| Account::new()).collect();
        for account in &accounts {
            primary.http.post(&account.path(), operator.account(account, 10)).await.expect(200);
        }
        let proxy = Proxy::to(primary.url.trim_start_matches("http://")).await;
        // The machine may have more to do than these servers.
        let patient = Launch::replica(&operator, &proxy.url()).env("NAS_REPLICA__TIMEOUT", "1400ms");
        let replica = launch(patient).start().await;
        follows(&replica).await;
        proxy.far(FAR);
        Self { operator, primary, proxy, replica, accounts }
    }
}

/// Waits until a replica follows the feed and knows all keys.
async fn follows(replica: &Server) {
    replica.logs_times("in sync with ", 1).await;
    replica.follows().await;
}

/// A path that leads to no account.
fn random() -> String {
    Account::new().path()
}

/// What was asked of upstream so far.
async fn asked(http: &Http) -> f64 {
    http.metric("replica_fetches_total", "").await
}
