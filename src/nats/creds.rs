//! The credentials file: a user JWT and the seed of its key.
//!
//! It is read for each attempt to connect, so it can be renewed at any time. What surrounds the two lines that count does
//! not matter. The seed is in memory only while it signs, and no text here repeats anything of the file.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nkeys::{KeyPair, KeyPairType};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::calendar::utc_time;
use crate::jwt::{AnyJwt, Body};
use crate::key::AccountKey;

/// The largest file that is read, in bytes. A nats-server takes far smaller JWTs unless its `max_control_line` is raised.
const MAX_BYTES: usize = 1 << 20;
/// Characters of a seed from which a text is taken for one. A whole seed has 58.
const LIKE_A_SEED: usize = 40;

/// What a credentials file holds.
pub(super) struct Creds {
    /// The user JWT.
    pub(super) jwt: String,
    /// The key pair that it is about.
    pub(super) pair: KeyPair,
    /// What the JWT says.
    pub(super) facts: CredsFacts,
}

/// What a user JWT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CredsFacts {
    /// SHA-256 of the JWT: another JWT is another user, or the same one renewed.
    pub(super) digest: [u8; 32],
    /// The user's public key.
    pub(super) user: String,
    /// The user's account.
    pub(super) account: AccountKey,
    /// When the JWT was issued, unix seconds.
    pub(super) iat: i64,
    /// When it expires, unix seconds; 0: never.
    pub(super) exp: i64,
}

/// Why a credentials file cannot be used. The name of the file goes before it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredsError {
    /// The system does not let us read it.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is a folder, a pipe or a device.
    #[error("it is not a regular file")]
    Kind,
    /// It is too large to be one.
    #[error("it has more than {MAX_BYTES} bytes, which no credentials file has")]
    Large,
    /// It has no content.
    #[error("it is empty")]
    Empty,
    /// It is something else.
    #[error("it has neither a user JWT nor a seed: a file as `nsc generate creds` writes it is needed")]
    Neither,
    /// It is a seed alone.
    #[error("it has a seed but no user JWT: a file with both, as `nsc generate creds` writes it, is needed")]
    NoJwt,
    /// It is a JWT alone.
    #[error("it has a user JWT but no seed: a file with both, as `nsc generate creds` writes it, is needed")]
    NoSeed,
    /// The JWT is damaged.
    #[error("its user JWT cannot be read: {0}; the file may be incomplete")]
    Jwt(String),
    /// The JWT is of another kind.
    #[error("its JWT is not a user JWT, but one of kind {0}")]
    JwtKind(String),
    /// The JWT names no account.
    #[error("its user JWT names no valid account")]
    Account,
    /// The seed is damaged.
    #[error("its seed is damaged; the file may be incomplete")]
    Seed,
    /// The seed is that of another kind of key.
    #[error(
        "its seed is not that of a user key, SU...; a seed of another kind does not belong here: treat it as disclosed"
    )]
    SeedKind,
    /// The two do not belong together.
    #[error("its seed does not belong to its user JWT, which is about {0}")]
    Mismatch(String),
}

/// Reads a credentials file. Blocks.
pub(super) fn read(path: &Path) -> Result<Creds, CredsError> {
    // To open a pipe without a writer would block.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(CredsError::Kind);
    }
    if found.len() > MAX_BYTES as u64 {
        return Err(CredsError::Large);
    }
    // Room for all of it beforehand: a buffer that grows leaves copies of the seed behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES.min(usize::try_from(found.len()).unwrap_or(0) + 4096)));
    let limit = bytes.capacity() as u64;
    file.take(limit).read_to_end(&mut bytes)?;
    parse(&bytes)
}

/// The account of the user in a credentials file that a server could use, and when its JWT expires, unix seconds; 0: never. The
/// error says why it could not. Blocks.
pub fn account_in(path: &Path) -> Result<(AccountKey, i64), String> {
    read(path).map(|creds| (creds.facts.account, creds.facts.exp)).map_err(|error| error.to_string())
}

/// The user JWT and its key in the content of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Creds, CredsError> {
    let lines = || {
        let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
        lines.filter_map(|line| Some(std::str::from_utf8(line).ok()?.trim_start_matches('\u{feff}').trim()))
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(CredsError::Empty);
    }
    let (jwt, seed) = match (lines().find(|line| is_like_jwt(line)), lines().find(|line| is_like_seed(line))) {
        (Some(jwt), Some(seed)) => (jwt, seed),
        (Some(_), None) => return Err(CredsError::NoSeed),
        (None, Some(_)) => return Err(CredsError::NoJwt),
        (None, None) => return Err(CredsError::Neither),
    };
    let facts = facts(jwt)?;
    // What the key library says is not passed on: it is not ours to know what it shows.
    let pair = KeyPair::from_seed(seed).map_err(|_| CredsError::Seed)?;
    if pair.key_pair_type() != KeyPairType::User {
        return Err(CredsError::SeedKind);
    }
    if pair.public_key() != facts.user {
        return Err(CredsError::Mismatch(facts.user));
    }
    Ok(Creds { jwt: jwt.to_owned(), pair, facts })
}

fn facts(jwt: &str) -> Result<CredsFacts, CredsError> {
    let decoded = AnyJwt::decode(jwt).map_err(|error| CredsError::Jwt(error.to_string()))?;
    let Body::User(user) = &decoded.body else {
        return Err(CredsError::JwtKind(decoded.body.kind().to_owned()));
    };
    let issuer = if user.issuer_account.is_empty() { &decoded.claims.iss } else { &user.issuer_account };
    let account = AccountKey::parse(issuer).map_err(|_| CredsError::Account)?;
    let (iat, exp) = (decoded.claims.iat, decoded.claims.exp);
    Ok(CredsFacts { digest: Sha256::digest(jwt.as_bytes()).into(), user: decoded.claims.sub, account, iat, exp })
}

fn is_like_jwt(line: &str) -> bool {
    line.bytes().filter(|byte| *byte == b'.').count() == 2
        && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.=".contains(&byte))
}

fn is_like_seed(line: &str) -> bool {
    line.len() >= LIKE_A_SEED
        && line.starts_with('S')
        && line.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

/// How far the end of a user JWT is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It never expires, or not soon.
    Long,
    /// Less than a tenth of its time is left.
    Short,
    /// It has expired.
    Over,
}

/// A user JWT counts as short of life no earlier than this before its end, in seconds.
const EARLIEST: i64 = 30 * 86_400;
/// If a tenth of a life is shorter than this, in seconds, an operator has no time to act on a warning.
const TOO_SHORT: i64 = 60;

impl CredsFacts {
    /// How far the end is away at `now`, unix seconds.
    pub(super) fn life(&self, now: i64) -> Life {
        if self.exp == 0 {
            return Life::Long;
        }
        let left = self.exp.saturating_sub(now);
        let warn = (self.exp.saturating_sub(self.iat) / 10).min(EARLIEST);
        match left {
            ..=0 => Life::Over,
            _ if warn >= TOO_SHORT && left <= warn => Life::Short,
            _ => Life::Long,
        }
    }

    /// The end, for people: `2026-11-29 07:05:12 UTC`.
    pub(super) fn end(&self) -> String {
        utc_time(self.exp)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::{self, sign, with};

    fn user(account: &KeyPair, user: &KeyPair, nats: serde_json::Value) -> String {
        sign(&with(testkit::user(user, 100), json!({ "name": "u", "exp": 1100, "nats": nats })), account)
    }

    #[test]
    fn the_two_lines_that_count_are_found_whatever_is_around_them() {
        let (account, signing, pair) = (KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_user());
        let (jwt, seed) = (user(&account, &pair, json!({})), pair.seed().unwrap());
        let by_signing_key = user(&signing, &pair, json!({ "issuer_account": account.public_key() }));
        for text in [
            format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            ),
            format!(
                "-----BEGIN NATS USER JWT-----\r\n{jwt}\r\n------END NATS USER JWT------\r\n***\r\n---x---\r\n{seed}\r\n---x---"
            ),
            format!("\u{feff}{jwt}\n{seed}"),
            format!("  {seed}  \n  {by_signing_key} "),
        ] {
            let creds = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(creds.facts.account.text(), account.public_key(), "{text}");
            assert_eq!((creds.facts.iat, creds.facts.exp), (100, 1100));
            assert_eq!(creds.pair.public_key(), pair.public_key());
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_and_nothing_of_the_file_is_repeated() {
        let (account, pair, other) = (KeyPair::new_account(), KeyPair::new_user(), KeyPair::new_user());
        let (jwt, seed) = (user(&account, &pair, json!({})), pair.seed().unwrap());
        let of_account = sign(&testkit::account(&account, 100), &KeyPair::new_operator());
        let (secret, cut) = (account.seed().unwrap(), &jwt[..jwt.len() - 9]);
        for (text, said) in [
            (String::new(), "it is empty"),
            (" \n\t\r\n".to_owned(), "it is empty"),
            ("hello".to_owned(), "neither a user JWT nor a seed"),
            (format!("---x---\n{seed}\n---x---\n"), "a seed but no user JWT"),
            (format!("---x---\n{jwt}\n---x---\n"), "a user JWT but no seed"),
            (format!("{cut}\n{seed}"), "its user JWT cannot be read"),
            (format!("{of_account}\n{seed}"), "not a user JWT, but one of kind account"),
            (format!("{jwt}\n{}", &seed[..50]), "its seed is damaged"),
            (format!("{jwt}\n{secret}"), "not that of a user key"),
            (format!("{jwt}\n{}", other.seed().unwrap()), "does not belong to its user JWT"),
        ] {
            let error = parse(text.as_bytes()).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
            assert!(error.contains(said), "{error}: {text}");
            for word in text.split_whitespace().filter(|word| word.len() > 20) {
                assert!(!error.contains(word), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_small_regular_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (large, pipe) = (dir.path().join("large"), dir.path().join("pipe"));
        std::fs::File::create(&large).unwrap().set_len(MAX_BYTES as u64 + 1).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let said = |path: &Path| read(path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said(&large).contains("more than"), "{}", said(&large));
        for path in [&pipe, dir.path(), Path::new("/dev/zero")] {
            assert_eq!(said(path), "it is not a regular file", "{}", path.display());
        }
        assert!(said(&dir.path().join("nowhere")).contains("No such file"));
    }

    #[test]
    fn a_life_is_short_when_a_tenth_is_left_and_there_is_time_to_act() {
        const DAY: i64 = 86_400;
        for (iat, exp, now, life) in [
            (0, 0, i64::MAX, Life::Long),
            (0, 10 * DAY, 9 * DAY - 1, Life::Long),
            (0, 10 * DAY, 9 * DAY, Life::Short),
            (0, 10 * DAY, 10 * DAY, Life::Over),
            (0, 3650 * DAY, 3619 * DAY, Life::Long),
            (0, 3650 * DAY, 3620 * DAY, Life::Short),
            (0, 500, 499, Life::Long),
            (0, 600, 541, Life::Short),
            (5, 5, 4, Life::Long),
            (i64::MIN, i64::MAX, 0, Life::Long),
        ] {
            let account = AccountKey::from_raw([0; 32]);
            let facts = CredsFacts { digest: [0; 32], user: String::new(), account, iat, exp };
            assert_eq!(facts.life(now), life, "{iat} {exp} {now}");
        }
    }

    #[test]
    fn the_end_is_a_moment_for_people() {
        let account = AccountKey::from_raw([0; 32]);
        let facts = CredsFacts { digest: [0; 32], user: String::new(), account, iat: 0, exp: 951_782_399 };
        assert_eq!(facts.end(), "2000-02-28 23:59:59 UTC");
    }
}
