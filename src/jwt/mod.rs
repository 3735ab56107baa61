//! NATS JWTs: wire format, claims and validation rules.
//!
//! Everything here is pure: no I/O, and time is an argument (Unix seconds). Verdicts and texts are those of
//! `nats-io/jwt` v2.8.2, because nats-server uses it, and a token that nats-server rejects must never be stored. Where
//! this module is stricter, that is intended: see [`DecodeError`] and the list in `tests/tokens/jwt_vectors.rs`.
//!
//! * [`AccountJwt::decode`] and its siblings decode a bare token; [`given()`] finds one in what a person gives.
//! * [`AccountJwt::validate`] and its siblings give [`Issues`].
//! * [`HashId`] names an activation in a URL; [`readable()`] shows a token to people, and
//!   [`diff()`] what differs between two of them, claim by claim ([`plain()`]).
//! * [`AccountJwt::shares`] says whether another account may import something from it, as nats-server decides.
//! * [`encode`] makes tokens for demonstrations and tests.
//!
//! ```
//! use nats_account_server::jwt::{AccountJwt, encode, given};
//!
//! let (operator, account) = (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account());
//! let claims = serde_json::json!({
//!     "sub": account.public_key(), "iat": 1_795_000_000, "name": "app",
//!     "nats": { "type": "account", "version": 2 }
//! });
//! let token = encode::sign(&claims, &operator).expect("signed");
//! // What a person gives may be decorated; what is decoded is bare.
//! let file = format!("-----BEGIN NATS ACCOUNT JWT-----\n{token}\n------END NATS ACCOUNT JWT------\n");
//! let jwt = AccountJwt::decode(&given(file.as_bytes()).expect("one JWT")).expect("signed by its issuer");
//! assert_eq!((jwt.claims.name, jwt.claims.iss), ("app".to_owned(), operator.public_key()));
//! ```

mod belongs;
mod called;
pub mod claims;
mod diff;
pub mod encode;
mod error;
mod given;
mod glance;
mod hash_id;
mod json;
pub mod pack;
mod plain;
mod quote;
mod read;
mod readable;
mod rules;
mod sharing;
mod wire;

use crate::key::Signers;

pub use belongs::belongs;
pub use called::Called;
pub use claims::{Account, Activation, Generic, Operator, Registered, User, is_revoked};
pub use diff::{ClaimChange, ClaimChangeKind, ClaimDiff, diff, size};
pub use error::{DecodeError, MAX_TOKEN_BYTES};
pub use given::{NotAJwt, given};
pub use glance::{called, glance, kind};
pub use hash_id::{HashId, NoHashId, activation_hash_id};
pub use plain::{account_of, plain};
pub(crate) use quote::quote;
pub use readable::{ReadableError, readable};
pub use rules::{Issue, Issues};
pub use sharing::NotShared;
pub use wire::{Body, Jwt};

/// A token of any kind.
pub type AnyJwt = Jwt<Body>;
/// An account JWT.
pub type AccountJwt = Jwt<Account>;
/// An operator JWT.
pub type OperatorJwt = Jwt<Operator>;
/// An activation token.
pub type ActivationJwt = Jwt<Activation>;
/// A user JWT.
pub type UserJwt = Jwt<User>;
/// A token of no particular kind, such as a deletion request.
pub type GenericJwt = Jwt<Generic>;

impl AnyJwt {
    /// Decodes a bare token of any kind and checks its signature by its own issuer.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode(token, None)
    }
}

impl AccountJwt {
    /// Decodes a bare account JWT and checks its signature by its own issuer. `sub` may be anything.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode(token, None)?.account()
    }

    /// As [`Self::decode`], with the same result. It is faster if one of `signers` signed this JWT and many others.
    pub fn decode_of(token: &str, signers: &Signers) -> Result<Self, DecodeError> {
        wire::decode(token, Some(signers))?.account()
    }
}

impl AnyJwt {
    fn account(self) -> Result<AccountJwt, DecodeError> {
        self.narrow(|body| match body {
            Body::Account(account) => Ok(*account),
            other => Err(DecodeError::Kind { wanted: "account", found: other.kind() }),
        })
    }
}

impl OperatorJwt {
    /// Decodes a bare operator JWT and checks its signature by its own issuer. `sub` may be anything.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode(token, None)?.narrow(|body| match body {
            Body::Operator(operator) => Ok(operator),
            other => Err(DecodeError::Kind { wanted: "operator", found: other.kind() }),
        })
    }

    /// Whether this operator vouches for claims with this issuer and subject, whatever their kind.
    ///
    /// A signing key always does. The operator's own key does unless `strict_signing_key_usage` is set, when it vouches
    /// only for the operator JWT itself.
    pub fn did_sign(&self, iss: &str, sub: &str) -> bool {
        if iss == self.claims.sub {
            return !self.body.strict_signing_key_usage || sub == self.claims.sub;
        }
        self.body.signing_keys.iter().any(|key| key == iss)
    }
}

impl AccountJwt {
    /// Whether this account vouches for an activation with this issuer and `issuer_account`: its own key always does, a
    /// signing key if the activation names this account.
    pub fn did_sign(&self, iss: &str, issuer_account: &str) -> bool {
        iss == self.claims.sub || issuer_account == self.claims.sub && self.body.signing_keys.contains(iss)
    }
}

impl ActivationJwt {
    /// Decodes a bare activation token and checks its signature by its own issuer. `sub` may be anything.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode(token, None)?.narrow(|body| match body {
            Body::Activation(activation) => Ok(activation),
            other => Err(DecodeError::Kind { wanted: "activation", found: other.kind() }),
        })
    }
}

impl UserJwt {
    /// Decodes a bare user JWT and checks its signature by its own issuer. `sub` may be anything.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode(token, None)?.narrow(|body| match body {
            Body::User(user) => Ok(*user),
            other => Err(DecodeError::Kind { wanted: "user", found: other.kind() }),
        })
    }
}

impl GenericJwt {
    /// Decodes a bare token of any kind and checks its signature by its own issuer, like the library's `DecodeGeneric`.
    /// The header decides the version, any key may be the issuer, and there is no size limit.
    pub fn decode(token: &str) -> Result<Self, DecodeError> {
        wire::decode_generic(token)
    }

    /// The accounts that a deletion request names. See [`Generic::accounts`].
    pub fn accounts(&self) -> Option<Vec<&str>> {
        self.body.accounts()
    }
}
