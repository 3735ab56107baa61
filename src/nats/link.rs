//! The connections of this process to NATS, and what they share: the addresses, the user, and what is wrong.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ServerAddr};
use parking_lot::Mutex;

use super::creds::Life;
use super::explain::Fault;
use super::faults::{ConnectFailure, Faults};
use super::permissions::MissingPermissions;
use super::setup::{ConnectError, Setup};
use super::user::{Look, User};
use crate::clock;
use crate::config::{Login, Tls};
use crate::metrics::Metrics;
use crate::node::{Connection, Node};
use crate::tls::{TlsError, TlsSnapshot};

/// How often the credentials file is read, and its account compared.
const LOOK: Duration = Duration::from_secs(1);

/// What the connections share.
#[derive(Debug)]
pub struct Link {
    pub(super) setup: Setup,
    /// Without what logs in there.
    pub(super) servers: Vec<ServerAddr>,
    pub(super) user: User,
    pub(super) faults: Faults,
    pub(super) metrics: Arc<Metrics>,
    connections: Mutex<Vec<Arc<Connected>>>,
    /// Which connections have been there, and whether each is there now.
    there: Mutex<HashMap<Purpose, bool>>,
    /// Whether a nats-server answers the roll call, as far as is known.
    is_heard: AtomicBool,
    reloaded: tokio::sync::Notify,
}

impl Link {
    /// Checks the addresses and the TLS files. Fails only on what waiting cannot cure.
    pub fn new(setup: Setup, metrics: Arc<Metrics>) -> Result<Arc<Self>, ConnectError> {
        let mut login = None;
        let servers = setup
            .servers
            .iter()
            .map(|server| {
                let mut url = server.parse::<ServerAddr>()?.into_inner();
                // The client library neither uses what is before the `@`, nor keeps it out of its log lines.
                login = login.take().or(Login::take(&mut url));
                ServerAddr::from_url(url)
            })
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|error| ConnectError::Address(error.to_string()))?;
        check_files(&setup)?;
        let user = User::new(setup.creds.clone(), login, metrics.clone());
        Ok(Arc::new(Self {
            setup,
            servers,
            user,
            faults: Faults::default(),
            metrics,
            connections: Mutex::default(),
            there: Mutex::default(),
            is_heard: AtomicBool::new(true),
            reloaded: tokio::sync::Notify::new(),
        }))
    }

    /// Reads the credentials file now. The error is of one line, without the file's name.
    pub async fn check_creds(&self) -> Result<(), ConnectError> {
        let path = self.setup.creds.clone().unwrap_or_default();
        self.user.look(Look::AtOnce).await.map_err(|reason| ConnectError::Creds { path, reason })
    }

    /// Looks at the credentials file now and then, for ever, and compares its account with the system account. Connections
    /// that were made with other credentials than the file holds now are made again.
    pub async fn watch(self: Arc<Self>, node: Arc<Node>) {
        let (mut look, mut is_reload) = (Look::AtOnce, false);
        loop {
            let read = self.user.look(look).await;
            if is_reload && self.user.has_file() {
                self.metrics.reloaded("nats.creds", read.is_ok());
            }
            self.user.report_account(node.system_account());
            if self.user.report_life() == Life::Over {
                let failure = self.explain("user authentication expired", None);
                self.report(&[failure]);
            }
            self.renew().await;
            is_reload = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = self.reloaded.notified() => true,
            };
            look = if is_reload { Look::AtOnce } else { Look::Routine };
        }
    }

    pub(super) fn add(&self, connection: Arc<Connected>) {
        self.connections.lock().push(connection);
    }

    /// Notes that a connection is there. Returns whether that ends a break.
    pub(super) fn up(&self, purpose: Purpose) -> bool {
        let mut there = self.there.lock();
        let was_down = there.insert(purpose, true) == Some(false);
        let connections = self.connections.lock().len();
        if there.len() >= connections && there.values().all(|is_there| *is_there) {
            self.faults.succeeded();
        }
        was_down && there.values().all(|is_there| *is_there)
    }

    /// Notes that a connection was lost. Returns whether that begins a break.
    pub(super) fn down(&self, purpose: Purpose) -> bool {
        let mut there = self.there.lock();
        let is_first = there.values().all(|is_there| *is_there);
        there.insert(purpose, false);
        is_first
    }

    /// Makes connections again that were made with other credentials. The nats-server would end them when those expire, and
    /// then the gap would be longer.
    async fn renew(&self) {
        let Some(facts) = self.user.facts() else { return };
        if facts.exp != 0 && facts.exp <= clock::unix_seconds() {
            return;
        }
        let connections = self.connections.lock().clone();
        let old: Vec<_> = connections.iter().filter(|connection| connection.uses_other_than(facts.digest)).collect();
        if !old.is_empty() {
            tracing::info!(user = facts.user, "the NATS credentials have changed; connecting again with them");
        }
        for connection in old {
            connection.connect_again(facts.digest).await;
        }
    }

    /// What an error means. `server`: where it came from, if that matters.
    pub(super) fn explain(&self, error: &str, server: Option<&ServerAddr>) -> ConnectFailure {
        let (fault, text) = super::explain::explain(error, server.map_or("", ServerAddr::scheme), &self.user.who());
        let server = match fault {
            Fault::Dns => Some(self.names()),
            _ => server.map(|server| server.as_url_str().to_owned()),
        };
        ConnectFailure { server, fault, text }
    }

    /// Reports failures to connect, unless they were reported before.
    pub(super) fn report(&self, failures: &[ConnectFailure]) {
        if let Some(line) = self.faults.failed(failures, Instant::now()) {
            tracing::warn!("failed to connect to NATS, {line}");
            let wait = self.setup.reconnect_wait.as_millis();
            tracing::info!("will try to connect again in {wait} milliseconds");
        }
    }

    /// The connection for everything but packs. `None`: the edge has not been started yet.
    pub(super) fn everyday(&self) -> Option<Arc<Connected>> {
        let connections = self.connections.lock();
        connections.iter().find(|connection| connection.purpose == Purpose::Everyday).cloned()
    }

    /// Whether the account of the user is known, and need not be found out.
    pub fn has_creds(&self) -> bool {
        self.user.has_file()
    }

    /// Notes whether a nats-server answers the roll call.
    pub(super) fn heard(&self, is_heard: bool) {
        if self.is_heard.swap(is_heard, Ordering::Relaxed) == is_heard {
            return;
        }
        if is_heard {
            tracing::info!("a nats-server answers the roll call");
        } else if self.user.outside().is_none() {
            tracing::warn!("{UNHEARD}");
        }
    }

    /// The addresses that name their host, for people.
    fn names(&self) -> String {
        let is_name = |server: &&ServerAddr| server.host().parse::<std::net::IpAddr>().is_err();
        let names: Vec<&str> = self.servers.iter().filter(is_name).map(ServerAddr::as_url_str).collect();
        names.join(", ")
    }
}

/// The connection, and whether it is still the same one.
#[derive(Debug)]
pub struct Connected {
    pub(super) purpose: Purpose,
    pub(super) client: Client,
    pub(super) permissions: Arc<MissingPermissions>,
    pub(super) link: Arc<Link>,
    /// The user JWT that it was made with, by its SHA-256.
    pub(super) used: Arc<Mutex<Option<[u8; 32]>>>,
}

impl Connected {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What it shares with other connections.
    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Whether it is there now.
    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What its user was found not to be permitted, as in `subscribe to $SYS.REQ.CLAIMS.LIST`.
    pub(super) fn denied(&self) -> Vec<String> {
        self.permissions.all()
    }

    /// Why the latest attempt to connect failed. It names no file.
    pub(super) fn failure(&self) -> Option<String> {
        self.link.faults.latest()
    }

    /// Changes whenever a new connection is made. Events are no way to know: they are dropped when there are many.
    pub(super) fn generation(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    /// Whether it is there, and was made with another user JWT.
    pub(super) fn uses_other_than(&self, jwt: [u8; 32]) -> bool {
        let used = *self.used.lock();
        self.is_connected() && used != Some(jwt)
    }

    /// Makes the connection again. `jwt`: what it will be made with.
    pub(super) async fn connect_again(&self, jwt: [u8; 32]) {
        *self.used.lock() = Some(jwt);
        // It fails when the client is closed, which it never is.
        let _ = self.client.force_reconnect().await;
    }
}

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Everything but packs.
    Everyday,
    /// Packs, which are large: on a connection of their own they keep nothing else waiting.
    Packs,
}

impl Connection for Link {
    fn is_connected(&self) -> bool {
        let connections = self.connections.lock();
        !connections.is_empty() && connections.iter().all(|connection| connection.is_connected())
    }

    fn denied(&self) -> Vec<String> {
        self.connections.lock().iter().flat_map(|connection| connection.denied()).collect()
    }

    fn failure(&self) -> Option<String> {
        self.faults.latest()
    }

    fn problem(&self) -> Option<String> {
        let unheard = || (!self.is_heard.load(Ordering::Relaxed)).then(|| UNHEARD.to_owned());
        self.user.outside().or_else(unheard)
    }

    fn user_end(&self) -> Option<i64> {
        self.user.facts().map(|facts| facts.exp)
    }

    fn reload(&self, creds: Option<PathBuf>) {
        self.user.set_path(creds);
        self.reloaded.notify_one();
    }
}

/// What it means that no nats-server answers the roll call, and what to do.
const UNHEARD: &str = "no nats-server answers the roll call, so nats-servers and this server do not hear each other; check \
                       that the user is of the system account, and may publish to $SYS.REQ.SERVER.PING and subscribe to \
                       _INBOX.>";

/// The client library reads the files again whenever it connects, and then can only try again. What is wrong with them
/// now is better said now.
fn check_files(setup: &Setup) -> Result<(), TlsError> {
    let (cert, key) = setup.tls_client.clone().unzip();
    let snapshot = TlsSnapshot::read("nats.tls", &Tls { cert, key, root: setup.tls_root.clone() });
    snapshot.roots()?;
    snapshot.identity()?;
    Ok(())
}
