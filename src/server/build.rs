//! Everything that is made before this server listens.

use std::sync::Arc;

use super::error::StartError;
use super::role::Role;
use super::trust::{self, GivenTrust};
use crate::config::{ReplicaMode, Settings};
use crate::gate::Gate;
use crate::metrics::{self, Metrics, Part, Profile};
use crate::nats::Edge;
use crate::node::{Node, NodeParts, OperatorFile};

/// A server that does not listen yet.
pub(super) struct Built {
    pub(super) role: Role,
    pub(super) node: Arc<Node>,
    /// `None`: NATS is not configured.
    pub(super) edge: Option<Edge>,
    /// The system account's JWT, if the settings give it.
    pub(super) system_jwt: Option<String>,
}

impl Built {
    /// As the settings say.
    pub(super) fn of(settings: &Settings) -> Result<Self, StartError> {
        let GivenTrust { gate, system_jwt, problem } = trust::given(settings)?;
        if settings.operator.is_none() {
            tracing::warn!("No Operator is configured - You will NOT be able to push jwt to this account server");
        }
        // Opening the store may bring another operator JWT into force.
        let operator_file = operator_file(settings, &gate, problem.as_ref());
        let gate = Arc::new(gate);
        let metrics = Arc::new(Metrics::new(profile(settings)).map_err(|error| StartError::Other(error.to_string()))?);
        let role = Role::open(settings, &gate, &metrics)?;
        match problem {
            Some(problem) if gate.trust().is_none() => return Err(problem),
            Some(problem) => {
                tracing::error!("the configured operator JWT is not used; the one in force stays: {problem}");
            }
            None => {}
        }
        let edge = Edge::of(&settings.nats, settings.replica_mode(), metrics.clone())?;
        let links = edge.as_ref().map(Edge::links).unwrap_or_default();
        let replica_forget = settings.nats.replica_forget;
        let node = Arc::new(role.node(NodeParts { gate, metrics, replica_forget, operator_file, links }));
        node.recall_replicas()?;
        if let Role::Primary(primary) = &role
            && let Some(change) = primary.operator_begun()
        {
            node.count_operator(change);
        }
        if settings.operator.is_none()
            && let Some(trust) = node.trust()
        {
            tracing::warn!(
                "no operator is configured, but the store is that of {} ({}), which stays trusted; configure its JWT",
                trust.identity(),
                trust.name()
            );
        }
        node.report_operator();
        Ok(Self { role, node, edge, system_jwt })
    }
}

/// Which metrics this server has.
fn profile(settings: &Settings) -> Profile {
    let (role, store) = if settings.is_replica() {
        (metrics::Role::Replica, false)
    } else {
        (
            metrics::Role::Primary,
            settings.store.dir.is_some() && !settings.store.readonly && settings.store.nsc.is_none(),
        )
    };
    let has_nats = !settings.nats.servers.is_empty();
    let parts = [
        (Part::Nats, has_nats),
        (Part::Signing, has_nats && settings.nats.sign_request_subject.is_some()),
        (Part::Folder, store),
        (Part::Audit, settings.audit.path.is_some()),
        (Part::Cache, settings.replica_mode() == Some(ReplicaMode::Cache)),
    ];
    Profile::new(role, parts.into_iter().filter_map(|(part, is_there)| is_there.then_some(part)).collect())
}

/// The configured operator JWT, as it was read.
fn operator_file(settings: &Settings, gate: &Gate, problem: Option<&StartError>) -> Option<OperatorFile> {
    let place = trust::place(settings.operator.as_ref()?);
    let read = match (gate.trust(), problem) {
        (Some(trust), _) => Ok(trust),
        (None, Some(problem)) => Err(problem.for_clients()),
        (None, None) => return None,
    };
    Some(OperatorFile { place, read })
}
