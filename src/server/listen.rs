//! The HTTP server: its address, its TLS, and how many connections it may have.

use std::sync::Arc;

use super::error::StartError;
use crate::access::AccessControl;
use crate::config::{self, Settings};
use crate::descriptors;
use crate::http;
use crate::node::Node;
use crate::tls::ServerTls;
use crate::upstream;

/// What HTTPS is served with, if it is, kept up to date with its files.
pub(super) fn https(settings: &Settings, node: &Arc<Node>) -> Result<Option<Arc<ServerTls>>, StartError> {
    if !settings.http.tls.is_on() {
        return Ok(None);
    }
    let tls = Arc::new(ServerTls::load(&settings.http.tls, node.metrics().clone())?);
    node.serves_https(tls.files().clone());
    tokio::spawn(tls.files().clone().watch());
    Ok(Some(tls))
}

/// Listens on the configured address. Returns the port, too.
pub(super) fn listen(
    settings: &Settings,
    node: &Arc<Node>,
    access: &Arc<AccessControl>,
    tls: Option<&ServerTls>,
) -> Result<(actix_web::dev::Server, u16), StartError> {
    let tls = tls.map(ServerTls::config).transpose().map_err(|error| StartError::Other(error.to_string()))?;
    let (host, port) = (&settings.http.host, settings.http.port);
    let address = http::address::host_port(host, port);
    let failed = |source| StartError::Listen { address: address.clone(), source };
    let listeners = http::bind(host, port).map_err(failed)?;
    // There is always a first one.
    let local = listeners[0].local_addr().map_err(failed)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let setup = http::Setup::of(&settings.http, max_connections(settings), access.clone(), tls);
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
        // The default is no operator's wish, so only a low limit is worth a warning.
        if possible < FEW || wanted != config::Http::default().max_connections {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
    }
    wanted.min(possible)
}
