//! The hash of a password: bcrypt or argon2id, each with bounds for what one verification costs.

use std::fmt;

use argon2::password_hash::{PasswordHash as Phc, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

/// The lowest cost that bcrypt has.
const MIN_BCRYPT: u32 = 4;
/// The highest cost of bcrypt: 2^12 rounds, about a quarter of a second.
const MAX_BCRYPT: u32 = 12;
/// The memory of argon2id at most, in KiB.
const MAX_MEMORY: u32 = 64 << 10;
/// The memory of argon2id times its iterations at most, in KiB: about half a second.
const MAX_WORK: u64 = 256 << 10;
/// The lanes of argon2id at most.
const MAX_LANES: u32 = 4;

/// A stored hash whose cost has a bound.
pub(super) struct PasswordHash {
    kind: HashKind,
    text: String,
}

enum HashKind {
    Bcrypt,
    Argon2id(Params),
}

impl PasswordHash {
    /// Reads a stored hash. The error says what is wrong with it, and does not show it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let kind = if text.starts_with("$argon2id$") { argon2id(text)? } else { bcrypt(text)? };
        Ok(Self { kind, text: text.to_owned() })
    }

    /// Whether it is the hash of this password. Takes up to half a second of one core.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match &self.kind {
            HashKind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            HashKind::Argon2id(params) => Phc::new(&self.text).is_ok_and(|hash| {
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
                    .verify_password(password, &hash)
                    .is_ok()
            }),
        }
    }

    /// The stored text, by which one is told from another.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

fn bcrypt(text: &str) -> Result<HashKind, String> {
    const CUT: &str =
        "it is no bcrypt hash: 60 characters such as $2b$10$… are expected; is it complete and in quotes?";
    let cost = text.get(4..6).and_then(|cost| cost.parse::<u32>().ok()).ok_or(CUT)?;
    if cost < MIN_BCRYPT {
        return Err(CUT.to_owned());
    }
    if cost > MAX_BCRYPT {
        return Err(format!(
            "its bcrypt cost is {cost}, more than {MAX_BCRYPT}: each login would take seconds; make another hash with \
             `nats-account-server access hash --bcrypt`"
        ));
    }
    let is_well_formed = text.len() == 60 && text.parse::<bcrypt::HashParts>().is_ok();
    if is_well_formed { Ok(HashKind::Bcrypt) } else { Err(CUT.to_owned()) }
}

fn argon2id(text: &str) -> Result<HashKind, String> {
    let cut = |_| "it is no argon2id hash: $argon2id$v=19$m=…,t=…,p=…$…$… is expected; is it complete?".to_owned();
    let hash = Phc::new(text).map_err(cut)?;
    let params = Params::try_from(&hash).map_err(cut)?;
    if hash.version.is_some_and(|version| version != u32::from(Version::V0x13))
        || hash.hash.is_none()
        || hash.salt.is_none()
    {
        return Err("it is no argon2id hash of version 19".to_owned());
    }
    let (memory, work) = (params.m_cost(), u64::from(params.m_cost()) * u64::from(params.t_cost()));
    if memory > MAX_MEMORY || work > MAX_WORK || params.p_cost() > MAX_LANES {
        return Err(format!(
            "its parameters are m={memory},t={},p={}, but m may be {MAX_MEMORY} at most, m times t {MAX_WORK}, and p \
             {MAX_LANES}; make another hash with `nats-account-server access hash`",
            params.t_cost(),
            params.p_cost()
        ));
    }
    Ok(HashKind::Argon2id(params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{PasswordKind, hash_password};

    #[test]
    fn what_the_command_makes_verifies_its_password_alone() {
        for kind in [PasswordKind::Argon2id, PasswordKind::Bcrypt] {
            let text = hash_password(b"correct horse", kind).unwrap();
            let hash = PasswordHash::parse(&text).unwrap();
            assert!(hash.verify(b"correct horse"));
            for wrong in [&b""[..], b"correct hors", b"Correct horse", b"correct horse ", text.as_bytes(), b"\0"] {
                assert!(!hash.verify(wrong));
            }
            assert!(!format!("{hash:?}").contains(&text[10..]));
        }
    }

    #[test]
    fn hashes_of_other_programs_are_read() {
        // htpasswd writes $2y$, Python $2b$, older programs $2a$; argon2 of the reference implementation.
        let bcrypt = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            assert!(PasswordHash::parse(&bcrypt.format_for_version(version)).unwrap().verify(b"x"));
        }
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(PasswordHash::parse(reference).unwrap().verify(b"password"));
    }

    #[test]
    fn one_that_costs_too_much_or_is_cut_off_is_an_error_that_does_not_show_it() {
        let good = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap().to_string();
        let (salt, output) = ("c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc");
        let argon2 = |parameters: &str| format!("$argon2id$v=19${parameters}${salt}${output}");
        for (text, said) in [
            (good.replace("$04$", "$13$"), "cost is 13, more than 12"),
            (good.replace("$04$", "$31$"), "cost is 31"),
            (good[..59].to_owned(), "no bcrypt hash"),
            (format!("{good}x"), "no bcrypt hash"),
            (good.replace("$04$", "$xx$"), "no bcrypt hash"),
            ("$2b$".to_owned(), "no bcrypt hash"),
            (format!("$2b$04${}", "!".repeat(53)), "no bcrypt hash"),
            ("$2b$é".to_owned(), "no bcrypt hash"),
            (argon2("m=65537,t=1,p=1"), "m=65537,t=1,p=1, but m may be 65536"),
            (argon2("m=65536,t=5,p=1"), "m times t 262144"),
            (argon2("m=4096,t=4294967295,p=1"), "m times t"),
            (argon2("m=4096,t=1,p=5"), "p 4"),
            (argon2("m=1,t=1,p=1"), "no argon2id hash"),
            (argon2("m=4096,t=1,p=1").replace("v=19", "v=16"), "version 19"),
            (format!("$argon2id$v=19$m=4096,t=1,p=1${salt}"), "version 19"),
            ("$argon2id$".to_owned(), "no argon2id hash"),
        ] {
            let error = PasswordHash::parse(&text).map(|_| ()).expect_err(&text);
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains(salt) && !error.contains(&good[10..30]), "{error}");
        }
    }
}
