//! The HTTP edge: reads a request, asks the node, writes the answer.
//!
//! There is no router. One hand-written match ([`route`]) finds the route from a borrowed path, because the route
//! that matters, `GET /jwt/v1/accounts/<key>`, is a look-up and a write to the socket, and a general router would cost
//! as much as both. One file per family of routes.

mod account;
mod activations;
mod ahead;
mod allow;
mod changes;
mod client;
mod conditional;
mod cors;
mod digests;
mod dispatch;
mod followers;
mod front;
mod health;
mod help;
mod history;
mod keys;
mod lifetime;
mod limits;
mod listener;
mod moved;
mod notify;
mod operator;
mod pack;
mod propagation;
mod push;
mod query;
mod reply;
mod route;
mod servers;
mod signing;
mod writes;

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use ipnet::IpNet;
use tokio::sync::Semaphore;

pub use limits::Rates;
pub(crate) use listener::bind;

use crate::node::Node;
use crate::rarely::Rarely;

/// How the server listens and what it allows.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Threads that serve connections.
    pub workers: usize,
    /// How long a client may take to send a request, and its body.
    pub read_timeout: Duration,
    /// How long a client that is being answered may take nothing; zero is any time.
    pub write_timeout: Duration,
    /// How long requests under way may take to end when the process stops.
    pub shutdown_grace: Duration,
    /// Connections open at the same time.
    pub max_connections: usize,
    /// Proxies that are believed what they say about the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// What one client may cost.
    pub rates: Rates,
    /// Origins of web pages whose scripts may use this server; `*` is all of them.
    pub cors_origins: Vec<String>,
    /// How TLS connections are accepted. `None`: plain HTTP.
    pub tls: Option<rustls::ServerConfig>,
}

/// Idle connections are kept this long; nats-server keeps its own for 30 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take where a request may take any time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Followers of the change feed at the same time.
const MAX_FOLLOWERS: usize = 2000;
/// Comparisons at the same time: each has one of the journal's readers for some milliseconds, and GETs need them, too.
const MAX_COMPARISONS: usize = 2;
/// Packs that are sent at the same time.
const MAX_PACKS: usize = 4;

/// What the routes share.
#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    read_timeout: Duration,
    followers: Arc<Semaphore>,
    comparisons: Semaphore,
    packs: Arc<Semaphore>,
    notify_limit: notify::Limit,
    /// Lines about JWTs that could not be looked up: while the primary is away, every request would write one.
    failures: Rarely,
    /// Lines about replicas whose reports are turned away.
    turned: Rarely,
    trusted_proxies: Vec<IpNet>,
    cors: Option<cors::Cors>,
    limits: limits::Limits,
}

/// What the routes use on one worker's thread.
#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
    front: RefCell<front::Front>,
}

/// Serves on listeners until it is stopped.
pub fn serve(listeners: Vec<TcpListener>, node: Arc<Node>, setup: &Setup) -> std::io::Result<Server> {
    let shared = Arc::new(Shared {
        node,
        read_timeout: setup.read_timeout,
        followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
        comparisons: Semaphore::new(MAX_COMPARISONS),
        packs: Arc::new(Semaphore::new(MAX_PACKS)),
        notify_limit: notify::Limit::default(),
        failures: Rarely::every(Duration::from_secs(1)),
        turned: Rarely::every(Duration::from_secs(10)),
        trusted_proxies: setup.trusted_proxies.clone(),
        cors: cors::Cors::of(&setup.cors_origins),
        limits: limits::Limits::new(&setup.rates),
    });
    let connections = setup.max_connections.div_ceil(setup.workers);
    let handshake = if setup.read_timeout.is_zero() { HANDSHAKE } else { setup.read_timeout };
    let mut server = HttpServer::new(move || {
        let worker = Rc::new(Worker { shared: shared.clone(), front: RefCell::default() });
        App::new().default_service(web::to(move |request, payload| dispatch::dispatch(request, payload, &worker)))
    })
    .workers(setup.workers)
    .max_connections(connections)
    // Whoever opens connections and says nothing must not keep others from their handshakes before he keeps them from
    // their connections.
    .max_connection_rate(connections)
    .tls_handshake_timeout(handshake)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(setup.read_timeout)
    .shutdown_timeout(setup.shutdown_grace.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
    // Else an event of the feed waits for the acknowledgement of the one before.
    .tcp_nodelay(true)
    .disable_signals();
    for listener in listeners {
        listener::limit_writes(&listener, setup.write_timeout)?;
        server = match &setup.tls {
            Some(config) => server.listen_rustls_0_23(listener, config.clone())?,
            None => server.listen(listener)?,
        };
    }
    Ok(server.run())
}
