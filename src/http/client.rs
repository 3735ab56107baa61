//! The address of the client, also behind proxies.
//!
//! A client can send any `X-Forwarded-For`. Only its end is known to be true: the nearest proxy wrote it. So the addresses
//! are read from the last to the first, and each one counts only if a proxy of `http.trusted_proxies` reported it. The
//! first address that is no such proxy is the client.

use std::iter::Rev;
use std::net::{IpAddr, Ipv4Addr};
use std::slice::Iter;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderValue, X_FORWARDED_FOR};
use ipnet::IpNet;

use super::connection::Shown;
use super::{Shared, door, request_id};
use crate::gate::{Actor, Client, Sender, Via};

/// Entries that are read of a chain of addresses. The last address found counts if there are more.
const MAX_HOPS: usize = 16;
/// The longest entry, in bytes. A longer one is unreadable.
const MAX_ENTRY: usize = 512;

/// The address that a request comes from. IPv4 addresses in the form of IPv6 are returned as IPv4.
///
/// An entry that is no address (`unknown`, a hidden name, noise) ends the search: the proxy that reported it counts.
pub(super) fn address(request: &HttpRequest, shared: &Shared) -> IpAddr {
    // A connection over TCP always has an address.
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    behind(peer, request.headers(), &shared.trusted_proxies)
}

/// The sender of a change, as the journal remembers it.
pub(super) fn actor(request: &HttpRequest, shared: &Shared) -> Actor {
    Some(Arc::new(Client {
        address: address(request, shared).to_string().into(),
        tls: request.conn_data::<Shown>().map(|shown| shown.subject.clone()),
        principal: door::guest(request).and_then(|guest| guest.audited()),
        request_id: Some(request_id::of(request)),
    }))
}

/// The same, with the path.
pub(super) fn sender(request: &HttpRequest, shared: &Shared) -> Sender {
    Sender::new(Via::Post, actor(request, shared))
}

/// Finds the node that an entry of a header names.
type Node = fn(&[u8]) -> Option<&[u8]>;

fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    if !is_trusted(&address) {
        return address;
    }
    // One of the two counts, so that a client cannot contradict its proxy with the other one.
    let (header, node): (_, Node) = if headers.contains_key(X_FORWARDED_FOR) {
        (X_FORWARDED_FOR, |entry| Some(entry))
    } else {
        (FORWARDED, for_parameter)
    };
    let entries = Entries { lines: headers.get_all(header).rev(), rest: None };
    for entry in entries.take(MAX_HOPS) {
        if entry.trim_ascii().is_empty() {
            continue;
        }
        let Some(next) = node(entry).and_then(node_address) else { break };
        address = next;
        if !is_trusted(&address) {
            break;
        }
    }
    address
}

/// The entries of a header from the last one of the last line to the first one of the first line.
struct Entries<'h> {
    lines: Rev<Iter<'h, HeaderValue>>,
    rest: Option<&'h [u8]>,
}

impl<'h> Iterator for Entries<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let list = match self.rest.take() {
            Some(rest) => rest,
            None => self.lines.next()?.as_bytes(),
        };
        let (rest, entry) = split_last(list, b',');
        self.rest = rest;
        Some(entry)
    }
}

/// Splits at the last separator that is not in quotes. Without one, or where the last part is longer than [`MAX_ENTRY`], all of
/// it is the last part.
///
/// The search goes backwards, so nothing that a client put before the entries of the proxies has an effect on them.
fn split_last(list: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, byte) in list.iter().enumerate().rev().take(MAX_ENTRY) {
        if *byte == b'"' {
            let backslashes = list[..at].iter().rev().take_while(|byte| **byte == b'\\').take(MAX_ENTRY).count();
            quoted ^= backslashes % 2 == 0;
        } else if *byte == separator && !quoted {
            return (Some(&list[..at]), &list[at + 1..]);
        }
    }
    (None, list)
}

/// The value of `for` in an entry of `Forwarded` (RFC 7239). `None`: it has none, or several.
fn for_parameter(entry: &[u8]) -> Option<&[u8]> {
    if entry.len() > MAX_ENTRY {
        return None;
    }
    let (mut found, mut rest) = (None, Some(entry));
    while let Some(list) = rest {
        let (before, pair) = split_last(list, b';');
        rest = before;
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if pair[..equals].trim_ascii().eq_ignore_ascii_case(b"for") && found.replace(&pair[equals + 1..]).is_some() {
            return None;
        }
    }
    found
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, each
/// with or without quotes.
fn node_address(node: &[u8]) -> Option<IpAddr> {
    if node.len() > MAX_ENTRY {
        return None;
    }
    let text = std::str::from_utf8(node).ok()?.trim_matches([' ', '\t']);
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let is_ipv6 = address.contains(':') && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            is_ipv6.then_some(address)?
        }
        None => match text.split_once(':') {
            // More than one colon is IPv6.
            Some((address, port)) if is_port(port) => address,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A number, or a hidden port that begins with `_`.
fn is_port(text: &str) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits || text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && !rest.contains(':'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "10.0.0.1";

    /// The address of a client whose request comes from 10.0.0.1 with these headers, where 10/8 and fd00::/8 are trusted.
    fn seen<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.try_into().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        behind(PEER.parse().unwrap(), &map, &trusted).to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_reported_counts() {
        let long = format!("192.0.2.1,{}", "10.0.0.2,".repeat(MAX_HOPS));
        let noise = format!("{}, 192.0.2.1", "x".repeat(1 << 20));
        let table: &[(&[&str], &str)] = &[
            (&[], PEER),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.9", "192.0.2.1 ,\t10.0.0.2", "10.0.0.3,10.0.0.4"], "192.0.2.1"),
            (&["10.0.0.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.1:1234"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["\"[2001:db8::1]:443\""], "2001:db8::1"),
            (&["2001:DB8:0:0:0:0:0:1, fd00::2"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, ::ffff:10.0.0.2, [::ffff:10.0.0.3]:80"], "192.0.2.1"),
            // Empty entries are none.
            (&["192.0.2.1, ,,"], "192.0.2.1"),
            (&["192.0.2.1", ""], "192.0.2.1"),
            // Not an address: the last proxy counts.
            (&["unknown"], PEER),
            (&["192.0.2.1, _hidden"], PEER),
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1, example.com"], PEER),
            (&["192.0.2.1:"], PEER),
            (&["192.0.2.1:123456"], PEER),
            (&["[192.0.2.1]"], PEER),
            (&["[2001:db8::1"], PEER),
            (&["[2001:db8::1]443"], PEER),
            (&["2001:db8::1]"], PEER),
            (&["010.0.0.1"], PEER),
            (&["192.0.2.1\""], PEER),
            (&["\""], PEER),
            (&[","], PEER),
            // Bounded work.
            (&[&long], "10.0.0.2"),
            (&[&noise], "192.0.2.1"),
            (&[&"1".repeat(1 << 20)], PEER),
            (&[&",".repeat(1 << 20)], PEER),
        ];
        for (lines, wanted) in table {
            let found = seen(lines.iter().map(|line| ("x-forwarded-for", line.as_bytes())));
            assert_eq!(found, *wanted, "{:.200?}", lines);
        }
    }

    #[test]
    fn the_forwarded_header_is_that_of_rfc_7239() {
        let table: &[(&[&str], &str)] = &[
            (&["for=192.0.2.1"], "192.0.2.1"),
            (&["For=192.0.2.1;proto=https;by=10.0.0.1"], "192.0.2.1"),
            (&["proto=https; by=10.0.0.1; FOR=\"192.0.2.1:80\" "], "192.0.2.1"),
            (&["for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=\"[2001:db8::1]:_port\""], "2001:db8::1"),
            (&["for=\"192.0.2.1:_port\""], "192.0.2.1"),
            (&["for=192.0.2.9, for=192.0.2.1;host=\"a,b;for=c\", for=10.0.0.2"], "192.0.2.1"),
            (&["for=192.0.2.1;host=\"a\\\",for=192.0.2.9\""], "192.0.2.1"),
            (&["for=192.0.2.9", "for=192.0.2.1", "for=\"[fd00::2]\""], "192.0.2.1"),
            // An open quote of a client takes nothing from its proxy.
            (&["for=\"192.0.2.9, for=192.0.2.1"], "192.0.2.1"),
            (&["for=unknown"], PEER),
            (&["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1"], PEER),
            (&["proto=https"], PEER),
            (&["for=192.0.2.9, proto=https"], PEER),
            (&["for=192.0.2.1;for=192.0.2.2"], PEER),
            (&["for=192.0.2.1;host=\"open"], PEER),
            (&["xfor=192.0.2.1"], PEER),
            (&[&format!("host={};for=192.0.2.1", "x".repeat(MAX_ENTRY))], PEER),
        ];
        for (lines, wanted) in table {
            let found = seen(lines.iter().map(|line| ("forwarded", line.as_bytes())));
            assert_eq!(found, *wanted, "{:.200?}", lines);
        }
    }

    #[test]
    fn x_forwarded_for_comes_before_forwarded() {
        let both: [(&str, &[u8]); 2] = [("forwarded", b"for=192.0.2.9"), ("x-forwarded-for", b"192.0.2.1")];
        assert_eq!(seen(both), "192.0.2.1");
        let unreadable: [(&str, &[u8]); 2] = [("forwarded", b"for=192.0.2.9"), ("x-forwarded-for", b"unknown")];
        assert_eq!(seen(unreadable), PEER);
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_the_client() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
        let networks: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, trusted, wanted) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("192.0.2.7", &networks, "192.0.2.7"),
            ("::ffff:192.0.2.7", &networks, "192.0.2.7"),
            ("::ffff:10.0.0.1", &networks, "192.0.2.1"),
        ] {
            assert_eq!(behind(peer.parse().unwrap(), &headers, trusted).to_string(), wanted, "{peer}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_hides_its_address(sent in "[ -~]{0,700}", own_line: bool) {
            for (name, entry) in [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1;proto=http")] {
                let joined = format!("{sent}, {entry}");
                let lines = if own_line { vec![&*sent, entry] } else { vec![&*joined] };
                prop_assert_eq!(seen(lines.iter().map(|line| (name, line.as_bytes()))), "192.0.2.1");
            }
        }
    }
}
