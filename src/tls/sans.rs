//! The subject alternative names of a certificate (RFC 5280, section 4.2.1.6).

use std::net::IpAddr;

use super::der::{SEQUENCE, from_validity, take};

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
/// `[3] EXPLICIT`: the extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// The object id 2.5.29.17.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// `[1]`, `[2]`, `[6]`: a mail address, a DNS name, a URI.
const TEXTS: [u8; 3] = [0x81, 0x82, 0x86];
/// `[7]`: an IP address.
const ADDRESS: u8 = 0x87;
/// Names that are read at most, and the longest one, in bytes.
const MOST: usize = 64;
const LONGEST: usize = 253;

/// The names of a certificate in DER: DNS names, URIs, mail addresses and IP addresses. What cannot be read has none.
pub fn sans(certificate: &[u8]) -> Vec<Box<str>> {
    extension(certificate).map(names).unwrap_or_default()
}

/// The content of the extension.
fn extension(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = from_validity(certificate)?;
    let extensions = loop {
        // Validity, subject, key, and two unique ids that nobody has.
        let (tag, _) = fields.split_first()?;
        let (content, rest) = take(fields, *tag)?;
        if *tag == EXTENSIONS {
            break content;
        }
        fields = rest;
    };
    let (mut extensions, _) = take(extensions, SEQUENCE)?;
    loop {
        let (extension, rest) = take(extensions, SEQUENCE)?;
        let (id, value) = take(extension, OBJECT_ID)?;
        if id == SUBJECT_ALT_NAME {
            // Whether it is critical may come first.
            let value = take(value, BOOLEAN).map_or(value, |(_, value)| value);
            return Some(take(take(value, OCTETS)?.0, SEQUENCE)?.0);
        }
        extensions = rest;
    }
}

fn names(mut names: &[u8]) -> Vec<Box<str>> {
    let mut found = Vec::new();
    while let Some((tag, _)) = names.split_first()
        && let Some((content, rest)) = take(names, *tag)
        && found.len() < MOST
    {
        names = rest;
        if *tag == ADDRESS {
            found.extend(address(content).map(|address| address.to_string().into()));
        } else if TEXTS.contains(tag)
            && content.len() <= LONGEST
            && let Ok(text) = std::str::from_utf8(content)
            && text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            found.push(text.into());
        }
    }
    found
}

fn address(content: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(content).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::SanType;

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_of_every_kind_are_read() {
        let names = vec![
            SanType::DnsName("r1.replicas.example".try_into().unwrap()),
            SanType::URI("spiffe://example/r1".try_into().unwrap()),
            SanType::IpAddress("10.0.0.7".parse().unwrap()),
            SanType::IpAddress("fd00::7".parse().unwrap()),
            SanType::Rfc822Name("ops@example.com".try_into().unwrap()),
            SanType::DnsName("a b".try_into().unwrap()),
            SanType::DnsName("x".repeat(300).try_into().unwrap()),
        ];
        let whole = certificate(names);
        let expected = ["r1.replicas.example", "spiffe://example/r1", "10.0.0.7", "fd00::7", "ops@example.com"];
        assert_eq!(sans(&whole), expected.map(Box::from));
        assert_eq!(sans(&certificate(Vec::new())), []);
        for length in 0..whole.len() {
            assert!(sans(&whole[..length]).len() <= expected.len());
        }
        let many = (0..200).map(|number| SanType::DnsName(format!("n{number}").try_into().unwrap())).collect();
        assert_eq!(sans(&certificate(many)).len(), MOST);
    }
}
