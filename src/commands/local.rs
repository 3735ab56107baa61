//! The server that the settings describe, as a command on its machine reaches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::config::{Http, HttpTls, ListenAddress, Settings};
use crate::tls;
use crate::upstream::remote::RemoteServer;
use crate::upstream::{self, Access};

/// The time limit for a connection to a server on the same machine.
const CONNECT: Duration = Duration::from_secs(1);

/// That server.
pub(super) struct LocalServer {
    pub(super) url: String,
    pub(super) remote: RemoteServer,
}

impl LocalServer {
    /// The server at the address of the settings, to which a command shows `token`: what a replica shows to its primary is for
    /// another server. The error says why it has none, or which TLS file cannot be used.
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let address = settings.http.addresses().into_iter().next();
        let address = address.ok_or_else(|| "http.listen is empty: give the server's URL".to_owned())?;
        Self::at(&address, &settings.http.tls, settings)
    }

    /// The same, where its API is.
    pub(super) fn of_api(settings: &Settings) -> Result<Self, String> {
        match &settings.admin.listen {
            Some(address) => Self::at(address, &settings.admin.tls, settings),
            None => Self::of(settings),
        }
    }

    fn at(address: &ListenAddress, tls: &HttpTls, settings: &Settings) -> Result<Self, String> {
        let url = url(address, tls)?;
        let headers = upstream::bearer(settings.token.as_ref())?;
        let client = || {
            reqwest::Client::builder()
                .default_headers(headers.clone())
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .http1_only()
        };
        let client = if tls.is_on() {
            let tls = tls::client_of_own(tls, &settings.replica.tls).map_err(|error| error.to_string())?;
            client().tls_backend_preconfigured(tls).build().map_err(|error| format!("cannot speak HTTPS: {error}"))?
        } else if let ListenAddress::Unix(path) = address {
            client().unix_socket(path.as_path()).build().map_err(|error| format!("cannot use {address}: {error}"))?
        } else {
            let access = Access { token: settings.token.clone(), ..Access::default() };
            upstream::client(&access).map_err(|error| error.to_string())?
        };
        Ok(Self { remote: RemoteServer::with(client, &url), url })
    }
}

/// Where a server with these settings listens, as `init` shows it.
pub(super) fn url_of(http: &Http) -> Result<String, String> {
    url(&ListenAddress::tcp(&http.host, http.port), &http.tls)
}

/// The URL of a server that listens there. One that listens on every interface is reached by the loopback.
fn url(address: &ListenAddress, tls: &HttpTls) -> Result<String, String> {
    let scheme = if tls.is_on() { "https" } else { "http" };
    match address {
        ListenAddress::Tcp { port: 0, .. } => {
            Err("the port is 0, so the system chose it: give the server's URL".to_owned())
        }
        ListenAddress::Tcp { host, port } => {
            let host = match host.parse() {
                Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
                Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
                // An empty one is every interface.
                Err(_) if host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
                _ => host.clone(),
            };
            Ok(format!("{scheme}://{}", ListenAddress::tcp(&host, *port)))
        }
        // The client connects to the socket, whatever the name is.
        ListenAddress::Unix(_) => Ok("http://localhost".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_interface_is_reached_by_the_loopback() {
        for (host, expected) in [
            ("localhost", "http://localhost:9090"),
            ("", "http://127.0.0.1:9090"),
            ("0.0.0.0", "http://127.0.0.1:9090"),
            ("::", "http://[::1]:9090"),
            ("[::]", "http://[::1]:9090"),
            ("fd00::7", "http://[fd00::7]:9090"),
            ("10.1.2.3", "http://10.1.2.3:9090"),
        ] {
            let address = ListenAddress::tcp(host, 9090);
            assert_eq!(url(&address, &HttpTls::default()).as_deref(), Ok(expected), "{host}");
        }
        assert!(url(&ListenAddress::tcp("localhost", 0), &HttpTls::default()).is_err());
    }
}
