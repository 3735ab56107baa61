//! Deletions: the operator-signed request itself is the tombstone.

use std::collections::HashSet;

use bytes::Bytes;

use super::entry::{Identity, sha256};
use super::{Deletion, Gate, Refusal, Via};
use crate::jwt::{self, GenericJwt};
use crate::key::{AccountKey, Kind, PublicKey};

/// An admitted delete request: one change for all the accounts that it names.
///
/// It is as verifiable as a token, so it travels and is kept as it was signed. It beats every JWT with an `iat` up to
/// its own.
#[derive(Debug, Clone)]
pub struct Tombstone {
    keys: Vec<AccountKey>,
    request: Bytes,
    identity: Identity,
    issuer: PublicKey,
    iat: i64,
}

impl Tombstone {
    /// The accounts that it deletes, without duplicates, in the order of the request.
    pub fn keys(&self) -> &[AccountKey] {
        &self.keys
    }

    /// The request, exactly as it was signed.
    pub const fn request(&self) -> &Bytes {
        &self.request
    }

    /// SHA-256 of the request's signing input.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The operator key that signed the request.
    pub const fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// The facts that order it.
    pub const fn deletion(&self) -> Deletion {
        Deletion { iat: self.iat, issuer: self.issuer }
    }

    /// When the request was signed, unix seconds.
    pub const fn iat(&self) -> i64 {
        self.iat
    }

    /// Makes a tombstone from the request that an earlier admission left in the journal.
    ///
    /// `None` if the bytes are no delete request at all; the signature is not checked again.
    pub fn reopen(request: Bytes) -> Option<Self> {
        let text = std::str::from_utf8(&request).ok()?;
        let decoded = GenericJwt::decode(text).ok()?;
        let keys = account_keys(&decoded)?;
        let issuer = PublicKey::parse_kind(&decoded.claims.iss, Kind::Operator).ok()?;
        let identity = sha256(decoded.signing_input(text).as_bytes());
        Some(Self { keys, identity, issuer, iat: decoded.claims.iat, request })
    }
}

impl Gate {
    /// Admits a delete request. `now` is in unix seconds.
    ///
    /// The checks and their order are those of nats-server, plus one: a request from the future is rejected like a
    /// token. As in nats-server, `exp` is ignored.
    pub fn admit_delete(&self, request: &[u8], via: Via, now: i64) -> Result<Tombstone, Refusal> {
        let text = &*via.bare(request)?;
        if text.len() > jwt::MAX_TOKEN_BYTES {
            return Err(jwt::DecodeError::TooLarge(text.len()).into());
        }
        let decoded = GenericJwt::decode(text)?;
        let claims = &decoded.claims;
        if claims.sub != claims.iss {
            return Err(Refusal::DeleteNotSelfSigned);
        }
        let trust = self.trust().ok_or(Refusal::NoOperator)?;
        let issuer = PublicKey::parse_kind(&claims.iss, Kind::Operator).map_err(|_| Refusal::DeleteUntrusted)?;
        if !trust.vouches(&claims.iss) {
            return Err(Refusal::DeleteUntrusted);
        }
        let keys = account_keys(&decoded).ok_or(Refusal::DeleteMalformed)?;
        if self.system_account().is_some_and(|system| keys.contains(&system)) {
            return Err(Refusal::DeleteSystemAccount);
        }
        self.check_not_ahead(claims.iat, via, now)?;
        let identity = sha256(decoded.signing_input(text).as_bytes());
        Ok(Tombstone { keys, request: Bytes::copy_from_slice(text.as_bytes()), identity, issuer, iat: claims.iat })
    }
}

fn account_keys(request: &GenericJwt) -> Option<Vec<AccountKey>> {
    let mut keys = Vec::new();
    let mut seen = HashSet::new();
    for text in request.accounts()? {
        let key = AccountKey::parse(text).ok()?;
        if seen.insert(key) {
            keys.push(key);
        }
    }
    Some(keys)
}
