//! Primary and replica, and everything that can go wrong between them.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod comparisons;
mod floods;
mod followers;
mod follows;
mod hints;
mod liars;
mod mirrors;
mod modes;
mod moves;
mod old_followers;
mod old_primaries;
mod outages;
mod positions;
mod pulls;
mod reads;
mod restarts;
mod strangers;
mod tiers;
mod tls;
mod upstreams;
mod versions;
mod warm;
mod writes;

use support::{Account, Operator, Server, until};

/// Accounts with their JWTs, held by the primary and known to the replica.
async fn known(operator: &Operator, primary: &Server, replica: &Server, count: usize) -> Vec<(Account, String)> {
    let mut known = Vec::new();
    for _ in 0..count {
        let account = Account::new();
        let jwt = operator.account(&account, 1_000);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        // A mirror knows of it once the feed has brought it.
        until("it is known", || async { replica.http.get(&account.path()).await.body == jwt }).await;
        known.push((account, jwt));
    }
    known
}

/// How often the replica has asked its primary for a JWT.
async fn fetches(replica: &Server) -> f64 {
    replica.http.metric("replica_fetches_total", "").await
}
