//! Builds the rooms from the settings, runs them, and takes them down.
//!
//! HTTP comes first: it listens before NATS is connected and before a folder is taken in, because a nats-server that
//! cannot reach it at start does not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock;
use crate::config::{Settings, SystemAccount, TokenSource};
use crate::gate::{Gate, Trust, TrustError, Via};
use crate::http;
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::nats::{self, Announcer, Purpose, Resolver, Signer};
use crate::node::{Node, Role};
use crate::primary::{self, Primary, Source, Tending};
use crate::reload::{Live, Reload};
use crate::replica::{self, Access, Replica};
use crate::store::StoreError;
use crate::store::folder::Layout;
use crate::tls::{ServerTls, TlsError};

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
    /// A TLS file cannot be used.
    #[error("cannot use {0}")]
    Tls(#[from] TlsError),
    /// NATS cannot be set up at all.
    #[error("{0}")]
    Nats(#[from] nats::ConnectError),
    /// Something that a well-formed configuration does not cause.
    #[error("{0}")]
    Other(String),
}

/// Runs the server until it is told to stop. `reload`: how the settings are loaded again at a hang-up.
pub async fn run(settings: Settings, reload: Reload) -> Result<(), StartError> {
    tracing::info!("starting NATS Account server, version {}", env!("CARGO_PKG_VERSION"));
    let mut signals = Signals::install()?;
    let hangups = install(SignalKind::hangup())?;
    let (gate, system_jwt) = gate(&settings)?;
    let gate = Arc::new(gate);
    let role_name = if settings.is_replica() { "replica" } else { "primary" };
    let metrics = Arc::new(Metrics::new(role_name).map_err(|error| StartError::Other(error.to_string()))?);
    let role = role(&settings, &gate, &metrics)?;
    let node = Arc::new(Node::new(role.clone(), gate, metrics));
    node.report_operator();
    let tls = https(&settings, &node)?;
    let https =
        tls.as_ref().map(|tls| tls.config()).transpose().map_err(|error| StartError::Other(error.to_string()))?;
    let https = https.map(|config| http::Https { config, under_way: http::UnderWay::default() });
    let under_way = https.as_ref().map(|https| https.under_way.clone());
    let server = listen(&settings, &node, https)?;
    let handle = server.handle();
    tokio::spawn(reload.at(hangups, Live { settings: settings.clone(), node: node.clone(), tls }));
    let serving = tokio::spawn(server);
    let begin = async {
        match role {
            Role::Primary(primary) => run_primary(&settings, &node, &primary, system_jwt).await.map(Some),
            Role::Replica(replica) => run_replica(&settings, &node, &replica).await.map(|()| None),
        }
    };
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
    if stop(&node, &handle, under_way).await {
        // The listener's own errors were logged; stopping asked for its end.
        let _ = serving.await;
    }
    if let Some(mut tending) = tending {
        tending.finish(settings.http.shutdown_grace).await;
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
    let (system_account, system_jwt) = system_account(settings)?;
    if let Some(trust) = &trust {
        same_system_account(system_account, trust)?;
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

/// The system account that is configured, by its key or by its JWT.
fn system_account(settings: &Settings) -> Result<(Option<AccountKey>, Option<String>), StartError> {
    match &settings.system_account {
        None => Ok((None, None)),
        Some(SystemAccount::Key(key)) => Ok((Some(*key), None)),
        Some(SystemAccount::Token(source)) => {
            let text = read_token("the system account JWT", source)?;
            let token = crate::jwt::decorated::trim(crate::jwt::decorated::token(&text)).to_owned();
            let decoded = crate::jwt::AccountJwt::decode(&token)
                .map_err(|error| StartError::SystemAccountJwt(error.to_string()))?;
            Ok((AccountKey::parse(&decoded.claims.sub).ok(), Some(token)))
        }
    }
}

/// Whether the configured system account, if there is one, is the operator's.
pub(crate) fn check_system_account(settings: &Settings, trust: &Trust) -> Result<(), StartError> {
    same_system_account(system_account(settings)?.0, trust)
}

fn same_system_account(configured: Option<AccountKey>, trust: &Trust) -> Result<(), StartError> {
    match (configured, trust.system_account().copied()) {
        (Some(configured), Some(operator)) if configured != operator => {
            Err(StartError::SystemAccount { operator, configured })
        }
        _ => Ok(()),
    }
}

pub(crate) fn load_operator(source: &TokenSource) -> Result<Trust, StartError> {
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
        let setup = primary::Setup {
            source: source(settings),
            state_dir: settings.store.state_dir.clone(),
            require_existing: settings.store.require_existing,
            history: settings.store.history.saturating_sub(1),
            history_age: settings.store.history_age,
            cache_bytes: settings.store.cache_bytes,
            activations_per_account: settings.store.activations_per_account,
            activation_files: settings.store.activation_files,
        };
        return Ok(Role::Primary(Arc::new(Primary::open(&setup, gate.clone())?)));
    };
    let setup = replica::Setup {
        primary: primary.clone(),
        cache_bytes: settings.replica.cache_bytes,
        ttl: settings.replica.ttl,
        timeout: settings.replica.timeout,
        negative_ttl: settings.replica.negative_ttl,
        access: Access { token: settings.replica.token.clone(), tls: settings.replica.tls.clone() },
    };
    let replica = Replica::new(setup, gate.clone(), metrics.clone(), tokio::runtime::Handle::current())
        .map_err(StartError::Other)?;
    tracing::info!("starting in replicated mode, with primary at {}", replica.primary());
    Ok(Role::Replica(replica))
}

fn source(settings: &Settings) -> Source {
    let store = &settings.store;
    if let Some(dir) = &store.nsc {
        tracing::info!("creating a read-only store for the NSC folder at {}", dir.display());
        return Source::Nsc(dir.clone());
    }
    match &store.dir {
        Some(dir) if store.readonly => {
            tracing::info!("creating a read-only store at {}", dir.display());
            Source::ReadOnly(dir.clone())
        }
        Some(dir) => {
            tracing::info!("creating a store at {}", dir.display());
            let layout = if store.shard { Layout::Sharded } else { Layout::Flat };
            Source::Folder { dir: dir.clone(), layout }
        }
        None => {
            tracing::info!("creating an in-memory store");
            Source::Memory
        }
    }
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
    https: Option<http::Https>,
) -> Result<actix_web::dev::Server, StartError> {
    let (host, port) = (&settings.http.host, settings.http.port);
    let address = format!("{host}:{port}");
    let failed = |source| StartError::Listen { address: address.clone(), source };
    let listeners = http::bind(host, port).map_err(failed)?;
    // There is always a first one.
    let local = listeners[0].local_addr().map_err(failed)?;
    let scheme = if https.is_some() { "https" } else { "http" };
    let setup = http::Setup {
        workers: settings.http.workers,
        read_timeout: settings.http.read_timeout,
        shutdown_grace: settings.http.shutdown_grace,
        max_connections: settings.http.max_connections,
        https,
    };
    let server = http::serve(listeners, node.clone(), &setup).map_err(failed)?;
    tracing::info!("{scheme} listening on port {}", local.port());
    tracing::info!("configure the nats-server with:");
    tracing::info!("  resolver: URL({scheme}://{}/jwt/v1/accounts/)", shown(host, &local));
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
) -> Result<Tending, StartError> {
    primary.settle_operator().await;
    if let Some(token) = system_jwt
        && let Err(error) = primary.submit(token.as_bytes(), None, Via::Configured).await
        && !matches!(&error, crate::store::journal::CommitError::Refused(refusal) if refusal.is_conflict())
    {
        return Err(StartError::SystemAccountJwt(error.to_string()));
    }
    match nats_setup(settings) {
        None => {
            node.receipts().switch_off();
            tracing::info!("NATS is not configured, server will not fire notifications on update");
        }
        Some(setup) => join_nats(settings, &setup, node, primary).await?,
    }
    tokio::spawn(primary.clone().forget());
    let tending = primary.tend(node.metrics(), settings.store.look_interval)?;
    if let Some(mirrored) = tending.mirrored() {
        node.set_mirrored(mirrored.clone());
    }
    tokio::spawn(primary.clone().sweep());
    Ok(tending)
}

/// Takes a primary's part on NATS.
async fn join_nats(
    settings: &Settings,
    setup: &nats::Setup,
    node: &Arc<Node>,
    primary: &Arc<Primary>,
) -> Result<(), StartError> {
    tracing::info!("connecting to NATS for notifications");
    let metrics = node.metrics();
    let connected = nats::connect(setup, Purpose::Everyday, metrics).await?;
    let packs = nats::connect(setup, Purpose::Packs, metrics).await?;
    node.set_nats(Arc::new(nats::Both(connected.clone(), packs.clone())));
    if node.is_writable() {
        if let Some(subject) = settings.nats.sign_request_subject.clone() {
            tracing::info!("JWTs that accounts signed themselves are sent to the signing service on {subject}");
            node.set_signer(Arc::new(Signer::new(connected.clone(), subject, settings.nats.sign_request_timeout)));
        }
        tokio::spawn(nats::hear_activations(connected.clone(), node.clone()));
    }
    let (receipts, timeout) = (node.receipts().clone(), setup.receipts_timeout);
    let announcer = Announcer::start(connected.clone(), primary.clone(), metrics.clone(), receipts, timeout);
    node.set_announcer(announcer);
    Resolver::start(connected, Some(packs), node.clone(), &resolver_options(settings)).await;
    Ok(())
}

async fn run_replica(settings: &Settings, node: &Arc<Node>, replica: &Arc<Replica>) -> Result<(), StartError> {
    if node.trust().is_none() {
        let replica = replica.clone();
        tokio::spawn(async move { replica.pin_operator().await });
    }
    tokio::spawn(replica.tls_files().clone().watch());
    tokio::spawn(replica.clone().follow());
    if let Some(setup) = nats_setup(settings) {
        tracing::info!("connecting to NATS for account updates");
        let connected = nats::connect(&setup, Purpose::Everyday, node.metrics()).await?;
        node.set_nats(connected.clone());
        Resolver::start(connected.clone(), None, node.clone(), &resolver_options(settings)).await;
        tokio::spawn(nats::hear(connected.clone(), replica.clone(), node.clone()));
        tokio::spawn(nats::hear_activations(connected, node.clone()));
    }
    Ok(())
}

const fn resolver_options(settings: &Settings) -> nats::Options {
    let nats = &settings.nats;
    nats::Options { mode: nats.resolver, responder: nats.pack_responder, sync_interval: nats.sync_interval }
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
/// stops gently, it cannot be told to hurry. Nor is it waited for if it only waits for idle connections over HTTPS.
async fn stop(node: &Arc<Node>, handle: &ServerHandle, under_way: Option<http::UnderWay>) -> bool {
    tracing::info!("stopping account server");
    node.drain();
    tracing::info!("stopping http server");
    tokio::select! {
        () = handle.stop(true) => {
            tracing::info!("http server stopped");
            true
        }
        () = idle(under_way) => {
            tracing::info!("http server stopped");
            false
        }
        () = again() => {
            tracing::warn!("told to stop a second time: stopping at once");
            false
        }
    }
}

async fn idle(under_way: Option<http::UnderWay>) {
    match under_way {
        Some(under_way) => under_way.none().await,
        None => std::future::pending().await,
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
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Self, StartError> {
        Ok(Self { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupt",
        };
        tracing::info!("received sig-{name}, shutting down");
    }
}

fn install(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| StartError::Other(format!("cannot handle signals: {error}")))
}
