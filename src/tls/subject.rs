//! Whose a certificate is, for people: its fingerprint, and the names in its subject.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::der::{SEQUENCE, from_validity, take};

const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
/// UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// The names that are shown, with the ends of their object ids 2.5.4.*.
const NAMES: [(u8, &str); 3] = [(3, "CN"), (11, "OU"), (10, "O")];
/// The longest text of all names, in bytes.
const LONGEST: usize = 160;

/// As `sha256:0f3a… CN=deploy,O=Example`: the SHA-256 of the certificate in DER, and its subject if that has names.
pub fn subject(certificate: &[u8]) -> String {
    let mut text = format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(certificate)));
    let names = names(certificate).unwrap_or_default().join(",");
    if !names.is_empty() && names.len() <= LONGEST {
        text.push(' ');
        text.push_str(&names);
    }
    text
}

fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let (_validity, rest) = take(from_validity(certificate)?, SEQUENCE)?;
    let (mut subject, _) = take(rest, SEQUENCE)?;
    let mut names = Vec::new();
    while let Some((set, rest)) = take(subject, SET) {
        subject = rest;
        let (pair, _) = take(set, SEQUENCE)?;
        let (id, value) = take(pair, OBJECT_ID)?;
        let known = NAMES.iter().find(|(end, _)| id == [0x55, 0x04, *end]);
        let text = TEXTS.iter().find_map(|tag| take(value, *tag));
        if let (Some((_, name)), Some((text, _))) = (known, text) {
            names.push(format!("{name}={}", std::str::from_utf8(text).ok()?.escape_debug()));
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use rcgen::DnType;

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_known_by_its_fingerprint_and_the_names_in_it() {
        let long = "x".repeat(200);
        for (names, shown) in [
            (&[(DnType::CommonName, "deploy"), (DnType::OrganizationName, "Example")][..], " CN=deploy,O=Example"),
            (&[(DnType::CountryName, "CH"), (DnType::CommonName, "a\nb")], " CN=a\\nb"),
            (&[], ""),
            (&[(DnType::CommonName, &long)], ""),
        ] {
            let certificate = certificate(names);
            let digest = HEXLOWER.encode(&Sha256::digest(&certificate));
            assert_eq!(subject(&certificate), format!("sha256:{digest}{shown}"));
        }
    }

    #[test]
    fn a_certificate_that_is_cut_off_has_a_fingerprint_alone() {
        let whole = certificate(&[(DnType::CommonName, "deploy")]);
        for length in 0..whole.len().min(200) {
            assert!(subject(&whole[..length]).starts_with("sha256:"));
        }
    }
}
