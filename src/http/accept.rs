//! From an accepted socket to the end of its connection: the place, the handshake of TLS, the requests, and what is said about
//! a connection that came to nothing.

use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::{DispatchError, ParseError};
use actix_web::dev::{Service, ServiceFactory};
use futures_util::future::LocalBoxFuture;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::connection::{ClientStream, Connection};
use super::places::{ConnectionPlaces, TakenPlace};

/// Makes the service of a worker.
pub(super) struct Accept<H> {
    /// What answers the requests of a connection.
    pub(super) http: H,
    pub(super) tls: Option<TlsAccept>,
    pub(super) shared: Arc<Shared>,
}

/// How HTTPS is accepted.
#[derive(Clone)]
pub(super) struct TlsAccept {
    pub(super) acceptor: TlsAcceptor,
    /// How long a handshake may take.
    pub(super) handshake: Duration,
}

/// What a connection arrives as: its bytes, and where they come from.
pub(super) type Arrival = (Connection, Option<SocketAddr>);

impl<H> ServiceFactory<AcceptedSocket> for Accept<H>
where
    H: ServiceFactory<Arrival, Config = (), Response = (), Error = DispatchError, InitError = ()>,
    H::Service: 'static,
    H::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Config = ();
    type Service = Accepting<H::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, tls, shared) = (self.http.new_service(()), self.tls.clone(), self.shared.clone());
        Box::pin(async move { Ok(Accepting { http: Rc::new(http.await?), tls, shared }) })
    }
}

/// A socket that was accepted.
#[derive(Debug)]
pub(super) enum AcceptedSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AcceptedSocket {
    /// Where it comes from. `None`: it is gone already.
    fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok(),
            // Only this machine reaches it.
            Self::Unix(_) => Some((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }
}

/// Accepts the connections of a worker.
pub(super) struct Accepting<H> {
    http: Rc<H>,
    tls: Option<TlsAccept>,
    shared: Arc<Shared>,
}

impl<H> Service<AcceptedSocket> for Accepting<H>
where
    H: Service<Arrival, Response = (), Error = DispatchError> + 'static,
{
    type Response = ();
    type Error = ();
    type Future = LocalBoxFuture<'static, Result<(), ()>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.http.poll_ready(cx).map_err(|_| ())
    }

    fn call(&self, socket: AcceptedSocket) -> Self::Future {
        let Some(peer) = socket.peer() else {
            // It is gone already.
            return Box::pin(ready(Ok(())));
        };
        let (taken, http, tls, shared) =
            (ConnectionPlaces::take(), self.http.clone(), self.tls.clone(), self.shared.clone());
        Box::pin(async move {
            let connection = match (socket, tls) {
                (AcceptedSocket::Unix(socket), _) => Connection::new(ClientStream::Unix(socket), taken),
                (AcceptedSocket::Tcp(socket), tls) => {
                    // Else an event of the feed waits for the acknowledgement of the one before. It fails only if the client is gone.
                    let _ = socket.set_nodelay(true);
                    match tls {
                        None => Connection::new(ClientStream::Plain(socket), taken),
                        Some(tls) => match secured(socket, &tls, taken).await {
                            Ok(connection) => connection,
                            Err(problem) => {
                                problem.report(&shared, peer);
                                return Ok(());
                            }
                        },
                    }
                }
            };
            if let Err(error) = http.call((connection, Some(peer))).await {
                report(&shared, peer, &error);
            }
            Ok(())
        })
    }
}

/// Completes the handshake, unless the connection has to give way before.
async fn secured(socket: TcpStream, tls: &TlsAccept, taken: TakenPlace) -> Result<Connection, HandshakeFailed> {
    let place = taken.place().clone();
    tokio::select! {
        accepted = tls.acceptor.accept(socket) => match accepted {
            Ok(stream) => Ok(Connection::new(ClientStream::Tls(Box::new(stream)), taken)),
            Err(error) => Err(HandshakeFailed::Handshake(error)),
        },
        () = tokio::time::sleep(tls.handshake) => Err(HandshakeFailed::TooLong(tls.handshake)),
        () = place.has_to_go() => Err(HandshakeFailed::GaveWay),
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
enum HandshakeFailed {
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("the TLS handshake took longer than {0:?}")]
    TooLong(Duration),
    #[error("it was closed before its TLS handshake to make room for another one")]
    GaveWay,
}

impl HandshakeFailed {
    fn report(&self, shared: &Shared, peer: SocketAddr) {
        let reason = match self {
            // The client went away.
            Self::Handshake(error) if is_gone(error) => return,
            Self::Handshake(_) => "handshake",
            Self::TooLong(_) => "handshake_time",
            Self::GaveWay => return,
        };
        shared.rejections.connection(peer.ip(), reason, self);
    }
}

/// Says why a connection ended, if its client is to blame.
fn report(shared: &Shared, peer: SocketAddr, error: &DispatchError) {
    match error {
        DispatchError::Parse(ParseError::Io(_) | ParseError::Incomplete) => {}
        DispatchError::Parse(ParseError::TooLarge) => {
            shared.rejections.connection(peer.ip(), "head_size", &"the head of a request is too large");
        }
        DispatchError::Parse(error) => {
            let problem = format!(
                "it sent no HTTP request: {error} (HTTPS or a PROXY header on a plain-HTTP port looks like this)"
            );
            shared.rejections.connection(peer.ip(), "malformed", &problem);
        }
        DispatchError::Io(_) | DispatchError::DisconnectTimeout | DispatchError::SlowRequestTimeout => {
            tracing::debug!("a connection from {peer} ended: {error}");
        }
        error => {
            if let Some(held_back) = shared.failure("connection") {
                tracing::warn!("a connection from {peer} broke: {error}{held_back}");
            }
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
