//! A primary that is lost or set back, and what its replicas do for it: the commands of `docs/runbook.md`, as people call
//! them.
mod handed_back;
mod incomplete;
mod runbook;

use std::path::{Path, PathBuf};

use crate::support::{Account, Launch, Operator, Server, until};
use serde_json::Value;

fn mirror(operator: &Operator, primary: &str, dir: &Path) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__MODE", "mirror").dir(dir)
}

async fn push(server: &Server, account: &Account, jwt: &str) {
    server.http.post(&account.path(), jwt.to_owned()).await.expect(200);
}

async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("the JWT is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

/// Stops a server gently.
async fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.exit().await.success());
}

/// Waits until a replica has compared what it holds, so many times since its start.
async fn compared(replica: &Server, times: usize) {
    replica.logs_times("in sync with ", times).await;
    replica.follows().await;
}

/// How often a replica has asked for a JWT.
async fn fetches(replica: &Server) -> f64 {
    replica.http.metric("replica_fetches_total", "").await
}

async fn ahead(replica: &Server) -> f64 {
    replica.http.metric("replica_ahead_accounts", "").await
}

/// The root of a server's digest tree.
async fn root(server: &Server) -> String {
    let page: Value = serde_json::from_str(&server.http.get("/jwt/v1/digests").await.expect(200).body).unwrap();
    page["sum"].as_str().unwrap().to_owned()
}

fn state(dir: &Path, file: &str) -> PathBuf {
    dir.join(".nats-account-server").join(file)
}

/// The arguments of a command on a folder.
fn on<'a>(dir: &'a Path, operator: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["-dir", dir.to_str().unwrap(), "-operator", operator], rest].concat()
}
