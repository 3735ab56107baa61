//! Asks one server.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::answers::{FleetAnswer, ReplicasAnswer, Role, StatusAnswer};
use super::judge::{Reason, State};
use super::told::Told;
use crate::feed::wire::SERVER_HEADER;
use crate::upstream::remote::{RemoteServer, text, words};

/// The largest answer about one server, in bytes.
const STATUS: usize = 256 << 10;
/// The largest list, in bytes: 1000 accounts of each kind for each of many nats-servers.
const LIST: usize = 64 << 20;
/// Checks of one server that are read. A server has about fifteen.
const CHECKS: usize = 50;
/// A replica that confirms a change within this time keeps up. Under load, some changes are always on their way.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// What a server says of itself, and of those that it knows.
#[derive(Debug)]
pub(super) struct Answers {
    /// The name of the process. Several URLs may lead to one.
    pub(super) process: Told,
    pub(super) status: StatusAnswer,
    /// Whether the changes that are not confirmed were only on their way.
    pub(super) keeps_up: bool,
    /// The error says why they are not known.
    pub(super) replicas: Result<ReplicasAnswer, Told>,
    /// `None`: this is no primary.
    pub(super) fleet: Option<Result<FleetAnswer, Told>>,
}

/// Asks a server, for no longer than `patience`. The error says why nothing is known of it.
pub(super) async fn ask(remote: &RemoteServer, patience: Duration) -> Result<Answers, Reason> {
    let deadline = Instant::now() + patience;
    let late = || format!("no answer within {} ms", patience.as_millis());
    let unreachable = |why: String| Reason::new(State::Unreachable, "unreachable", &why);
    let look = async || timeout_at(deadline, status(remote)).await.unwrap_or_else(|_| Err(unreachable(late())));
    let (process, mut status) = look().await?;
    let mut keeps_up = false;
    if let Some(due) = status.unconfirmed() {
        tokio::time::sleep(ON_THE_WAY.min(patience / 2)).await;
        status = look().await?.1;
        keeps_up = status.has_confirmed(&due);
    }
    let (replicas, fleet) = tokio::join!(timeout_at(deadline, json(remote, "api/v1/replicas")), async {
        match status.role {
            Role::Primary => Some(timeout_at(deadline, json(remote, "api/v1/servers")).await),
            Role::Replica => None,
        }
    });
    let replicas = replicas.unwrap_or_else(|_| Err(Told::of(&late())));
    let fleet = fleet.map(|fleet| fleet.unwrap_or_else(|_| Err(Told::of(&late()))));
    Ok(Answers { process, status, keeps_up, replicas, fleet })
}

/// The name of the process, and what it says of itself.
async fn status(remote: &RemoteServer) -> Result<(Told, StatusAnswer), Reason> {
    let unreachable = |why: String| Reason::new(State::Unreachable, "unreachable", &why);
    let reply = remote.get_once("api/v1/status").await.map_err(unreachable)?;
    let Some(mark) = reply.headers().get(SERVER_HEADER).map(HeaderValue::as_bytes) else {
        return Err(stranger(remote, reply).await);
    };
    let process = Told::of(&String::from_utf8_lossy(mark));
    match reply.status() {
        StatusCode::OK => {
            let text = text(reply, STATUS).await.map_err(unreachable)?;
            let mut status: StatusAnswer = serde_json::from_str(&text).map_err(|error| {
                Reason::new(State::Foreign, "foreign", &format!("its status cannot be read: {error}"))
            })?;
            status.checks.truncate(CHECKS);
            Ok((process, status))
        }
        StatusCode::NOT_FOUND => Err(too_old()),
        status => Err(unreachable(format!("it says {status}: {}", words(reply).await))),
    }
}

/// What answered without the mark of an account server.
async fn stranger(remote: &RemoteServer, reply: Response) -> Reason {
    if reply.status() == StatusCode::NOT_FOUND && remote.is_account_server().await {
        return too_old();
    }
    Reason::new(State::Foreign, "foreign", &remote.stranger(reply).await)
}

fn too_old() -> Reason {
    Reason::new(State::Foreign, "too_old", "it is an account server without /api/v1/status: upgrade it")
}

/// A list.
async fn json<T: DeserializeOwned>(remote: &RemoteServer, path: &str) -> Result<T, Told> {
    let failed = |why: String| Told::of(&format!("cannot read /{path}: {why}"));
    let reply = remote.get_once(path).await.map_err(failed)?;
    if reply.status() != StatusCode::OK {
        return Err(failed(format!("it says {}: {}", reply.status(), words(reply).await)));
    }
    let text = text(reply, LIST).await.map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
