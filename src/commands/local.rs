//! The server that the settings describe, as a command on its machine reaches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::config::{Http, Settings};
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
        let url = url(&settings.http)?;
        let client = if settings.http.tls.is_on() {
            let tls =
                tls::client_of_own(&settings.http.tls, &settings.replica.tls).map_err(|error| error.to_string())?;
            reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .http1_only()
                .default_headers(upstream::bearer(settings.token.as_ref())?)
                .tls_backend_preconfigured(tls)
                .build()
                .map_err(|error| format!("cannot speak HTTPS: {error}"))?
        } else {
            let access = Access { token: settings.token.clone(), ..Access::default() };
            upstream::client(&access).map_err(|error| error.to_string())?
        };
        Ok(Self { remote: RemoteServer::with(client, &url), url })
    }
}

/// Where a server with these settings listens. One that listens on every interface is reached by the loopback.
pub(super) fn url(http: &Http) -> Result<String, String> {
    if http.port == 0 {
        return Err("http.port is 0, so the system chose the port: give the server's URL".to_owned());
    }
    let host = match http.host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(address)) => address.to_string(),
        // An empty one is every interface.
        Err(_) if http.host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
        Err(_) => http.host.clone(),
    };
    let scheme = if http.tls.is_on() { "https" } else { "http" };
    Ok(format!("{scheme}://{host}:{}", http.port))
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
            let http = Http { host: host.to_owned(), ..Http::default() };
            assert_eq!(url(&http).as_deref(), Ok(expected), "{host}");
        }
        assert!(url(&Http { port: 0, ..Http::default() }).is_err());
    }
}
