//! Whose a request is, where clients share something scarce.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;

use super::{Shared, client};

/// A client that takes its share of something scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Where it counts.
    pub(super) address: IpAddr,
    /// Whether it named a session, a serial and a chain value of the history that is served here.
    pub(super) is_proven: bool,
}

impl Client {
    /// The client of a request, which has proven nothing so far.
    pub(super) fn of(request: &HttpRequest, shared: &Shared) -> Self {
        Self { address: counted(client::address(request, shared)), is_proven: false }
    }
}

/// The address as which a client counts. Each network of IPv6 is one client: its owner has 2^64 addresses.
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        for (address, as_one) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            assert_eq!(counted(address.parse().expect("an address")).to_string(), as_one);
        }
    }
}
