//! The sockets to listen on.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpSocket;

/// Connections that wait to be accepted. A fleet that reconnects comes as many short connections at once.
const BACKLOG: u32 = 4096;

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Socket {
    /// The address of a TCP socket.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// Who may connect to a Unix socket: the user and the group of this process.
const UNIX_MODE: u32 = 0o660;

/// Listens on a Unix socket. The socket of a process that has ended is replaced.
pub(crate) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket has this name"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(UNIX_MODE))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Listens on every address of a name: `localhost` has one of each family. An empty name is every IPv4 interface.
///
/// The first address must be free. Of the others, those that this machine does not have are left out. With port 0 the
/// system chooses a port for the first address, which is then the only one.
pub(crate) fn bind(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let host = if host.is_empty() { "0.0.0.0" } else { host.trim_start_matches('[').trim_end_matches(']') };
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    if port == 0 {
        addresses.truncate(1);
    }
    let mut listeners = Vec::new();
    for address in addresses {
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if !listeners.is_empty() && error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(listeners) }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Makes the system give up a connection whose client has taken nothing of what was sent for so long; zero: any time.
///
/// What is accepted has it from the listener. The framework writes an answer into a buffer in one go and then waits for
/// the socket, with no time-out of its own; and what the socket has taken, only the system knows about.
pub(super) fn limit_writes(listener: &TcpListener, timeout: Duration) -> io::Result<()> {
    // The system takes a positive number of 32 bits with a sign.
    let millis = timeout.as_millis().min(i32::MAX.unsigned_abs().into()).try_into().unwrap_or(0);
    // Zero is the system's own default: as long as the client's system answers.
    Ok(rustix::net::sockopt::set_tcp_user_timeout(listener, millis)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_an_error_whatever_else_is_free() {
        let held = bind("127.0.0.1", 0).expect("free");
        let port = held[0].local_addr().expect("bound").port();
        assert_eq!(bind("localhost", port).expect_err("held").kind(), io::ErrorKind::AddrInUse);
        assert!(bind("", 0).expect("every interface")[0].local_addr().expect("bound").ip().is_unspecified());
    }

    #[test]
    fn the_socket_of_a_process_that_has_ended_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let held = bind_unix(&path).expect("free");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, UNIX_MODE);
        assert_eq!(bind_unix(&path).expect_err("held").kind(), io::ErrorKind::AddrInUse);
        drop(held);
        drop(bind_unix(&path).expect("nobody listens"));
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert_eq!(bind_unix(&path).expect_err("a file").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }
}
