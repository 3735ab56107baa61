//! What the demo pushes, and how a push is timed.

use std::time::{Duration, Instant};

use super::error::DemoError;
use super::http::Reply;
use super::mint::{Named, Version};
use super::nsc;
use super::stage::Stage;

/// `app` with a limit of one connection.
pub(super) fn limit(stage: &Stage) -> Result<String, DemoError> {
    let version = Version { number: 1, connections: Some(1), ..Version::default() };
    stage.version("app-2-one-connection", &stage.cast.app, version)
}

/// `app` without that limit, and with alice revoked.
pub(super) fn revocation(stage: &Stage) -> Result<String, DemoError> {
    let version = Version { number: 2, revoked: Some(&stage.cast.alice), ..Version::default() };
    stage.version("app-3-alice-revoked", &stage.cast.app, version)
}

/// Pushes a JWT to the primary. Gives the time until the answer.
pub(super) async fn push(stage: &Stage, account: &Named, token: &str) -> Result<Duration, DemoError> {
    let started = Instant::now();
    let reply = stage.http.post(&stage.at_primary(account), token).await?;
    if reply.status != 200 {
        return Err(unexpected(&format!("the primary does not take the JWT of {}", account.name), &reply));
    }
    let took = started.elapsed();
    nsc::account(&stage.folder, &stage.cast, account, token)?;
    Ok(took)
}

/// Pushes a JWT to the primary and watches the replica. Gives the times until the answer and until the replica has it.
pub(super) async fn push_and_watch(
    stage: &Stage,
    account: &Named,
    token: &str,
) -> Result<(Duration, Duration), DemoError> {
    let started = Instant::now();
    let url = stage.at_replica(account);
    let watch = async {
        stage.http.wait_for_body(&url, token).await?;
        Ok(started.elapsed())
    };
    let (answered, arrived) = tokio::join!(push(stage, account, token), watch);
    Ok((answered?, arrived?))
}

/// An answer that the demo did not expect.
pub(super) fn unexpected(what: &str, reply: &Reply) -> DemoError {
    DemoError::new(format!("{what}: status {}, {:?}", reply.status, reply.body))
}
