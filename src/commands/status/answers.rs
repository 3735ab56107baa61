//! What account servers answer, as far as it is used. Further members are of later versions.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};

use super::ranked::{Rank, Ranked, Worst};
use super::told::Told;

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct StatusAnswer {
    pub(super) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<Told>,
    pub(super) version: Told,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    pub(super) writable: bool,
    pub(super) operator: Option<Told>,
    pub(super) position: Option<PositionAnswer>,
    #[serde(default)]
    in_sync: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<UpstreamAnswer>,
    #[serde(default)]
    nats: NatsAnswer,
    #[serde(default)]
    expires: ExpiresAnswer,
    #[serde(default)]
    pub(super) counts: CountsAnswer,
    pub(super) checks: Vec<CheckAnswer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Primary,
    Replica,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PositionAnswer {
    pub(super) session: Told,
    pub(super) serial: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct UpstreamAnswer {
    pub(super) url: Told,
    pub(super) following: bool,
    primary_age: Option<u64>,
    pub(super) confirmed: Option<u64>,
    behind_by: Option<u64>,
    ahead: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct NatsAnswer {
    configured: bool,
    connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Told>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct ExpiresAnswer {
    operator: Option<i64>,
    certificate: Option<i64>,
    client_certificate: Option<i64>,
    nats_user: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct CountsAnswer {
    pub(super) accounts: Option<u64>,
    pub(super) withheld: Option<u64>,
    replicas_in_sync: u64,
    replicas_behind: u64,
    replicas_silent: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct CheckAnswer {
    pub(super) code: Told,
    pub(super) status: Told,
    pub(super) detail: Told,
}

/// `GET /api/v1/replicas`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ReplicasAnswer {
    pub(super) followers: Worst<Replica>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Replica {
    pub(super) name: Told,
    pub(super) mode: Told,
    pub(super) version: Told,
    pub(super) address: Told,
    pub(super) state: Told,
    pub(super) serial: u64,
    pub(super) behind_by: u64,
}

impl Ranked for Replica {
    fn rank(&self) -> Rank {
        match self.state.text() {
            "in_sync" => Rank::Well,
            "left" => Rank::Unsure,
            _ => Rank::Alarm,
        }
    }
}

/// `GET /api/v1/servers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FleetAnswer {
    pub(super) note: Option<Told>,
    servers: Worst<NatsServer>,
    silent: Worst<NatsServer>,
}

impl FleetAnswer {
    /// The nats-servers that are there, and those that are gone.
    pub(super) fn all(&self) -> Worst<NatsServer> {
        self.servers.clone().and(self.silent.clone())
    }
}

/// A nats-server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct NatsServer {
    pub(super) name: Told,
    pub(super) version: Told,
    pub(super) cluster: Told,
    pub(super) state: Told,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<Told>,
    pub(super) accounts_loaded: Option<u64>,
    pub(super) accounts_behind: u64,
    pub(super) accounts_pending: u64,
    /// Their number is enough. The list needs no memory.
    #[serde(serialize_with = "length")]
    pub(super) cannot_unload: Vec<IgnoredAny>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operator: Option<OperatorThere>,
    /// For how many seconds it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gone_for: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct OperatorThere {
    pub(super) current: bool,
}

impl Ranked for NatsServer {
    fn rank(&self) -> Rank {
        match self.state.text() {
            _ if self.gone_for.is_some() => Rank::Alarm,
            "in_sync" => Rank::Well,
            "behind" => Rank::Alarm,
            _ => Rank::Unsure,
        }
    }
}

fn length<S: Serializer>(list: &[IgnoredAny], serializer: S) -> Result<S::Ok, S::Error> {
    list.len().serialize(serializer)
}
