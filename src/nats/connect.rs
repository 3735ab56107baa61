//! The connection.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Server, ServerAddr};

use super::denied::Denied;
use crate::config::{Login, Tls};
use crate::metrics::Metrics;
use crate::node::Connection;
use crate::rarely::Rarely;
use crate::tls::{Snapshot, TlsError};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Servers to try, as URLs. A user and password, or a token, in one of them is used for all.
    pub servers: Vec<String>,
    /// A `.creds` file of a user of the system account.
    pub creds: Option<PathBuf>,
    /// How long one attempt may take.
    pub connect_timeout: Duration,
    /// The pause between attempts; the first one is shorter, and each is varied a little.
    pub reconnect_wait: Duration,
    /// A file of CA certificates to trust, PEM.
    pub tls_root: Option<PathBuf>,
    /// Client certificate and its key, PEM files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long the answers to an announcement are waited for.
    pub receipts_timeout: Duration,
}

/// Why no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A server's address cannot be used. Credentials in it are not repeated.
    #[error("a NATS server URL cannot be used: {0}")]
    Address(String),
    /// The credentials cannot be read.
    #[error("cannot read the NATS credentials {path}: {source}")]
    Creds {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A TLS file cannot be used.
    #[error("cannot use the TLS files for NATS: {0}")]
    Tls(#[from] TlsError),
    /// The client library refused the options.
    #[error("cannot set up the NATS connection: {0}")]
    Options(String),
}

/// How often the connection is tried. Two answers that fail to come end it.
const PING: Duration = Duration::from_secs(5);
/// A connection that was dead all this time would have been noticed.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// The connection, and whether it is still the same one.
#[derive(Debug)]
pub struct Connected {
    client: Client,
    denied: Arc<Denied>,
}

impl Connected {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Changes whenever a new connection is made. Events are no way to know: they are dropped when there are many.
    pub(super) fn generation(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }
}

impl Connection for Connected {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn denied(&self) -> Vec<String> {
        self.denied.all()
    }
}

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Everything but packs.
    Everyday,
    /// Packs, which are large: on a connection of their own they keep nothing else waiting.
    Packs,
}

/// A connection for everyday and one for packs: what others see of them.
#[derive(Debug)]
pub struct Both(pub Arc<Connected>, pub Arc<Connected>);

impl Connection for Both {
    fn is_connected(&self) -> bool {
        self.0.is_connected() && self.1.is_connected()
    }

    fn denied(&self) -> Vec<String> {
        let mut denied = self.0.denied();
        denied.extend(self.1.denied());
        denied
    }
}

/// Starts connecting, and goes on for ever in the background. Fails only on what waiting cannot cure.
pub async fn connect(setup: &Setup, purpose: Purpose, metrics: &Arc<Metrics>) -> Result<Arc<Connected>, ConnectError> {
    let mut login = None;
    let servers = setup
        .servers
        .iter()
        .map(|server| {
            let mut url = server.parse::<ServerAddr>()?.into_inner();
            // The client library neither uses what stands before the `@`, nor keeps it out of its log lines.
            login = login.take().or(Login::take(&mut url));
            ServerAddr::from_url(url)
        })
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|error| ConnectError::Address(error.to_string()))?;
    let addresses = servers.iter().map(ServerAddr::as_url_str).collect::<Vec<_>>().join(", ");
    check_files(setup)?;
    let mut options = match &setup.creds {
        Some(path) => ConnectOptions::with_credentials_file(path)
            .await
            .map_err(|source| ConnectError::Creds { path: path.clone(), source })?,
        None => ConnectOptions::new(),
    };
    options = match login {
        Some(Login::User(name, password)) => options.user_and_password(name, password),
        Some(Login::Token(token)) => options.token(token),
        None => options,
    };
    if let Some(root) = &setup.tls_root {
        options = options.add_root_certificates(root.clone());
    }
    if let Some((cert, key)) = &setup.tls_client {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    let wait = setup.reconnect_wait;
    let denied = Arc::new(Denied::default());
    let told = Arc::new(Mutex::new(String::new()));
    let connected_before = AtomicBool::new(false);
    let (refused, metrics) = (denied.clone(), metrics.clone());
    let client = options
        .name(if purpose == Purpose::Packs { "nats-account-server packs" } else { "nats-account-server" })
        // Else we would hear our own announcements.
        .no_echo()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(setup.connect_timeout)
        .subscription_capacity(1 << 16)
        .reconnect_delay_callback(move |attempts| pause(attempts, wait))
        .ping_interval(PING)
        .reconnect_to_server_callback(move |servers, _| {
            explain(&servers, &told, wait);
            // Whichever it would be.
            async { None }
        })
        .event_callback(move |event| {
            let again = connected_before.load(Ordering::Relaxed);
            match &event {
                // Another connection may have other permissions.
                Event::Connected => {
                    refused.clear();
                    connected_before.store(true, Ordering::Relaxed);
                }
                Event::SlowConsumer(_) => metrics.nats_slow_consumers.inc(),
                _ => {}
            }
            let known = matches!(&event, Event::ServerError(error) if refused.note(&error.to_string()));
            if !known {
                report(&event, purpose, again, &addresses);
            }
            async {}
        })
        .connect(servers)
        .await
        .map_err(|error| ConnectError::Options(error.to_string()))?;
    Ok(Arc::new(Connected { client, denied }))
}

/// The client library reads the files again whenever it connects, and then can only try again. What is wrong with them
/// now is better said now.
fn check_files(setup: &Setup) -> Result<(), TlsError> {
    let (cert, key) = setup.tls_client.clone().unzip();
    let snapshot = Snapshot::read("nats.tls", &Tls { cert, key, root: setup.tls_root.clone() });
    snapshot.roots()?;
    snapshot.identity()?;
    Ok(())
}

/// Says why each server could not be connected to, which the event of a failure does not; what was said last time is not
/// said again.
fn explain(servers: &[Server], told: &Mutex<String>, wait: Duration) {
    let failed = servers.iter().filter(|server| server.failed_attempts > 0);
    let text: Vec<_> = failed
        .filter_map(|server| Some(format!("{}: {}", server.addr.as_url_str(), server.last_error.as_ref()?)))
        .collect();
    let text = text.join("; ");
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if *told != text {
        if !text.is_empty() {
            tracing::warn!("failed to connect to NATS, {text}");
            tracing::info!("will try to connect again in {} milliseconds", wait.as_millis());
        }
        *told = text;
    }
}

/// Half to whole of the configured wait, so that a fleet does not come back in one moment; less at first.
fn pause(attempts: usize, wait: Duration) -> Duration {
    let wait = if attempts <= 1 { wait.min(Duration::from_millis(100)) } else { wait };
    wait.mul_f64(rand::random_range(0.5..=1.0))
}

/// `again`: whether it was connected before. `addresses`: of the servers, without what logs in to them.
fn report(event: &Event, purpose: Purpose, again: bool, addresses: &str) {
    match event {
        Event::Connected if again => tracing::info!("nats reconnected"),
        Event::Connected if purpose == Purpose::Packs => tracing::info!("connected to NATS for JWT syncing"),
        Event::Connected => tracing::info!("connected to NATS for account and activation notifications"),
        Event::Disconnected => tracing::warn!("nats disconnected"),
        Event::LameDuckMode => tracing::info!("the connected nats-server is about to stop"),
        Event::ServerError(error) => tracing::warn!("NATS reports an error: {error}"),
        Event::ClientError(error) => {
            // It is one event for each attempt at each server, and there are two connections.
            static LINE: Rarely = Rarely::every(Duration::from_secs(10));
            if let Some(held_back) = LINE.turn(Instant::now()) {
                tracing::warn!("failed to connect to NATS, {addresses}: {error}{held_back}");
            }
        }
        Event::SlowConsumer(subscription) => {
            // It is one event for each message.
            static LINE: Rarely = Rarely::every(Duration::from_secs(10));
            if let Some(held_back) = LINE.turn(Instant::now()) {
                tracing::warn!(
                    "a message of NATS subscription {subscription} was dropped: they come faster than they are read{held_back}"
                );
            }
        }
        Event::Closed | Event::Draining => tracing::debug!("the NATS connection is closed"),
    }
}
