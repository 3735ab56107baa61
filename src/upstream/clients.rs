//! The HTTP clients for account servers. They are replaced when their TLS files or their token change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, VIA};

use super::{Access, Setup};
use crate::config::Secret;
use crate::metrics::Metrics;
use crate::tls::{NotAfter, TlsError, TlsFiles, TlsFilesUser, TlsSnapshot};

pub(super) const SECTION: &str = "replica.tls";
/// The largest number of requests to a server under way, each on its own connection. As many idle connections are kept.
pub const MOST_REQUESTS: usize = 512;
/// How long idle connections are kept. Our servers keep them for 75 seconds, and load balancers usually for 60. The
/// client should be the side that closes.
const IDLE: Duration = Duration::from_secs(30);
/// The interval of TCP keepalive probes on an idle connection.
const ALIVE: Duration = Duration::from_secs(2);
/// The number of missed probes in a row after which a connection is dead. Without probes, each dead connection costs a
/// request its time limit.
const MISSED: u32 = 2;

/// A client for commands, which send few requests. It has no time limit for an answer. The error says which TLS file is
/// unusable.
pub fn client(access: &Access) -> Result<reqwest::Client, TlsError> {
    Ok(Pair::of(&TlsSnapshot::read(SECTION, &access.tls), CONNECT, access.token.as_ref(), None)?.0.streams)
}

/// The header that shows a token, if there is one. The error says why it cannot be shown.
pub(crate) fn bearer(token: Option<&Secret>) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        // The settings accept only characters that a header can carry.
        let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
        let mut value = value.map_err(|_| "the token has characters that a header cannot carry")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The time limit for the connections of commands, at most.
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
    /// Sends neither the token nor the certificate.
    plain: reqwest::Client,
    has_certificate: bool,
}

impl Clients {
    /// The clients of a replica, and the TLS files to watch. Requests carry `name`, the name of this process.
    pub(super) fn load(
        setup: &Setup,
        name: Arc<str>,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, Arc<TlsFiles>), TlsError> {
        let Setup { access, timeout, .. } = setup;
        let timeout = *timeout;
        let snapshot = TlsSnapshot::read(SECTION, &access.tls);
        let (pair, not_after) = Pair::of(&snapshot, timeout, access.token.as_ref(), Some(&name))?;
        let token = Mutex::new(access.token.clone());
        let clients = Arc::new(Self { timeout, name, token, current: ArcSwap::from_pointee(pair) });
        let files = TlsFiles::new(SECTION, access.tls.clone(), &snapshot, not_after.as_ref(), clients.clone(), metrics);
        Ok((clients, files))
    }

    /// Uses another token from the next reload of the TLS files on. The caller starts that reload.
    pub(super) fn set_token(&self, token: Option<Secret>) {
        *self.token.lock() = token;
    }

    /// Whether requests show a token or a certificate.
    pub(super) fn has_credentials(&self) -> bool {
        self.current.load().has_certificate || self.token.lock().is_some()
    }

    /// The name of this process on the wire.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The client for requests that are answered at once.
    pub(super) fn short(&self) -> reqwest::Client {
        self.current.load().short.clone()
    }

    /// Advice about a primary that accepts a TLS connection and then closes it. Its reason may be lost with the
    /// connection.
    pub(super) fn advice(&self) -> &'static str {
        if self.current.load().has_certificate {
            "does it accept our certificate?"
        } else {
            "if it requires a client certificate, set replica.tls.cert and replica.tls.key"
        }
    }

    /// The client for requests on behalf of other clients, which must not use our credentials.
    pub(super) fn plain(&self) -> reqwest::Client {
        self.current.load().plain.clone()
    }

    /// The client for answers without an end.
    pub(super) fn streams(&self) -> reqwest::Client {
        self.current.load().streams.clone()
    }
}

impl TlsFilesUser for Clients {
    fn apply(&self, snapshot: &TlsSnapshot) -> Result<Option<NotAfter>, TlsError> {
        let token = self.token.lock().clone();
        let (pair, not_after) = Pair::of(snapshot, self.timeout, token.as_ref(), Some(&self.name))?;
        // Requests under way end with the earlier clients.
        self.current.store(Arc::new(pair));
        Ok(not_after)
    }
}

impl Pair {
    fn of(
        snapshot: &TlsSnapshot,
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
        let mut headers = bearer(token).map_err(|why| snapshot.refused(why.to_owned()))?;
        // A server notices by this header that a request came by way of itself. A load balancer recognises a replica by
        // it.
        if let Some(name) = name.and_then(|name| HeaderValue::from_str(&format!("1.1 {name}")).ok()) {
            headers.insert(VIA, name);
        }
        let client = |shows_us: bool| {
            let mut client = reqwest::Client::builder()
                .no_proxy()
                // A redirection could make this server send requests inside its own network.
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
