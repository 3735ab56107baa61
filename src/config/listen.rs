//! Where to listen: `0.0.0.0:9090`, `[::]:9090`, or a Unix socket, `unix:/run/admin.sock`.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::value::listen_host;

const UNIX: &str = "unix:";
/// The longest path of a Unix socket, in bytes, on every system.
const LONGEST_PATH: usize = 100;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ListenAddress {
    /// A name or an address without brackets, and a TCP port; 0 lets the system choose.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// A name or an address, and a TCP port.
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path.len() {
                _ if !path.starts_with('/') => Err(format!("{path:?} is not a path that begins with /")),
                0..=LONGEST_PATH => Ok(Self::Unix(path.into())),
                _ => Err(format!("the path of a Unix socket has at most {LONGEST_PATH} bytes")),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port"))?;
        let port = port.parse().map_err(|_| format!("{port:?} is no TCP port"))?;
        // Colons of an IPv6 address without brackets would be taken for that of the port.
        let is_bare = host.parse::<Ipv6Addr>().is_ok();
        match listen_host(host).filter(|_| !is_bare) {
            Some("") => Ok(Self::tcp("0.0.0.0", port)),
            Some(host) => Ok(Self::tcp(host, port)),
            None if is_bare => Err(format!("the IPv6 address in {text:?} needs brackets: [{host}]:{port}")),
            None => Err(format!("{host:?} is neither a host name nor an address")),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Reads an address of a TCP port. The error says what is wrong.
pub(super) fn tcp(text: &str) -> Result<String, String> {
    match text.parse()? {
        address @ ListenAddress::Tcp { .. } => Ok(address.to_string()),
        ListenAddress::Unix(_) => Err("a Unix socket is for admin.listen alone".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for (text, shown) in [
            ("0.0.0.0:9090", "0.0.0.0:9090"),
            ("[::]:9090", "[::]:9090"),
            ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
            ("localhost:0", "localhost:0"),
            (":9090", "0.0.0.0:9090"),
            ("unix:/run/admin.sock", "unix:/run/admin.sock"),
        ] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, why) in [
            ("9090", "has no port"),
            ("localhost", "has no port"),
            ("localhost:http", "no TCP port"),
            ("localhost:65536", "no TCP port"),
            ("::1:9090", "needs brackets: [::1]:9090"),
            ("http://localhost:9090", "neither a host name nor an address"),
            ("unix:admin.sock", "begins with /"),
            ("unix:", "begins with /"),
            (&format!("unix:/{}", "a".repeat(LONGEST_PATH)), "at most 100 bytes"),
        ] {
            let problem = text.parse::<ListenAddress>().expect_err(text);
            assert!(problem.contains(why), "{text}: {problem}");
        }
        assert!(tcp("unix:/run/admin.sock").is_err());
    }
}
