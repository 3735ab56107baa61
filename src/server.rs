//! Builds the rooms from the settings, runs them, and takes them down.
//!
//! HTTP comes first: it listens before NATS is connected and before a folder is taken in, because a nats-server that
//! cannot reach it at start does not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::{Settings, SystemAccount, TokenSource};
use crate::gate::{Gate, Trust, TrustError, Via};
use crate::http;
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::nats::{self, Announcer};
use crate::node::{Node, Role};
use crate::primary::{self, Primary};
use crate::replica::{self, Replica};
use crate::store::StoreError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that the settings name cannot be read.
    #[error("cannot read {what} {path}: {source}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator JWT cannot be trusted.
    #[error("{0}")]
    Operator(#[from] TrustError),
    /// The configured system account is not the operator's.
    #[error("the Operator System Account {operator} differs from configured System Account {configured}")]
    SystemAccount {
        /// What the operator JWT names.
        operator: AccountKey,
        /// What is configured.
        configured: AccountKey,
    },
    /// The system account JWT is refused.
    #[error("the system account JWT cannot be used: {0}")]
    SystemAccountJwt(String),
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// NATS cannot be set up at all.
    #[error("{0}")]
    Nats(#[from] nats::ConnectError),
    /// Something that a well-formed configuration does not cause.
    #[error("{0}")]
    Other(String),
}

/// Runs the server until it is told to stop.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    tracing::info!("starting NATS Account server, version {}", env!("CARGO_PKG_VERSION"));
    let mut signals = Signals::install()?;
    let (gate, system_jwt) = gate(&settings)?;
    let gate = Arc::new(gate);
    let role_name = if settings.is_replica() { "replica" } else { "primary" };
    let metrics = Arc::new(Metrics::new(role_name).map_err(|error| StartError::Other(error.to_string()))?);
    let role = role(&settings, &gate, &metrics)?;
    let node = Arc::new(Node::new(role.clone(), gate, metrics));
    node.report_operator();
    let server = listen(&settings, &node)?;
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let begin = async {
        match role {
            Role::Primary(primary) => run_primary(&settings, &node, &primary, system_jwt).await,
            Role::Replica(replica) => run_replica(&settings, &node, &replica).await,
        }
    };
    // A folder may take long to be taken in; who wants to stop meanwhile can.
    tokio::select! {
        begun = begin => {
            begun?;
            tracing::info!("nats-account-server is running");
            signals.wait().await;
        }
        () = signals.wait() => {}
    }
    if stop(&node, &handle).await {
        // The listener's own errors were logged; stopping asked for its end.
        let _ = serving.await;
    }
    if let Role::Primary(primary) = node.role() {
        primary.journal().close().await;
        tracing::info!("closed JWT store");
    }
    tracing::info!("stopped account server");
    Ok(())
}

/// The gate, and the system account's JWT if it was given as one.
fn gate(settings: &Settings) -> Result<(Gate, Option<String>), StartError> {
    let trust = settings.operator.as_ref().map(load_operator).transpose()?;
    let (system_account, system_jwt) = match &settings.system_account {
        None => (None, None),
        Some(SystemAccount::Key(key)) => (Some(*key), None),
        Some(SystemAccount::Token(source)) => {
            let text = read_token("the system account JWT", source)?;
            let token = crate::jwt::decorated::trim(crate::jwt::decorated::token(&text)).to_owned();
            let decoded = crate::jwt::AccountJwt::decode(&token)
                .map_err(|error| StartError::SystemAccountJwt(error.to_string()))?;
            (AccountKey::parse(&decoded.claims.sub).ok(), Some(token))
        }
    };
    if let (Some(configured), Some(operator)) =
        (system_account, trust.as_ref().and_then(|trust| trust.system_account().copied()))
        && configured != operator
    {
        return Err(StartError::SystemAccount { operator, configured });
    }
    match &trust {
        Some(trust) => {
            tracing::info!("Operator: {}", trust.identity());
            tracing::info!("Operator Name: {}", trust.name());
            for warning in trust.warnings() {
                tracing::warn!("operator JWT: {warning}");
            }
        }
        None => tracing::warn!("No Operator is configured - You will NOT be able to push jwt to this account server"),
    }
    let ahead = i64::try_from(settings.store.max_iat_ahead.as_secs()).unwrap_or(i64::MAX);
    Ok((Gate::new(trust, system_account, ahead), system_jwt))
}

fn load_operator(source: &TokenSource) -> Result<Trust, StartError> {
    let text = read_token("the operator JWT", source)?;
    Ok(Trust::from_operator_jwt(&text, clock::unix_seconds())?)
}

fn read_token(what: &'static str, source: &TokenSource) -> Result<String, StartError> {
    match source {
        TokenSource::Inline(text) => Ok(text.clone()),
        TokenSource::Path(path) => {
            tracing::info!(
                "loading {} from {}",
                what.trim_start_matches("the ").trim_end_matches(" JWT"),
                path.display()
            );
            std::fs::read_to_string(path).map_err(|source| StartError::Read { what, path: path.clone(), source })
        }
    }
}

fn role(settings: &Settings, gate: &Arc<Gate>, metrics: &Arc<Metrics>) -> Result<Role, StartError> {
    let Some(primary) = settings.primary.first() else {
        match &settings.store.dir {
            Some(dir) => tracing::info!("creating a store at {}", dir.display()),
            None => tracing::info!("creating an in-memory store"),
        }
        let setup = primary::Setup {
            dir: settings.store.dir.clone(),
            state_dir: settings.store.state_dir.clone(),
            require_existing: settings.store.require_existing,
            history: settings.store.history.saturating_sub(1),
            cache_bytes: settings.store.cache_bytes,
            activations_per_account: settings.store.activations_per_account,
        };
        return Ok(Role::Primary(Arc::new(Primary::open(&setup, gate.clone())?)));
    };
    let setup = replica::Setup {
        primary: primary.clone(),
        cache_bytes: settings.replica.cache_bytes,
        ttl: settings.replica.ttl,
        timeout: settings.replica.timeout,
        negative_ttl: settings.replica.negative_ttl,
    };
    let replica = Replica::new(setup, gate.clone(), metrics.clone(), tokio::runtime::Handle::current())
        .map_err(StartError::Other)?;
    tracing::info!("starting in replicated mode, with primary at {}", replica.primary());
    Ok(Role::Replica(replica))
}

fn listen(settings: &Settings, node: &Arc<Node>) -> Result<actix_web::dev::Server, StartError> {
    let (host, port) = (&settings.http.host, settings.http.port);
    let address = format!("{host}:{port}");
    let failed = |source| StartError::Listen { address: address.clone(), source };
    let listeners = http::bind(host, port).map_err(failed)?;
    // There is always a first one.
    let local = listeners[0].local_addr().map_err(failed)?;
    let setup = http::Setup {
        workers: settings.http.workers,
        read_timeout: settings.http.read_timeout,
        shutdown_grace: settings.http.shutdown_grace,
        max_connections: settings.http.max_connections,
    };
    let server = http::serve(listeners, node.clone(), &setup).map_err(failed)?;
    tracing::info!("http listening on port {}", local.port());
    tracing::info!("configure the nats-server with:");
    tracing::info!("  resolver: URL(http://{}/jwt/v1/accounts/)", shown(host, &local));
    Ok(server)
}

fn shown(host: &str, local: &SocketAddr) -> String {
    if host.is_empty() || local.ip().is_unspecified() {
        format!("127.0.0.1:{}", local.port())
    } else {
        format!("{host}:{}", local.port())
    }
}

async fn run_primary(
    settings: &Settings,
    node: &Arc<Node>,
    primary: &Arc<Primary>,
    system_jwt: Option<String>,
) -> Result<(), StartError> {
    primary.settle_operator().await;
    if let Some(token) = system_jwt
        && let Err(error) = primary.submit(token.as_bytes(), None, Via::FirstScan).await
        && !matches!(&error, crate::store::journal::CommitError::Refused(refusal) if refusal.is_conflict())
    {
        return Err(StartError::SystemAccountJwt(error.to_string()));
    }
    match nats_setup(settings) {
        None => tracing::info!("NATS is not configured, server will not fire notifications on update"),
        Some(setup) => {
            tracing::info!("connecting to NATS for notifications");
            let connected = nats::connect(&setup).await?;
            node.set_nats(connected.clone());
            let metrics = node.metrics().clone();
            node.set_announcer(Announcer::start(connected, primary.clone(), metrics, setup.receipts_timeout));
        }
    }
    let summary = primary.scan(|refusal| node.metrics().refused(Via::FirstScan, refusal)).await?;
    if summary.files > 0 || summary.others > 0 {
        tracing::info!(
            "took in the folder: {} JWT files, of which {} are new, {} were known, {} are refused; {} files of other names",
            summary.files,
            summary.taken,
            summary.known,
            summary.refused,
            summary.others
        );
    }
    node.set_loaded();
    tokio::spawn(primary.clone().sweep());
    Ok(())
}

async fn run_replica(settings: &Settings, node: &Arc<Node>, replica: &Arc<Replica>) -> Result<(), StartError> {
    node.set_loaded();
    if node.trust().is_none() {
        let replica = replica.clone();
        tokio::spawn(async move { replica.pin_operator().await });
    }
    tokio::spawn(replica.clone().follow());
    if let Some(setup) = nats_setup(settings) {
        tracing::info!("connecting to NATS for account updates");
        let connected = nats::connect(&setup).await?;
        node.set_nats(connected.clone());
        tokio::spawn(nats::hear(connected, replica.clone(), node.clone()));
    }
    Ok(())
}

fn nats_setup(settings: &Settings) -> Option<nats::Setup> {
    let nats = &settings.nats;
    (!nats.servers.is_empty()).then(|| nats::Setup {
        servers: nats.servers.clone(),
        creds: nats.creds.clone(),
        connect_timeout: nats.connect_timeout,
        reconnect_wait: nats.reconnect_wait,
        tls_root: nats.tls.root.clone(),
        tls_client: nats.tls.cert.clone().zip(nats.tls.key.clone()),
        receipts_timeout: nats.receipts_timeout,
    })
}

/// Not ready any more, long answers end, requests under way get their time, then the end. Returns whether they got it:
/// a second signal takes it from them, and then the HTTP server is not waited for. It ends with the process; once it
/// stops gently, it cannot be told to hurry.
async fn stop(node: &Arc<Node>, handle: &ServerHandle) -> bool {
    tracing::info!("stopping account server");
    node.drain();
    tracing::info!("stopping http server");
    tokio::select! {
        () = handle.stop(true) => {
            tracing::info!("http server stopped");
            true
        }
        () = again() => {
            tracing::warn!("told to stop a second time: stopping at once");
            false
        }
    }
}

async fn again() {
    match Signals::install() {
        Ok(mut signals) => signals.wait().await,
        Err(_) => std::future::pending().await,
    }
}

/// The signals that end the process.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> Result<Self, StartError> {
        let install = |kind| signal(kind).map_err(|error| StartError::Other(format!("cannot handle signals: {error}")));
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "terminated",
                _ = self.interrupt.recv() => "interrupt",
                _ = self.hangup.recv() => {
                    tracing::warn!("received sig-hangup; this version reloads nothing, restart it to apply changes");
                    continue;
                }
            };
            tracing::info!("received sig-{name}, shutting down");
            return;
        }
    }
}
