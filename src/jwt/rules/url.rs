//! The part of Go's `net/url` that the rules need: which texts parse, into which parts, and the errors.
//!
//! The `url` crate follows WHATWG, which accepts and rejects other texts. This is the behaviour of Go 1.26.

use super::super::quote::quote;

/// The parts that the rules look at.
#[derive(Debug)]
pub(super) struct Url {
    /// In lower case; may be empty.
    pub(super) scheme: String,
    pub(super) has_user: bool,
    /// With escapes resolved enough to know whether it is empty.
    host: String,
    /// As written. Empty if there is none, or if the URL is opaque.
    pub(super) path: String,
}

impl Url {
    /// The host without its port and brackets.
    pub(super) fn hostname(&self) -> &str {
        let host = match self.host.rfind(':') {
            Some(colon) if is_port(&self.host[colon..]) => &self.host[..colon],
            _ => &self.host,
        };
        host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
    }
}

/// Parses, or gives Go's whole error text.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let blame = |url: &str, error: String| format!("parse {}: {error}", quote(url));
    let url = parse_rest(rest).map_err(|error| blame(rest, error))?;
    check_escapes(fragment).map_err(|error| blame(text, error))?;
    Ok(url)
}

fn parse_rest(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let mut url = Url { scheme: String::new(), has_user: false, host: String::new(), path: String::new() };
    let (scheme, rest) = split_scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);

    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    let has_authority = !url.scheme.is_empty() || !rest.starts_with("///");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| has_authority) {
        let (authority, after) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        path = after;
        parse_authority(authority, &mut url)?;
    }
    check_escapes(path)?;
    path.clone_into(&mut url.path);
    Ok(url)
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => (),
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => (),
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn parse_authority(authority: &str, url: &mut Url) -> Result<(), String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    url.host = parse_host(&url.scheme, host)?;
    if let Some(user) = user {
        let allowed = |symbol: char| symbol.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(symbol);
        if !user.chars().all(allowed) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        check_escapes(name)?;
        check_escapes(password)?;
        url.has_user = true;
    }
    Ok(())
}

fn parse_host(scheme: &str, host: &str) -> Result<String, String> {
    let bad_port = |port: &str| Err(format!("invalid port {} after host", quote(port)));
    match host.rfind('[') {
        Some(0) => {
            let Some(close) = host.rfind(']') else { return Err("missing ']' in host".to_owned()) };
            let port = &host[close + 1..];
            if !is_port(port) {
                return bad_port(port);
            }
            let literal = parse_literal(&host[1..close])?;
            return Ok(format!("[{literal}]{port}"));
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => (),
    }
    // Lists of hosts with ports are known elsewhere, but not in the web's own schemes.
    let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
    if let Some(colon) = colon
        && !is_port(&host[colon..])
    {
        return bad_port(&host[colon..]);
    }
    check_host(host)?;
    Ok(host.to_owned())
}

/// An IPv6 address, perhaps with a zone after `%25`.
fn parse_literal(literal: &str) -> Result<String, String> {
    let (address, zone) = match literal.find("%25") {
        Some(at) => (&literal[..at], Some(&literal[at + 3..])),
        None => (literal, None),
    };
    check_host(address)?;
    if let Some(zone) = zone {
        check_zone(zone)?;
    }
    let known = address.parse::<std::net::Ipv6Addr>().is_ok() && zone != Some("");
    if known {
        Ok(literal.to_owned())
    } else if address.parse::<std::net::Ipv4Addr>().is_ok() && zone.is_none() {
        Err("invalid IP-literal".to_owned())
    } else {
        Err(format!("invalid host: ParseAddr({}): unable to parse IP", quote(literal)))
    }
}

/// Whether this is nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Every `%` must begin an escape.
fn check_escapes(text: &str) -> Result<(), String> {
    scan(text, |_| true, |_| true)
}

/// In a host only bytes beyond ASCII may be escaped, and the percent sign.
fn check_host(text: &str) -> Result<(), String> {
    scan(text, |byte| byte >= 0x80 || byte == b'%', in_host)
}

/// In a zone, only characters that are allowed unescaped, or a blank.
fn check_zone(text: &str) -> Result<(), String> {
    scan(text, |byte| matches!(byte, b'%' | b' ') || in_host(byte), in_host)
}

/// Looks at every escape and every other byte from the front, and reports the first that may not be there.
fn scan(text: &str, escaped: impl Fn(u8) -> bool, plain: impl Fn(u8) -> bool) -> Result<(), String> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let end = bytes.len().min(at + 3);
            if !unhex(&bytes[at + 1..end]).is_some_and(&escaped) {
                let shown = String::from_utf8_lossy(&bytes[at..end]);
                return Err(format!("invalid URL escape {}", quote(&shown)));
            }
            at += 3;
        } else if byte.is_ascii() && !plain(byte) {
            return Err(format!("invalid character {} in host name", quote(&char::from(byte).to_string())));
        } else {
            at += 1;
        }
    }
    Ok(())
}

fn unhex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"$&'()*+,-.:;<=>[]_~".contains(&byte)
}
