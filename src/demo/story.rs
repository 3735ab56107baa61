//! The steps over HTTP: what every nats-server and every tool relies on.

use std::time::Instant;

use super::error::DemoError;
use super::find::NatsServer;
use super::live;
use super::mint::Version;
use super::process::Processes;
use super::pushes::{limit, push, push_and_watch, revocation, unexpected};
use super::report::{Report, shown};
use super::stage::Stage;

/// Tells the story, with a nats-server if there is one.
pub(super) async fn tell(
    stage: &Stage,
    processes: &mut Processes,
    report: &mut Report,
    server: Option<&NatsServer>,
) -> Result<(), DemoError> {
    start(stage, processes, report).await?;
    let first = host(stage, report).await?;
    match server {
        Some(server) => live::tell(stage, processes, report, server).await?,
        None => changes(stage, report).await?,
    }
    refusals(stage, report, &first).await
}

/// Primary and replica.
async fn start(stage: &Stage, processes: &mut Processes, report: &mut Report) -> Result<(), DemoError> {
    let started = Instant::now();
    stage.start_primary(processes).await?;
    report.step(&format!("started the primary on {}", stage.ports.primary_url()), started.elapsed());
    report.detail("it owns the JWTs, in a journal on disk");
    let started = Instant::now();
    stage.start_replica(processes).await?;
    report.step(&format!("started a replica on {}", stage.ports.replica_url()), started.elapsed());
    report.detail("it pulls requested JWTs from the primary, and follows its changes");
    Ok(())
}

/// The first JWTs of all accounts. Gives that of `app`.
async fn host(stage: &Stage, report: &mut Report) -> Result<String, DemoError> {
    let cast = &stage.cast;
    let mut tokens = Vec::new();
    let started = Instant::now();
    for (file, account) in [("sys-1", &cast.system), ("app-1", &cast.app), ("billing-1", &cast.billing)] {
        let token = stage.version(file, account, Version::default())?;
        push(stage, account, &token).await?;
        tokens.push(token);
    }
    report.step("pushed the JWTs of SYS, app and billing to the primary (HTTP POST)", started.elapsed());
    report.detail("each was on disk before the answer, 200, came back");
    let app = tokens.swap_remove(1);
    let started = Instant::now();
    let reply = stage.http.get(&stage.at_replica(&cast.app)).await?;
    if reply.status != 200 || reply.body != app {
        return Err(unexpected("the replica does not serve the JWT of app", &reply));
    }
    report.step("asked the replica for the JWT of app: the same bytes", started.elapsed());
    Ok(app)
}

/// The changes that [`live`] shows on a nats-server, as far as HTTP shows them.
async fn changes(stage: &Stage, report: &mut Report) -> Result<(), DemoError> {
    let token = limit(stage)?;
    let (answered, arrived) = push_and_watch(stage, &stage.cast.app, &token).await?;
    report.step("pushed a new limit for app: one connection; the replica has it", arrived);
    report.detail(format!("the primary answered after {}", shown(answered)));
    let token = revocation(stage)?;
    let (answered, arrived) = push_and_watch(stage, &stage.cast.app, &token).await?;
    report.step("pushed a revocation of the user alice; the replica has it", arrived);
    report.detail(format!("the primary answered after {}", shown(answered)));
    Ok(())
}

/// What must not come in.
async fn refusals(stage: &Stage, report: &mut Report, older: &str) -> Result<(), DemoError> {
    let cast = &stage.cast;
    refused(stage, report, "pushed the first JWT of app again, which is older", older, 409).await?;
    let foreign = cast.account_signed_by(&cast.stranger, &cast.app, Version { number: 3, ..Version::default() });
    stage.folder.write("jwt/app-foreign.jwt", &foreign)?;
    refused(stage, report, "pushed a JWT of app that another operator signed", &foreign, 400).await
}

async fn refused(stage: &Stage, report: &mut Report, what: &str, token: &str, status: u16) -> Result<(), DemoError> {
    let started = Instant::now();
    let reply = stage.http.post(&stage.at_primary(&stage.cast.app), token).await?;
    if reply.status != status {
        return Err(unexpected(&format!("{what}, and status {status} was expected"), &reply));
    }
    report.step(&format!("{what}: rejected, {status}"), started.elapsed());
    report.detail(reply.body.trim_end());
    Ok(())
}
