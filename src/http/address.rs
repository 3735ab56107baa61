//! Addresses of this server as people paste them: into a shell, or into the configuration of a nats-server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Host and port as they are written together: an IPv6 address is in brackets.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The base URL of a server that was told to listen on `host`, and listens on `local`. An address that means every
/// interface is no place to connect to, so the loopback address of its family is shown instead.
pub(crate) fn base(scheme: &str, host: &str, local: &SocketAddr) -> String {
    let loopback = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(ip) if ip.is_unspecified() => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        _ => None,
    };
    // The zone of an address is behind a percent sign, which a URL escapes.
    let host = loopback.map_or_else(|| host.replace('%', "%25"), |ip| ip.to_string());
    format!("{scheme}://{}", host_port(&host, local.port()))
}

/// The line for the configuration of a nats-server. In quotes if it has brackets: there, one ends a text without quotes.
pub(crate) fn resolver(base: &str) -> String {
    let url = format!("URL({base}/jwt/v1/accounts/)");
    if base.contains(['[', ']']) { format!("resolver: \"{url}\"") } else { format!("resolver: {url}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted() {
        for (host, local, expected) in [
            ("localhost", "127.0.0.1:9090", "resolver: URL(http://localhost:9090/jwt/v1/accounts/)"),
            ("", "0.0.0.0:9090", "resolver: URL(http://127.0.0.1:9090/jwt/v1/accounts/)"),
            ("0.0.0.0", "0.0.0.0:9090", "resolver: URL(http://127.0.0.1:9090/jwt/v1/accounts/)"),
            ("::", "[::]:9090", "resolver: \"URL(http://[::1]:9090/jwt/v1/accounts/)\""),
            ("[::]", "[::]:9090", "resolver: \"URL(http://[::1]:9090/jwt/v1/accounts/)\""),
            ("::1", "[::1]:9090", "resolver: \"URL(http://[::1]:9090/jwt/v1/accounts/)\""),
            ("2001:db8::7", "[2001:db8::7]:80", "resolver: \"URL(http://[2001:db8::7]:80/jwt/v1/accounts/)\""),
            ("fe80::1%eth0", "[fe80::1]:80", "resolver: \"URL(http://[fe80::1%25eth0]:80/jwt/v1/accounts/)\""),
        ] {
            assert_eq!(resolver(&base("http", host, &local.parse().expect("an address"))), expected, "{host}");
        }
        assert_eq!(host_port("::", 1), "[::]:1");
        assert_eq!(host_port("a.example", 1), "a.example:1");
    }
}
