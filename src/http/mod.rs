//! The HTTP edge: reads a request, asks the node, writes the answer.
//!
//! There is no router. One hand-written match ([`route`]) finds the route from a borrowed path, because the route
//! that matters, `GET /jwt/v1/accounts/<key>`, is a look-up and a write to the socket, and a general router would cost
//! as much as both. One file per family of routes.

mod accept;
mod account;
mod activations;
pub(crate) mod address;
mod ahead;
mod api;
mod bodies;
mod caching;
mod changes;
mod client;
mod connection;
mod cors;
mod digests;
mod dispatch;
mod door;
mod follower;
mod follower_places;
mod followers;
mod held;
mod help;
mod history;
mod keys;
mod limits;
mod listener;
mod listener_kind;
mod mark;
mod meant;
mod miss;
mod notify;
mod operator;
mod outgoing;
mod pace;
mod pack;
mod peer;
mod places;
mod private;
mod problem;
mod propagation;
mod push;
mod query;
mod redirect;
mod rejections;
mod reply;
mod request_id;
mod route;
mod scarce;
mod servers;
mod setup;
mod signing;
mod status;
mod turns;
mod worker_cache;
mod writes;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::HttpServiceBuilder;
use actix_service::boxed::{self, BoxService};
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactoryExt as _, apply_fn_factory, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::{App, web};
use ipnet::IpNet;
use tokio_rustls::TlsAcceptor;

use accept::{Accept, AcceptedSocket, TlsAccept};
use bodies::Bodies;
use connection::Connection;

pub use listener::Socket;
pub(crate) use listener::{bind, bind_unix};
pub use listener_kind::ListenerKind;
use places::ConnectionPlaces;
use rejections::Rejections;

use crate::access::AccessControl;
use crate::config::HttpLimits;
use crate::node::Node;
use crate::throttle::{HeldBack, Throttle, ThrottleBy};

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
    pub limits: HttpLimits,
    /// Origins of web pages whose scripts may use this server; `*` is all of them.
    pub cors_origins: Vec<String>,
    /// Who may do what.
    pub access: Arc<AccessControl>,
}

/// Sockets that are served in the same way.
#[derive(Debug)]
pub struct Listener {
    /// What is served on them.
    pub kind: ListenerKind,
    /// The sockets.
    pub sockets: Vec<Socket>,
    /// How TLS connections are accepted. `None`: plain HTTP.
    pub tls: Option<rustls::ServerConfig>,
}

/// Idle connections are kept this long; nats-server keeps its own for 30 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take where a request may take any time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client that was answered before the end of its body may go on sending.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of answers that a connection may not have sent yet when more are asked for. What a stream is given beyond that, it
/// has to hold itself, where all streams share a bound.
const WRITE_BUFFER: usize = 8 << 10;

/// What the routes share.
#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    read_timeout: Duration,
    scarce: scarce::Scarce,
    notify_limit: notify::NotifyLimit,
    /// Lines about requests that could not be answered: a client can repeat such a request any number of times.
    failures: ThrottleBy<&'static str>,
    /// Lines about replicas whose reports are turned away.
    turned: Throttle,
    rejections: Rejections,
    bodies: Arc<Bodies>,
    trusted_proxies: Vec<IpNet>,
    is_https: bool,
    cors: Option<cors::Cors>,
    limits: limits::Limits,
    access: Arc<AccessControl>,
    /// Lines about credentials that others can read.
    in_plain_text: Throttle,
    mark: mark::ServerMark,
}

impl Shared {
    /// Whether a line about a request that could not be answered may be written now. `what`: the kind of line.
    fn failure(&self, what: &'static str) -> Option<HeldBack> {
        self.failures.turn(what, Instant::now())
    }
}

/// What the routes use on one worker's thread.
#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
    cache: RefCell<worker_cache::WorkerCache>,
    door: RefCell<door::WorkerDoor>,
    mark: mark::ServerMark,
    listener: ListenerKind,
}

/// Serves on listeners until it is stopped.
pub fn serve(listeners: Vec<Listener>, node: Arc<Node>, setup: &Setup) -> std::io::Result<Server> {
    let connections = (setup.max_connections / setup.workers).max(1);
    node.metrics().http.connections_limit.set((connections * setup.workers).try_into().unwrap_or(i64::MAX));
    let (workers, read_timeout) = (setup.workers, setup.read_timeout);
    let shared = Arc::new(Shared {
        bodies: Bodies::new(node.metrics().clone()),
        mark: mark::ServerMark::of(&node),
        scarce: scarce::Scarce::new(node.metrics().clone(), setup.max_connections),
        node,
        read_timeout,
        notify_limit: notify::NotifyLimit::default(),
        failures: ThrottleBy::every(Duration::from_secs(1)),
        turned: Throttle::every(Duration::from_secs(10)),
        rejections: Rejections::default(),
        trusted_proxies: setup.trusted_proxies.clone(),
        is_https: listeners.iter().any(|listener| listener.kind.has_accounts() && listener.tls.is_some()),
        cors: cors::Cors::of(&setup.cors_origins),
        limits: limits::Limits::new(&setup.limits),
        access: setup.access.clone(),
        in_plain_text: Throttle::every(Duration::from_secs(60)),
    });
    let mut server = Server::build()
        .workers(setup.workers)
        .max_concurrent_connections(connections)
        .shutdown_timeout(setup.shutdown_grace.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
        .disable_signals();
    for Listener { kind, sockets, tls } in listeners {
        let tls = tls.map(|config| TlsAccept {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshake: if read_timeout.is_zero() { HANDSHAKE } else { read_timeout },
        });
        for socket in sockets {
            let (shared, tls) = (shared.clone(), tls.clone());
            let serving = move || {
                let node = &shared.node;
                ConnectionPlaces::set_up(
                    workers,
                    connections,
                    read_timeout,
                    node.metrics().clone(),
                    node.draining().clone().cancelled_owned(),
                );
                let expecting = shared.clone();
                let worker = Rc::new(Worker {
                    shared: shared.clone(),
                    cache: RefCell::default(),
                    door: RefCell::new(door::WorkerDoor::of(&shared.access)),
                    mark: mark::ServerMark::of(&shared.node),
                    listener: kind,
                });
                let app = App::new()
                    .default_service(web::to(move |request, payload| dispatch::dispatch(request, payload, &worker)))
                    .into_factory()
                    .map_err(|error: actix_web::Error| error.error_response());
                let http = HttpServiceBuilder::default()
                    .keep_alive(KEEP_ALIVE)
                    .client_request_timeout(read_timeout)
                    .client_disconnect_timeout(LINGER)
                    .h1_write_buffer_size(WRITE_BUFFER)
                    .expect(move |request| bodies::expected(request, expecting.clone()))
                    .on_connect_ext(|connection: &Connection, data| {
                        data.insert(connection.place().clone());
                        if let Some(shown) = connection.shown() {
                            data.insert(shown);
                        }
                    })
                    .h1(map_config(app, |()| AppConfig::default()));
                // In a box, or the compiler meets the types of all that twice, in the types of the server.
                boxed::factory(Accept { http, tls: tls.clone(), shared: shared.clone() })
            };
            server = match socket {
                Socket::Tcp(socket) => {
                    listener::limit_writes(&socket, setup.write_timeout)?;
                    server.listen("http", socket, move || {
                        apply_fn_factory(serving(), |socket, http: &BoxService<AcceptedSocket, (), ()>| {
                            http.call(AcceptedSocket::Tcp(socket))
                        })
                    })?
                }
                Socket::Unix(socket) => server.listen_uds("http", socket, move || {
                    apply_fn_factory(serving(), |socket, http: &BoxService<AcceptedSocket, (), ()>| {
                        http.call(AcceptedSocket::Unix(socket))
                    })
                })?,
            };
        }
    }
    Ok(server.run())
}
