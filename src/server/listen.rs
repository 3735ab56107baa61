//! The HTTP server: its addresses, its TLS, and how many connections it may have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StartError;
use super::inherited::InheritedSockets;
use crate::access::AccessControl;
use crate::config::{Http, HttpTls, ListenAddress, Settings};
use crate::descriptors;
use crate::http::{self, Listener, ListenerKind, Socket};
use crate::node::Node;
use crate::tls::ServerTls;
use crate::upstream;

/// The certificates that HTTPS is served with, kept up to date with their files.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// Of the main listener. `None`: it speaks plain HTTP.
    pub(crate) main: Option<ServerTls>,
    /// Of the one for operators.
    pub(crate) admin: Option<ServerTls>,
}

impl Certificates {
    /// As the settings say.
    pub(super) fn load(settings: &Settings, node: &Arc<Node>) -> Result<Self, StartError> {
        let load = |section, tls: &HttpTls| {
            let tls = tls.is_on().then(|| ServerTls::load(section, tls, node.metrics().clone())).transpose()?;
            if let Some(tls) = &tls {
                tokio::spawn(tls.files().clone().watch());
            }
            Ok::<_, StartError>(tls)
        };
        let main = load("http.tls", &settings.http.tls)?;
        if let Some(tls) = &main {
            node.serves_https(tls.files().clone());
        }
        let admin = if settings.admin.listen.is_some() { load("admin.tls", &settings.admin.tls)? } else { None };
        Ok(Self { main, admin })
    }
}

/// A server that listens.
pub(super) struct Listening {
    pub(super) server: actix_web::dev::Server,
    /// The port of the first main address.
    pub(super) port: u16,
    /// The Unix socket that this server has made. It is removed when this is dropped.
    pub(super) made: Option<MadeSocket>,
}

/// A Unix socket that this process has made.
pub(super) struct MadeSocket(PathBuf);

impl Drop for MadeSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove the socket {}: {error}", self.0.display());
        }
    }
}

/// Listens on the configured addresses, or on the sockets that systemd has opened.
pub(super) fn listen(
    settings: &Settings,
    node: &Arc<Node>,
    certificates: &Certificates,
    access: &Arc<AccessControl>,
) -> Result<Listening, StartError> {
    let config = |tls: &Option<ServerTls>| {
        tls.as_ref().map(ServerTls::config).transpose().map_err(|error| StartError::Other(error.to_string()))
    };
    let (main_tls, admin_tls) = (config(&certificates.main)?, config(&certificates.admin)?);
    let scheme = if main_tls.is_some() { "https" } else { "http" };
    let InheritedSockets { main, admin } = InheritedSockets::take().map_err(StartError::Other)?;
    let (main, host, local) = if main.is_empty() {
        bind_main(&settings.http)?
    } else {
        tracing::info!("listening on the sockets of systemd, not on those of the settings");
        let local = main.iter().find_map(Socket::local);
        let local = local.ok_or_else(|| StartError::Other("systemd has opened no TCP socket for it".to_owned()))?;
        (main, local.ip().to_string(), local)
    };
    let mut made = None;
    let (admin, place) = match &settings.admin.listen {
        _ if !admin.is_empty() => (admin, "a socket of systemd".to_owned()),
        Some(address) => {
            let bound = bind_address(address)?;
            if let ListenAddress::Unix(path) = address {
                made = Some(MadeSocket(path.clone()));
            }
            (bound, address.to_string())
        }
        None => (Vec::new(), String::new()),
    };
    let kind = if admin.is_empty() { ListenerKind::Sole } else { ListenerKind::Main };
    let mut listeners = vec![Listener { kind, sockets: main, tls: main_tls }];
    if !admin.is_empty() {
        tracing::info!("metrics, verbose health and the API are on {place} alone");
        listeners.push(Listener { kind: ListenerKind::Admin, sockets: admin, tls: admin_tls });
    }
    let setup = http::Setup::of(&settings.http, max_connections(settings), access.clone());
    let failed = |source| StartError::Listen { address: http::address::host_port(&host, local.port()), source };
    let server = http::serve(listeners, node.clone(), &setup).map_err(failed)?;
    tracing::info!("{scheme} listening on port {}", local.port());
    tracing::info!("configure the nats-server with:");
    tracing::info!("  {}", http::address::resolver(&http::address::base(scheme, &host, &local)));
    Ok(Listening { server, port: local.port(), made })
}

/// Listens on the main addresses. Returns the first one as it is configured, and as it is.
fn bind_main(http: &Http) -> Result<(Vec<Socket>, String, SocketAddr), StartError> {
    let (mut sockets, mut first) = (Vec::new(), None);
    for address in http.addresses() {
        let bound = bind_address(&address)?;
        if let (None, ListenAddress::Tcp { host, .. }) = (&first, address) {
            first = bound.iter().find_map(Socket::local).map(|local| (host, local));
        }
        sockets.extend(bound);
    }
    let (host, local) = first.ok_or_else(|| StartError::Other("there is no address to listen on".to_owned()))?;
    Ok((sockets, host, local))
}

fn bind_address(address: &ListenAddress) -> Result<Vec<Socket>, StartError> {
    let bound = match address {
        ListenAddress::Tcp { host, port } => {
            http::bind(host, *port).map(|bound| bound.into_iter().map(Socket::Tcp).collect())
        }
        ListenAddress::Unix(path) => http::bind_unix(path).map(|bound| vec![Socket::Unix(bound)]),
    };
    bound.map_err(|source| StartError::Listen { address: address.to_string(), source })
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
        // The default is no operator's wish, so only a low limit is worth a warning.
        if possible < FEW || wanted != Http::default().max_connections {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
    }
    wanted.min(possible)
}
