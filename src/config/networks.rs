//! Networks: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Reads an address or a network as a network. IPv4-mapped IPv6 becomes IPv4, like the addresses that are compared with
/// it. The error says what is wrong.
pub(super) fn network(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()).to_string());
    }
    let Ok(given) = text.parse::<IpNet>() else {
        return Err(format!("{text} is neither an address nor a network; names and ports are not allowed here"));
    };
    if given.addr() != given.network() {
        return Err(format!(
            "{text} is an address in the network {}: give {} or that network",
            given.trunc(),
            given.addr()
        ));
    }
    Ok(canonical(given).to_string())
}

/// A network of IPv4 in the form of IPv6 as one of IPv4.
fn canonical(given: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (given.addr().to_canonical(), given.prefix_len().checked_sub(MAPPED)) {
        (IpAddr::V4(address), Some(length)) if matches!(given, IpNet::V6(_)) => {
            Ipv4Net::new(address, length).map_or(given, IpNet::V4)
        }
        _ => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_form() {
        let table = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::1", Some("::1/128")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:0:0/96", Some("0.0.0.0/0")),
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/", None),
            ("10.0.0", None),
            ("10.0.0.1:80", None),
            ("[::1]", None),
            ("proxy.example.com", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(network(text).ok().as_deref(), wanted, "{text}");
        }
    }
}
