//! `GET /api/v1/status` and `GET /api/v1/replicas`: how this server and those that follow it are.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::Ask;
use super::refused::Refused;
use super::shown;
use crate::api::JournalPosition;
use crate::clock;
use crate::key::seed;
use crate::node::{CodedCheck, Connection, Expiries, Node};

/// How this server is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// `primary` or `replica`.
    role: &'static str,
    /// Of a replica: `cache` or `mirror`.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    /// The version of the program.
    version: &'static str,
    /// Whether it is ready, as `/readyz` says.
    ready: bool,
    /// Whether it accepts changes itself.
    writable: bool,
    /// The identity key of the operator that it trusts; null if none is configured.
    operator: Option<String>,
    /// Where it is in the order of changes; null if it has followed none yet.
    position: Option<JournalPosition>,
    /// Whether it serves what the primary serves.
    in_sync: bool,
    /// Of a replica: its upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamStatus>,
    /// The connection to NATS.
    nats: NatsStatus,
    /// When what it needs expires.
    expires: StatusExpiries,
    /// Numbers.
    counts: StatusCounts,
    /// What was looked at.
    checks: Vec<StatusCheck>,
}

/// A replica's upstream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UpstreamStatus {
    /// The URL of the server that is asked now, without credentials.
    url: String,
    /// The servers on the way to the primary, the nearest first, as far as they say so.
    route: Vec<String>,
    /// Whether the feed is followed, and the primary was heard lately.
    following: bool,
    /// Seconds since the primary was last heard; null: never.
    primary_age: Option<u64>,
    /// The serial up to which everything that is served is current.
    confirmed: Option<u64>,
    /// Changes of the position that are not confirmed yet.
    behind_by: Option<u64>,
    /// Accounts that are newer here.
    ahead: u64,
}

/// The connection to NATS.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NatsStatus {
    /// Whether it is configured.
    configured: bool,
    /// Whether it is there.
    connected: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// When what a server needs expires, unix seconds; null: never, or there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusExpiries {
    /// The operator JWT in force.
    operator: Option<i64>,
    /// The certificate of `http.tls`.
    certificate: Option<i64>,
    /// The certificate of `replica.tls`.
    client_certificate: Option<i64>,
    /// The user JWT of the NATS credentials.
    nats_user: Option<i64>,
}

/// Numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusCounts {
    /// Accounts with a JWT; null on a server that does not store every account.
    accounts: Option<u64>,
    /// Those of them that are withheld; likewise.
    withheld: Option<u64>,
    /// Replicas that are in sync.
    replicas_in_sync: u64,
    /// Replicas that are behind.
    replicas_behind: u64,
    /// Replicas that are silent.
    replicas_silent: u64,
}

/// Something that was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusCheck {
    /// What was looked at.
    code: &'static str,
    /// `pass`, `warning`, `fail` or `skip`.
    status: &'static str,
    /// For people.
    detail: String,
}

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    let node = shared.node.clone();
    // The checks may ask the journal.
    let status =
        tokio::task::spawn_blocking(move || ServerStatus::of(&node)).await.map_err(|_| Refused::lost(shared))?;
    Ok(shown::momentary(request, shared, &status).await)
}

pub(super) async fn replicas(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    Ok(shown::momentary(request, shared, &shared.node.followers()).await)
}

impl ServerStatus {
    fn of(node: &Node) -> Self {
        let sync = node.upstream().map(|upstream| (upstream, upstream.sync()));
        let position = match &sync {
            Some((_, sync)) => sync.position,
            None => node.here(),
        };
        let replicas = node.replicas().counts(clock::uptime_millis());
        let counts = node.account_counts();
        Self {
            role: if sync.is_some() { "replica" } else { "primary" },
            mode: sync.map(|(_, sync)| if sync.is_mirror { "mirror" } else { "cache" }),
            version: env!("CARGO_PKG_VERSION"),
            ready: node.is_ready(),
            writable: node.is_writable(),
            operator: node.trust().map(|trust| trust.identity().text()),
            position: position.map(|head| JournalPosition::of(head.position(head.serial))),
            in_sync: sync.is_none_or(|(_, sync)| sync.is_in_sync()),
            upstream: sync.map(|(upstream, sync)| UpstreamStatus {
                url: upstream.primary(),
                route: upstream.route(),
                following: sync.is_following,
                primary_age: upstream.primary_age(),
                confirmed: sync.confirmed,
                behind_by: sync.lag(),
                ahead: sync.ahead,
            }),
            nats: NatsStatus::of(node.nats().map(|nats| &**nats)),
            expires: StatusExpiries::of(node.expiries()),
            counts: StatusCounts {
                accounts: counts.map(|(accounts, _)| accounts),
                withheld: counts.map(|(_, withheld)| withheld),
                replicas_in_sync: replicas.in_sync,
                replicas_behind: replicas.behind,
                replicas_silent: replicas.silent,
            },
            checks: node.coded_checks().into_iter().map(StatusCheck::of).collect(),
        }
    }
}

impl NatsStatus {
    fn of(nats: Option<&dyn Connection>) -> Self {
        let connected = nats.is_some_and(Connection::is_connected);
        let problem = nats.and_then(|nats| if connected { nats.problem() } else { nats.failure() });
        Self { configured: nats.is_some(), connected, problem }
    }
}

impl StatusExpiries {
    const fn of(Expiries { operator, certificate, client_certificate, nats_user }: Expiries) -> Self {
        Self { operator, certificate, client_certificate, nats_user }
    }
}

impl StatusCheck {
    fn of(CodedCheck { code, status, detail }: CodedCheck) -> Self {
        Self { code, status: status.label(), detail: seed::redact(&detail).into_owned() }
    }
}
