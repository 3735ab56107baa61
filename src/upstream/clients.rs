//! The HTTP clients that a replica asks its primary with, made anew when their TLS files or their token change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, VIA};

use super::{Access, Setup};
use crate::config::Secret;
use crate::metrics::Metrics;
use crate::tls::{Files, NotAfter, Snapshot, TlsError, User};

pub(super) const SECTION: &str = "replica.tls";
/// Requests to a server that are under way at the same time at most, each on a connection. As many idle ones are kept.
pub const MOST_REQUESTS: usize = 512;
/// How long they are kept. Servers of ours keep them for 75 seconds, and load balancers for 60 as a rule: the side that closes
/// one should be the one that sends requests.
const IDLE: Duration = Duration::from_secs(30);
/// How often the system asks the other side of an idle connection for a sign of life.
const ALIVE: Duration = Duration::from_secs(2);
/// Signs of life that are missed in a row on a connection that is dead. Else every idle connection would cost a request its
/// time after a network lost them.
const MISSED: u32 = 2;

/// A client for who asks a primary now and then, and is no replica. It waits for answers as long as they come.
pub fn client(access: &Access) -> Result<reqwest::Client, TlsError> {
    Ok(Pair::of(&Snapshot::read(SECTION, &access.tls), CONNECT, access.token.as_ref(), None)?.0.streams)
}

/// How long such a one waits for a connection at most.
const CONNECT: Duration = Duration::from_secs(1);

/// The clients in use.
#[derive(Debug)]
pub(super) struct Clients {
    timeout: Duration,
    name: Arc<str>,
    token: Mutex<Option<Secret>>,
    current: ArcSwap<Pair>,
}

#[derive(Debug)]
struct Pair {
    short: reqwest::Client,
    streams: reqwest::Client,
    /// Shows neither the token nor the certificate.
    plain: reqwest::Client,
    has_certificate: bool,
}

impl Clients {
    /// The clients of a replica, and the files to be watched. Requests carry the name of this process.
    pub(super) fn load(
        setup: &Setup,
        name: Arc<str>,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, Arc<Files>), TlsError> {
        let Setup { access, timeout, .. } = setup;
        let timeout = *timeout;
        let snapshot = Snapshot::read(SECTION, &access.tls);
        let (pair, not_after) = Pair::of(&snapshot, timeout, access.token.as_ref(), Some(&name))?;
        let token = Mutex::new(access.token.clone());
        let clients = Arc::new(Self { timeout, name, token, current: ArcSwap::from_pointee(pair) });
        let files = Files::new(SECTION, access.tls.clone(), &snapshot, not_after.as_ref(), clients.clone(), metrics);
        Ok((clients, files))
    }

    /// Shows another token from the next change of the files on, which the caller brings about.
    pub(super) fn set_token(&self, token: Option<Secret>) {
        *self.token.lock() = token;
    }

    /// By what this process knows itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For requests that are answered at once.
    pub(super) fn short(&self) -> reqwest::Client {
        self.current.load().short.clone()
    }

    /// What to do about a primary that takes a TLS connection and then closes it: its word for the reason may be lost
    /// with the connection.
    pub(super) fn advice(&self) -> &'static str {
        if self.current.load().has_certificate {
            "does it accept our certificate?"
        } else {
            "if it wants a client certificate: name one in replica.tls.cert, and its key in replica.tls.key"
        }
    }

    /// For what others ask through this replica: our credentials are not theirs.
    pub(super) fn plain(&self) -> reqwest::Client {
        self.current.load().plain.clone()
    }

    /// For answers that do not end.
    pub(super) fn streams(&self) -> reqwest::Client {
        self.current.load().streams.clone()
    }
}

impl User for Clients {
    fn apply(&self, snapshot: &Snapshot) -> Result<Option<NotAfter>, TlsError> {
        let token = self.token.lock().clone();
        let (pair, not_after) = Pair::of(snapshot, self.timeout, token.as_ref(), Some(&self.name))?;
        // What is under way ends with the clients that it began with.
        self.current.store(Arc::new(pair));
        Ok(not_after)
    }
}

impl Pair {
    fn of(
        snapshot: &Snapshot,
        timeout: Duration,
        token: Option<&Secret>,
        name: Option<&str>,
    ) -> Result<(Self, Option<NotAfter>), TlsError> {
        let refused = |error: reqwest::Error| snapshot.refused(error.to_string());
        let roots: Vec<_> = snapshot
            .roots()?
            .iter()
            .map(|root| reqwest::Certificate::from_der(root))
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        let identity = snapshot.identity()?;
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            // The settings take only what can stand in a header.
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| snapshot.refused("the token cannot stand in a header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // It is how a server notices that it is asked by way of itself, and how a load balancer knows a replica.
        if let Some(name) = name.and_then(|name| HeaderValue::from_str(&format!("1.1 {name}")).ok()) {
            headers.insert(VIA, name);
        }
        let client = |shows_us: bool| {
            let mut client = reqwest::Client::builder()
                .no_proxy()
                // A primary that could send us anywhere could make us ask inside the network that we stand in.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(timeout.min(Duration::from_millis(800)))
                .tcp_nodelay(true)
                .http1_only()
                .pool_max_idle_per_host(MOST_REQUESTS)
                .pool_idle_timeout(IDLE)
                .tcp_keepalive(ALIVE)
                .tcp_keepalive_interval(ALIVE)
                .tcp_keepalive_retries(MISSED)
                .tcp_user_timeout(ALIVE * (MISSED + 1))
                .user_agent(concat!("nats-account-server/", env!("CARGO_PKG_VERSION")));
            if !roots.is_empty() {
                client = client.tls_certs_merge(roots.clone());
            }
            if !shows_us {
                return Ok(client);
            }
            client = client.default_headers(headers.clone());
            if let Some(identity) = &identity {
                client = client.identity(reqwest::Identity::from_pem(identity.to_pem().as_bytes()).map_err(refused)?);
            }
            Ok(client)
        };
        let pair = Self {
            short: client(true)?.timeout(timeout).build().map_err(refused)?,
            streams: client(true)?.build().map_err(refused)?,
            plain: client(false)?.build().map_err(refused)?,
            has_certificate: identity.is_some(),
        };
        Ok((pair, identity.and_then(|identity| identity.not_after)))
    }
}
