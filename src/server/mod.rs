//! Builds the rooms from the settings, runs them, and takes them down.
//!
//! HTTP comes first: it listens before NATS is connected and before a folder is taken in, because a nats-server that
//! cannot reach it at start does not start.

mod error;
mod import;
mod join;
mod reload;
mod stop;
pub(crate) mod trust;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::SignalKind;

pub use error::StartError;
use reload::Live;
pub use reload::Reload;
use trust::Given;

use crate::calendar;
use crate::config::{self, Settings};
use crate::descriptors;
use crate::gate::{Gate, Via};
use crate::http;
use crate::metrics::Metrics;
use crate::node::{Node, OperatorFile};
use crate::primary::{self, Primary, Tending};
use crate::replica::{self, BeginError, Replica};
use crate::store::journal;
use crate::tls::ServerTls;
use crate::upstream;

/// Runs the server until it is told to stop. `reload`: how the settings are loaded again at a hang-up.
pub async fn run(settings: Settings, reload: Reload) -> Result<(), StartError> {
    tracing::info!("starting NATS Account server, version {}", env!("CARGO_PKG_VERSION"));
    tracing::info!("server time is {}", calendar::unix_date(SystemTime::now()));
    if let Err(error) = descriptors::raise() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let mut signals = stop::Signals::install()?;
    let hangups = stop::install(SignalKind::hangup())?;
    let Given { gate, system_jwt, problem } = trust::given(&settings)?;
    if settings.operator.is_none() {
        tracing::warn!("No Operator is configured - You will NOT be able to push jwt to this account server");
    }
    let file = operator_file(&settings, &gate, problem.as_ref());
    let gate = Arc::new(gate);
    let role_name = if settings.is_replica() { "replica" } else { "primary" };
    let metrics = Arc::new(Metrics::new(role_name).map_err(|error| StartError::Other(error.to_string()))?);
    let role = role(&settings, &gate, &metrics)?;
    match problem {
        Some(problem) if gate.trust().is_none() => return Err(problem),
        Some(problem) => tracing::error!("the configured operator JWT is not used; the one in force stays: {problem}"),
        None => {}
    }
    let node = Arc::new(role.node(gate, metrics, settings.nats.replica_forget));
    node.recall_replicas()?;
    if let Some(file) = file {
        node.set_operator_file(file);
    }
    if let Role::Primary(primary) = &role
        && let Some(change) = primary.operator_begun()
    {
        node.count_operator(change);
    }
    if settings.operator.is_none()
        && let Some(trust) = node.trust()
    {
        tracing::warn!(
            "no operator is configured, but the store is that of {} ({}), which is trusted all the same; configure its JWT",
            trust.identity(),
            trust.name()
        );
    }
    node.report_operator();
    let tls = https(&settings, &node)?;
    let accepting =
        tls.as_ref().map(|tls| tls.config()).transpose().map_err(|error| StartError::Other(error.to_string()))?;
    let (server, port) = listen(&settings, &node, accepting)?;
    let handle = server.handle();
    tokio::spawn(reload.at(hangups, Live { settings: settings.clone(), node: node.clone(), role: role.clone(), tls }));
    let serving = tokio::spawn(server);
    let begin = async {
        match &role {
            Role::Primary(primary) => run_primary(&settings, &node, primary, system_jwt).await.map(Some),
            Role::Replica(replica) => run_replica(&settings, &node, replica, system_jwt, port).await.map(|()| None),
        }
    };
    tokio::spawn(node.clone().look_after_replicas());
    let mut tending = None;
    // To begin may take long; who wants to stop meanwhile can.
    tokio::select! {
        begun = begin => {
            tending = begun?;
            tracing::info!("nats-account-server is running");
            signals.wait().await;
        }
        () = signals.wait() => {}
    }
    if stop::gently(&node, &handle, settings.http.drain_delay).await {
        // The listener's own errors were logged; stopping asked for its end.
        let _ = serving.await;
    }
    tracing::info!("http stopped");
    if let Some(mut tending) = tending {
        tending.finish(settings.http.shutdown_grace).await;
    }
    if let Role::Replica(replica) = &role {
        // Nothing is served any more.
        replica.farewell().await;
    }
    node.note_replicas(true).await;
    match &role {
        Role::Primary(primary) => {
            primary.close().await;
            tracing::info!("closed JWT store");
        }
        Role::Replica(replica) => replica.close(),
    }
    tracing::info!("stopped account server");
    Ok(())
}

/// The role of this server.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Owns the journal.
    Primary(Arc<Primary>),
    /// Caches what a primary owns.
    Replica(Arc<Replica>),
}

impl Role {
    fn node(&self, gate: Arc<Gate>, metrics: Arc<Metrics>, replica_forget: Duration) -> Node {
        match self {
            Self::Primary(primary) => Node::primary(Arc::new(primary.clone()), gate, metrics, replica_forget),
            Self::Replica(replica) => {
                let name = replica.name().to_owned();
                Node::replica(replica.clone(), name, gate, metrics, replica_forget)
            }
        }
    }
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

fn role(settings: &Settings, gate: &Arc<Gate>, metrics: &Arc<Metrics>) -> Result<Role, StartError> {
    if !settings.is_replica() {
        let setup = primary::Setup::of(settings);
        tracing::info!("creating {}", setup.source);
        return Ok(Role::Primary(Arc::new(Primary::open(&setup, gate.clone())?)));
    }
    let setup = replica::Setup::of(settings);
    let state_dir = setup.place.state_dir.clone();
    let replica =
        Replica::new(setup, gate.clone(), metrics.clone(), tokio::runtime::Handle::current()).map_err(|error| {
            match error {
                BeginError::Store(error) => StartError::Store(error),
                BeginError::Primary(text) => StartError::Other(text),
                error @ BeginError::Operator(_) => StartError::Other(error.to_string()),
            }
        })?;
    tracing::info!("starting in replicated mode, with primary at {}", replica.primary());
    if let Some(journal) = state_dir.map(|state| state.join(journal::FILE)).filter(|journal| journal.exists()) {
        tracing::warn!(
            "{} is the journal of a primary, which this replica does not use: it does not serve what only that \
             journal holds.              Without primary in its settings, this server would be a primary again, with \
             that journal; move it away if              that is not meant",
            journal.display()
        );
    }
    let store = &settings.store;
    match store.state_dir.as_ref().or(store.dir.as_ref().filter(|_| !store.readonly)) {
        Some(dir) => tracing::info!("creating a store at {}", dir.display()),
        None => tracing::info!("creating an in-memory store"),
    }
    Ok(Role::Replica(replica))
}

/// What HTTPS is served with, if it is, kept up to date with its files.
fn https(settings: &Settings, node: &Arc<Node>) -> Result<Option<Arc<ServerTls>>, StartError> {
    if !settings.http.tls.is_on() {
        return Ok(None);
    }
    let tls = Arc::new(ServerTls::load(&settings.http.tls, node.metrics().clone())?);
    tokio::spawn(tls.files().clone().watch());
    Ok(Some(tls))
}

fn listen(
    settings: &Settings,
    node: &Arc<Node>,
    tls: Option<rustls::ServerConfig>,
) -> Result<(actix_web::dev::Server, u16), StartError> {
    let (host, port) = (&settings.http.host, settings.http.port);
    let address = http::address::host_port(host, port);
    let failed = |source| StartError::Listen { address: address.clone(), source };
    let listeners = http::bind(host, port).map_err(failed)?;
    // There is always a first one.
    let local = listeners[0].local_addr().map_err(failed)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let setup = http::Setup::of(&settings.http, max_connections(settings), tls);
    let server = http::serve(listeners, node.clone(), &setup).map_err(failed)?;
    tracing::info!("{scheme} listening on port {}", local.port());
    tracing::info!("configure the nats-server with:");
    tracing::info!("  {}", http::address::resolver(&http::address::base(scheme, host, &local)));
    Ok((server, local.port()))
}

/// Connections of clients at the same time: as many as configured, or as the limit of open files leaves room for.
fn max_connections(settings: &Settings) -> usize {
    /// Connections to one server of `primary`: for requests, and for the feed, comparisons and changes that are sent on.
    const UPSTREAM: usize = upstream::MOST_REQUESTS + 64;
    /// Connections that may be too few for a fleet.
    const FEW: usize = 4096;
    let limit = descriptors::in_force();
    let further = (UPSTREAM * settings.primary.len()).try_into().unwrap_or(u64::MAX);
    let (wanted, possible) = (settings.http.max_connections, descriptors::for_clients(limit, further));
    if possible < wanted {
        let text = format!(
            "at most {possible} connections of clients at the same time, not {wanted} as http.max_connections says: this \
             process may have {limit} files open. Raise the hard limit of open files (LimitNOFILE of systemd, ulimit -Hn)"
        );
        // What nobody asked for is worth a warning only where it is little.
        if possible < FEW || wanted != config::Http::default().max_connections {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
    }
    wanted.min(possible)
}

/// What people call a replica, unless its settings say it.
fn default_name(port: u16) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let host: String = host.chars().filter(|character| !character.is_control()).take(50).collect();
    format!("{host}:{port}")
}

async fn run_primary(
    settings: &Settings,
    node: &Arc<Node>,
    primary: &Arc<Primary>,
    system_jwt: Option<String>,
) -> Result<Tending, StartError> {
    primary.settle_operator().await;
    if let Some(token) = system_jwt
        && let Err(error) = primary.submit(token.as_bytes(), None, Via::Configured).await
        && !matches!(&error, journal::CommitError::Refused(refusal) if refusal.is_conflict())
    {
        return Err(StartError::SystemAccountJwt(error.to_string()));
    }
    join::primary(settings, node).await?;
    tokio::spawn(primary.clone().forget());
    let tending = primary.tend(node.metrics(), settings.store.look_interval)?;
    tokio::spawn(primary.clone().sweep());
    import::begin(settings, node);
    Ok(tending)
}

async fn run_replica(
    settings: &Settings,
    node: &Arc<Node>,
    replica: &Arc<Replica>,
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
    tokio::spawn(replica.clone().compare_unconfirmed());
    let name = settings.replica.name.clone().unwrap_or_else(|| default_name(port));
    tokio::spawn(replica.clone().report(name, node.replicas().clone()));
    join::replica(settings, node).await
}
