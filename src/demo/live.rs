//! The steps that need a nats-server: clients feel what is pushed.

use std::time::Instant;

use super::client::User;
use super::error::DemoError;
use super::find::NatsServer;
use super::mint::Named;
use super::process::Processes;
use super::pushes;
use super::report::{Report, shown};
use super::stage::Stage;

/// Starts the nats-server, connects users, and pushes changes that they feel.
pub(super) async fn tell(
    stage: &Stage,
    processes: &mut Processes,
    report: &mut Report,
    server: &NatsServer,
) -> Result<(), DemoError> {
    let started = Instant::now();
    stage.start_nats(processes, server).await?;
    report.step(&format!("started nats-server {} on {}", server.version, stage.ports.nats_url()), started.elapsed());
    report.detail(format!("its resolver is the replica: URL({}/jwt/v1/accounts/)", stage.ports.replica_url()));
    let started = Instant::now();
    stage.wait_for_system_users(processes).await?;
    report.step("primary and replica are connected to it, as users of the system account", started.elapsed());

    let (mut one, mut other) = connect(stage, report).await?;
    // Which of the two a nats-server ends depends on its version.
    let first = async {
        tokio::select! {
            cut_off = one.cut_off() => (cut_off, true),
            cut_off = other.cut_off() => (cut_off, false),
        }
    };
    let what = "pushed a new limit for app, one connection: the nats-server cut off one of the two";
    let was_one = push(stage, report, first, &pushes::limit(stage)?, what).await?;
    let mut rest = if was_one { other } else { one };
    let last = async { (rest.cut_off().await, ()) };
    let what = "pushed a revocation of alice: the nats-server cut off the other one";
    push(stage, report, last, &pushes::revocation(stage)?, what).await?;
    afterwards(stage, report).await
}

/// A user who has connected twice.
async fn connect(stage: &Stage, report: &mut Report) -> Result<(User, User), DemoError> {
    let started = Instant::now();
    let one = user(stage, &stage.cast.alice).await?;
    report.step("connected alice, a user of app", started.elapsed());
    report.detail("the nats-server fetched the JWT of app from the replica");
    let started = Instant::now();
    let other = user(stage, &stage.cast.alice).await?;
    other.greet(&one).await?;
    report.step("connected alice a second time, and sent a message from there", started.elapsed());
    Ok((one, other))
}

async fn user(stage: &Stage, named: &Named) -> Result<User, DemoError> {
    let creds = stage.folder.path(&format!("{}.creds", named.name));
    let connected = User::connect(named.name, &stage.ports.nats_url(), &creds).await;
    connected.map_err(|error| DemoError::with_log(error.to_string(), &stage.log("nats-server")))
}

/// Pushes a version of `app` and waits for its effects: on the replica, and on the connection that is cut off.
async fn push<T>(
    stage: &Stage,
    report: &mut Report,
    cut_off: impl Future<Output = (Result<(Instant, String), DemoError>, T)>,
    token: &str,
    what: &str,
) -> Result<T, DemoError> {
    let started = Instant::now();
    let (pushed, (cut_off, which)) = tokio::join!(pushes::push_and_watch(stage, &stage.cast.app, token), cut_off);
    let (answered, arrived) = pushed?;
    let (at, reason) = cut_off.map_err(|error| DemoError::with_log(error.to_string(), &stage.log("primary")))?;
    let applied = at.duration_since(started);
    report.step(what, applied);
    report.detail(format!(
        "\"{reason}\"\ntimes from the push: answered, on disk {}; in the nats-server {}; on the replica {}",
        shown(answered),
        shown(applied),
        shown(arrived)
    ));
    Ok(which)
}

/// Who may connect now, and who may not.
async fn afterwards(stage: &Stage, report: &mut Report) -> Result<(), DemoError> {
    let started = Instant::now();
    user(stage, &stage.cast.bob).await?;
    match user(stage, &stage.cast.alice).await {
        Err(error) if error.to_string().contains("authorization violation") => {}
        Err(error) => return Err(error),
        Ok(_) => {
            return Err(DemoError::with_log("alice can connect though she is revoked", &stage.log("nats-server")));
        }
    }
    report.step("bob, another user of app, can connect; alice cannot", started.elapsed());
    Ok(())
}
