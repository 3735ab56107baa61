//! The two roles: how each is opened, begun and closed.

use std::sync::Arc;

use super::error::StartError;
use super::import;
use crate::config::Settings;
use crate::gate::{Gate, Via};
use crate::metrics::Metrics;
use crate::nats::Edge;
use crate::node::{Node, NodeParts};
use crate::primary::{self, Directory, Primary};
use crate::replica::{self, BeginError, Replica};
use crate::store::{JournalReader, journal};

/// The role of this server.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Owns the journal.
    Primary(Arc<Primary>),
    /// Caches what a primary owns.
    Replica(Arc<Replica>),
}

impl Role {
    /// Opens the store of the role that the settings say.
    pub(super) fn open(settings: &Settings, gate: &Arc<Gate>, metrics: &Arc<Metrics>) -> Result<Self, StartError> {
        if !settings.is_replica() {
            let mut setup = primary::Setup::of(settings);
            setup.audit = Some((settings.audit.clone(), metrics.clone()));
            tracing::info!("creating {}", setup.source);
            let primary = Primary::open(&setup, gate.clone())?;
            primary.measured_by(metrics.writes.commit.clone());
            return Ok(Self::Primary(Arc::new(primary)));
        }
        let setup = replica::Setup::of(settings);
        let replica =
            Replica::new(setup, gate.clone(), metrics.clone(), tokio::runtime::Handle::current()).map_err(|error| {
                match error {
                    BeginError::Store(error) => StartError::Store(error),
                    BeginError::Primary(text) => StartError::Other(text),
                    error @ BeginError::Operator(_) => StartError::Other(error.to_string()),
                }
            })?;
        tracing::info!("starting in replicated mode, with primary at {}", replica.primary());
        let store = &settings.store;
        match store.state_dir.as_ref().or(store.dir.as_ref().filter(|_| !store.readonly)) {
            Some(dir) => tracing::info!("creating a store at {}", dir.display()),
            None => tracing::info!("creating an in-memory store"),
        }
        Ok(Self::Replica(replica))
    }

    /// The node of this role.
    pub(super) fn node(&self, parts: NodeParts) -> Node {
        match self {
            Self::Primary(primary) => Node::primary(Arc::new(primary.clone()), parts),
            Self::Replica(replica) => Node::replica(replica.clone(), replica.name().to_owned(), parts),
        }
    }

    /// Begins this role's work: what the settings give, NATS, the folder, the feed. Returns what has to be finished at the end.
    pub(super) async fn begin(
        &self,
        settings: &Settings,
        node: &Arc<Node>,
        edge: Option<Edge>,
        system_jwt: Option<String>,
        port: u16,
    ) -> Result<Option<Directory>, StartError> {
        match self {
            Self::Primary(primary) => begin_primary(settings, node, primary, edge, system_jwt).await.map(Some),
            Self::Replica(replica) => {
                begin_replica(settings, node, replica, edge, system_jwt, port).await.map(|()| None)
            }
        }
    }

    /// What the store answers.
    pub(super) fn journal(&self) -> &JournalReader {
        match self {
            Self::Primary(primary) => primary.journal(),
            Self::Replica(replica) => replica.journal(),
        }
    }

    /// Closes the store.
    pub(super) async fn close(&self) {
        match self {
            Self::Primary(primary) => {
                primary.close().await;
                tracing::info!("closed JWT store");
            }
            Self::Replica(replica) => replica.close().await,
        }
    }
}

/// What people call a replica, unless its settings say it.
fn default_name(port: u16) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let host: String = host.chars().filter(|character| !character.is_control()).take(50).collect();
    format!("{host}:{port}")
}

async fn begin_primary(
    settings: &Settings,
    node: &Arc<Node>,
    primary: &Arc<Primary>,
    edge: Option<Edge>,
    system_jwt: Option<String>,
) -> Result<Directory, StartError> {
    primary.settle_operator().await;
    if let Some(token) = system_jwt
        && let Err(error) = primary.submit(token.as_bytes(), None, Via::Configured).await
        && !matches!(&error, journal::CommitError::Refused(refusal) if refusal.is_conflict())
    {
        return Err(StartError::SystemAccountJwt(error.to_string()));
    }
    match edge {
        Some(edge) => edge.start(node).await?,
        None => tracing::info!("NATS is not configured, server will not fire notifications on update"),
    }
    tokio::spawn(primary.clone().forget());
    let directory = primary.start_directory(node.metrics(), settings.store.look_interval)?;
    tokio::spawn(primary.clone().sweep());
    import::begin(settings, node);
    Ok(directory)
}

async fn begin_replica(
    settings: &Settings,
    node: &Arc<Node>,
    replica: &Arc<Replica>,
    edge: Option<Edge>,
    system_jwt: Option<String>,
    port: u16,
) -> Result<(), StartError> {
    replica.begin_writing()?;
    if let Some(token) = system_jwt {
        replica.set_system_jwt(token.as_bytes()).map_err(|error| StartError::SystemAccountJwt(error.to_string()))?;
    }
    if node.trust().is_none() {
        let replica = replica.clone();
        tokio::spawn(async move { replica.pin_operator().await });
    }
    tokio::spawn(replica.tls_files().clone().watch());
    tokio::spawn(replica.clone().look_after_upstream());
    tokio::spawn(replica.clone().follow());
    tokio::spawn(replica.clone().settle_doubts());
    let name = settings.replica.name.clone().unwrap_or_else(|| default_name(port));
    tokio::spawn(replica.clone().report(name, node.replicas().clone()));
    match edge {
        Some(edge) => Ok(edge.start(node).await?),
        None => Ok(()),
    }
}
