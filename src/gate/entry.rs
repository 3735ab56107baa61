//! The gate's product: a verified account JWT with everything that a response needs.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Version;
use crate::jwt;
use crate::jwt::Called;
use crate::key::{AccountKey, PublicKey};

/// SHA-256 of a token's exact bytes.
pub type Digest = [u8; 32];

/// SHA-256 of a token's signing input. It identifies a version.
///
/// It is not the digest of the text: the same signed content has several spellings (another signature, the unsigned
/// header of a version-1 token). A new spelling is not a new version.
pub type Identity = [u8; 32];

/// A verified account JWT.
///
/// Only the gate makes one: [`Gate::admit`](super::Gate::admit) from a token that arrived, [`Entry::reopen`] from
/// what an earlier admission left in the journal.
#[derive(Debug, Clone)]
pub struct Entry {
    key: AccountKey,
    token: Bytes,
    etag: Bytes,
    digest: Digest,
    identity: Identity,
    issuer: PublicKey,
    iat: i64,
    exp: i64,
}

/// The facts of an admitted token, which a store keeps with its bytes.
#[derive(Debug, Clone)]
pub struct Record {
    /// The account.
    pub key: AccountKey,
    /// The exact text.
    pub token: Bytes,
    /// SHA-256 of the text.
    pub digest: Digest,
    /// SHA-256 of the signing input.
    pub identity: Identity,
    /// The operator key that signed it.
    pub issuer: PublicKey,
    /// Issue time, unix seconds.
    pub iat: i64,
    /// Expiry, unix seconds; 0 is never.
    pub exp: i64,
}

/// A stored token whose bytes are not those that were admitted.
#[derive(Debug, thiserror::Error)]
#[error("the stored JWT of account {0} is damaged: its bytes do not match their digest")]
pub struct Damaged(pub AccountKey);

impl Entry {
    /// `signed`: the part of the token that the signature covers.
    pub(super) fn new(key: AccountKey, token: Bytes, signed: &str, issuer: PublicKey, iat: i64, exp: i64) -> Self {
        let (digest, identity) = sums(&token, signed.as_bytes());
        Self { key, etag: etag(&digest), token, digest, identity, issuer, iat, exp }
    }

    /// Makes an entry from the record of an earlier admission.
    ///
    /// The digest ties the bytes to that admission, so a record that rotted on disk is noticed (about 1 µs) without
    /// checking the signature again.
    pub fn reopen(record: Record) -> Result<Self, Damaged> {
        let Record { key, token, digest, identity, issuer, iat, exp } = record;
        if sha256(&token) != digest {
            return Err(Damaged(key));
        }
        Ok(Self { key, etag: etag(&digest), token, digest, identity, issuer, iat, exp })
    }

    /// The account that the token is about.
    pub const fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The account and its name, for people. Reads the token, which takes some microseconds.
    pub fn called(&self) -> Called {
        jwt::called(&self.token).unwrap_or_else(|| self.key.into())
    }

    /// The exact text, as it is stored and served.
    pub const fn token(&self) -> &Bytes {
        &self.token
    }

    /// The text as a string: a decoded token is ASCII.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.token).unwrap_or_default()
    }

    /// The strong entity tag, in quotes, made from the bytes.
    pub const fn etag(&self) -> &Bytes {
        &self.etag
    }

    /// SHA-256 of the text.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// SHA-256 of the signing input.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The operator key that signed it.
    pub const fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// The facts that order it.
    pub const fn version(&self) -> Version {
        Version { iat: self.iat, identity: self.identity, issuer: self.issuer }
    }

    /// Issue time, unix seconds.
    pub const fn iat(&self) -> i64 {
        self.iat
    }

    /// Expiry, unix seconds; 0 is never.
    pub const fn exp(&self) -> i64 {
        self.exp
    }

    /// Whether the token has expired. It is still valid in the second of `exp`, as in the Go library.
    pub const fn is_expired(&self, now: i64) -> bool {
        self.exp > 0 && now > self.exp
    }
}

/// The digest of a token, and that of its signing input, with which most tokens begin.
fn sums(token: &[u8], signed: &[u8]) -> (Digest, Identity) {
    let hash = Sha256::new_with_prefix(signed);
    let digest = match token.strip_prefix(signed) {
        Some(rest) => hash.clone().chain_update(rest).finalize().into(),
        None => sha256(token),
    };
    (digest, hash.finalize().into())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn etag(digest: &Digest) -> Bytes {
    // 128 bits tell versions of one resource apart.
    Bytes::from(format!("\"{}\"", data_encoding::HEXLOWER.encode(&digest[..16])))
}
