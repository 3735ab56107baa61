//! Sockets that systemd has opened before it started this process (`LISTEN_FDS`).
//!
//! systemd keeps them open while this server restarts, so no client is refused meanwhile, and it can open ports below 1024 for a
//! server without privileges.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use crate::http::Socket;

/// The name of the sockets for operators (`FileDescriptorName=` of the socket unit).
const ADMIN: &str = "admin";

/// The sockets by what is served on them.
#[derive(Debug, Default)]
pub(super) struct InheritedSockets {
    pub(super) main: Vec<Socket>,
    pub(super) admin: Vec<Socket>,
}

impl InheritedSockets {
    /// Those of this process; none without socket activation. The error says which one is of no use.
    pub(super) fn take() -> Result<Self, String> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut opened = ListenFd::from_env();
        let mut sockets = Self::default();
        for place in 0..opened.len() {
            let name = names.split(':').nth(place).unwrap_or_default();
            let socket = if let Ok(Some(socket)) = opened.take_tcp_listener(place) {
                ready(&socket, TcpListener::set_nonblocking)?;
                Socket::Tcp(socket)
            } else {
                let unix = opened
                    .take_unix_listener(place)
                    .map_err(|error| format!("socket {place} of systemd ({name:?}) accepts no connections: {error}"))?;
                let Some(socket) = unix else { continue };
                ready(&socket, UnixListener::set_nonblocking)?;
                Socket::Unix(socket)
            };
            let list = if name == ADMIN { &mut sockets.admin } else { &mut sockets.main };
            list.push(socket);
        }
        Ok(sockets)
    }
}

fn ready<S>(socket: &S, set_nonblocking: fn(&S, bool) -> std::io::Result<()>) -> Result<(), String> {
    set_nonblocking(socket, true).map_err(|error| format!("cannot use a socket of systemd: {error}"))
}
